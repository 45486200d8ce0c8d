"""An OCI registry: pages of tags, digests that are checked, and what an image tells of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cockpit.connectors.http import HttpClient
from cockpit.connectors.kube_images import Images
from cockpit.connectors.oci_registry import OciRegistry
from cockpit.domain.errors import BadPayload, NotFound
from tests.fakes.stub_http import Asked, Refused, Stub

COMMIT = "c" * 40


def digest_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


class Registry(Stub):
    """One repository, team/gateway."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        self.lie = ""
        self.route("GET", "/v2/team/gateway/tags/list", self._tags)
        self.route("GET", "/v2/team/gateway/manifests/{reference}", self._manifest)
        self.route("GET", "/v2/team/gateway/blobs/{digest}", lambda asked: (200, self.blobs[asked.named["digest"]], {}))

    def push(self, tag: str, created: str, *, index: bool = False) -> str:
        config = json.dumps({"created": created, "config": {"Labels": {"org.opencontainers.image.revision": COMMIT}, "Env": []}}).encode()
        self.blobs[digest_of(config)] = config
        manifest = json.dumps({"schemaVersion": 2, "config": {"digest": digest_of(config), "size": 1}, "layers": [], "tag": tag}).encode()
        self.blobs[digest_of(manifest)] = manifest
        if index:
            manifest = json.dumps({"schemaVersion": 2, "manifests": [{"digest": digest_of(manifest)}]}).encode()
            self.blobs[digest_of(manifest)] = manifest
        self.tags[tag] = digest_of(manifest)
        return digest_of(manifest)

    def _tags(self, asked: Asked) -> Any:
        names = sorted(self.tags)
        begin = names.index(asked.query["last"]) + 1 if "last" in asked.query else 0
        page = names[begin : begin + 2]
        more = {"Link": f'</v2/team/gateway/tags/list?n=2&last={page[-1]}>; rel="next"'} if begin + 2 < len(names) else {}
        return 200, {"name": "team/gateway", "tags": page}, more

    def _manifest(self, asked: Asked) -> Any:
        digest = self.tags.get(asked.named["reference"], asked.named["reference"])
        if digest not in self.blobs:
            raise Refused(404, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
        return 200, self.blobs[digest], {"Docker-Content-Digest": self.lie or digest}


@pytest.fixture
def stub() -> Iterator[Registry]:
    with Registry().running() as registry:
        for number in range(5):
            registry.push(f"v1.{number}.0", f"2026-11-0{number + 1}T10:00:00.123456789Z", index=number % 2 == 0)
        registry.push("latest", "2026-11-09T10:00:00Z")
        yield registry


@pytest.fixture
def registry(stub: Registry) -> Iterator[OciRegistry]:
    made = OciRegistry(HttpClient(stub.url, name="The registry"))
    yield made
    made.close()


def test_all_pages_of_tags(registry: OciRegistry) -> None:
    assert registry.tags("team/gateway") == ("latest", *(f"v1.{n}.0" for n in range(5)))
    with pytest.raises(NotFound):
        registry.tags("team/another")
    with pytest.raises(NotFound):
        registry.tags("../secret")


def test_an_image_tells_its_commit_through_an_index_too(stub: Registry, registry: OciRegistry) -> None:
    for tag in ("v1.0.0", "v1.1.0"):
        image = registry.image("team/gateway", tag)
        assert (image.digest, image.commit) == (stub.tags[tag], COMMIT)
        assert image.built_at_us > 1_700_000_000_000_000


def test_a_digest_that_is_not_the_manifests_is_refused(stub: Registry, registry: OciRegistry) -> None:
    assert registry.digest("team/gateway", stub.tags["v1.0.0"]) == stub.tags["v1.0.0"]
    with pytest.raises(NotFound):
        registry.digest("team/gateway", "sha256:" + "0" * 64)
    stub.lie = "sha256:" + "1" * 64
    with pytest.raises(BadPayload):
        registry.digest("team/gateway", "v1.0.0")


def test_the_images_of_a_service_are_its_artifacts(stub: Registry, registry: OciRegistry) -> None:
    images = Images(registry, "127.0.0.1:5000/team/{service}:v{version}")
    found = images.artifacts("gateway")
    assert [a.version for a in found] == [f"1.{n}.0" for n in (4, 3, 2, 1, 0)]
    assert {a.commit for a in found} == {COMMIT}
    assert found[0].digest == stub.tags["v1.4.0"]
    asked = len(stub.asked)
    assert images.artifacts("gateway") == found
    assert len(stub.asked) - asked == 3  # the pages of tags alone
    assert images.has("gateway", stub.tags["v1.0.0"])
    assert not images.has("gateway", "sha256:" + "0" * 64)
    assert images.artifacts("another") == ()
