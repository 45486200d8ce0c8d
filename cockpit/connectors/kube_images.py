"""The images of a service in a registry, newest versions first, asked for seldom: tags hardly ever move, and digests never."""

from __future__ import annotations

import time
from threading import Lock

from cockpit.connectors.image_names import filled, repository_of, split_image, version_in
from cockpit.connectors.oci_registry import Image, OciRegistry
from cockpit.domain.errors import NotFound
from cockpit.domain.release import Artifact, version_key

NEWEST = 30
FRESH_S = 300.0


class Images:
    """Artifacts of a registry. Blocks; from any thread; ConnectorErrors only. `pattern`: a service's image, with `{version}` as tag."""

    def __init__(self, registry: OciRegistry, pattern: str) -> None:
        self._registry, self._pattern = registry, pattern
        self._lock = Lock()
        self._known: dict[tuple[str, str], tuple[Image, float]] = {}

    def close(self) -> None:
        """Close kept connections."""
        self._registry.close()

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """The newest versions; none where the registry has no such repository."""
        repository = repository_of(self._pattern, service)
        try:
            tags = self._registry.tags(repository)
        except NotFound:
            return ()
        versions = {version: tag for tag in tags if (version := self._version(tag, service))}
        newest = sorted(versions, key=version_key, reverse=True)[:NEWEST]
        found = []
        for version in newest:
            try:
                image = self._image(repository, versions[version])
            except NotFound:
                continue  # the tag was taken away meanwhile
            found.append(Artifact(service, version, image.commit, image.digest, image.built_at_us))
        return tuple(found)

    def has(self, service: str, digest: str) -> bool:
        """Whether the registry has that image."""
        try:
            return self._registry.digest(repository_of(self._pattern, service), digest) == digest
        except NotFound:
            return False

    def commit_of(self, service: str, digest: str) -> str:
        """The commit that an image of this digest was built from, as far as it was seen; "" = not known."""
        with self._lock:
            return next((i.commit for i, _ in self._known.values() if i.digest == digest), "")

    def _version(self, tag: str, service: str) -> str:
        """The version that a tag names; "" for `latest` and other names that are none."""
        form = split_image(filled(self._pattern, {"service": service})).tag
        before, _, after = form.partition("{version}")
        if not (tag.startswith(before) and tag.endswith(after)):
            return ""
        version = version_in(f"x:{tag}", self._pattern, service)
        return version if version[:1].isdigit() else ""

    def _image(self, repository: str, tag: str) -> Image:
        now_s = time.monotonic()
        with self._lock:
            known = self._known.get((repository, tag))
        if known is not None and now_s - known[1] < FRESH_S:
            return known[0]
        image = self._registry.image(repository, tag)
        with self._lock:
            self._known[repository, tag] = (image, now_s)
        return image
