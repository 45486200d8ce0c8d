"""An OCI registry: which tags a repository has, and by which digest each is known. No connection of its own: deployment systems use it."""

from __future__ import annotations

import re
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.http_answers import Answer, decode
from cockpit.connectors.moments import parse_moment
from cockpit.connectors.text import one_line
from cockpit.connectors.wire_values import Name
from cockpit.domain.errors import BadPayload, NotFound

MAX_PAGES = 50
PAGE = 100
MAX_KNOWN = 2000
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+|/)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = {"Accept": ", ".join(_MANIFESTS)}
_HINT = "What answers there is no OCI registry, or it stands behind something else."
_REVISION = "org.opencontainers.image.revision"
_CREATED = "org.opencontainers.image.created"


class Image(Struct, frozen=True):
    """What an image tells: its digest, the commit it was built from ("" = it does not say) and when (microseconds UTC, 0 = not told)."""

    digest: str
    commit: str = ""
    built_at_us: int = 0


class DescriptorWire(Struct):
    """What a manifest points to."""

    digest: Name = ""


class ManifestWire(Struct):
    """A manifest, or an index of manifests for several platforms."""

    config: DescriptorWire | None = None
    manifests: tuple[DescriptorWire, ...] | None = None
    annotations: dict[str, Name] | None = None


class LabelsWire(Struct, rename={"labels": "Labels"}):
    """The part of an image's configuration that holds its labels."""

    labels: dict[str, Name] | None = None


class ImageWire(Struct):
    """An image's configuration."""

    created: Name | None = None
    config: LabelsWire | None = None


class TagsWire(Struct):
    """GET /v2/<name>/tags/list."""

    tags: tuple[Name, ...] | None = None


class OciRegistry:
    """Tags and digests of repositories. Blocks; from any thread; ConnectorErrors only. A digest's image never changes and is remembered.

    `client` has the registry's address, without /v2, as its base. Registries that hand out tokens of their own are asked anonymously
    or with the client's user and password; a challenge for a token elsewhere is not followed.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._lock = Lock()
        self._images: dict[str, Image] = {}

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def tags(self, repository: str) -> tuple[str, ...]:
        """All tags, in the registry's order, each once. NotFound where there is no such repository."""
        path = _path(repository, "tags", "list")
        found: dict[str, None] = {}
        last = ""
        for _ in range(MAX_PAGES):
            answer = self._client.get_answer(path, params={"n": PAGE} | ({"last": last} if last else {}))
            page = parse_tags(answer.body)
            new = [tag for tag in page if tag not in found]
            found |= dict.fromkeys(new)
            following = next_page(answer)
            if not following or following == last or not new:  # pages that repeat end here
                break
            last = following
        return tuple(found)

    def digest(self, repository: str, reference: str) -> str:
        """The digest that a tag names now, or the digest itself where the registry has it. NotFound where it has not."""
        _checked(_TAG if ":" not in reference else DIGEST, reference, "a tag")
        answer = self._client.get_answer(_path(repository, "manifests", reference), headers=_ACCEPT)
        return parse_digest(answer, reference)

    def image(self, repository: str, reference: str) -> Image:
        """What a tag or a digest stands for. One question more for an image that was not seen yet."""
        with self._lock:
            known = self._images.get(reference)
        if known is not None:
            return known
        _checked(_TAG if ":" not in reference else DIGEST, reference, "a tag")
        answer = self._client.get_answer(_path(repository, "manifests", reference), headers=_ACCEPT)
        digest = parse_digest(answer, reference)
        with self._lock:
            known = self._images.get(digest)
        if known is None:
            known = self._told(repository, digest, parse_manifest(answer.body))
            with self._lock:
                if len(self._images) >= MAX_KNOWN:
                    self._images.clear()
                self._images[digest] = known
        return known

    def _told(self, repository: str, digest: str, manifest: ManifestWire) -> Image:
        """What the manifest's annotations or the image's own labels say."""
        labels, created = manifest.annotations or {}, ""
        first = next((m.digest for m in manifest.manifests or () if DIGEST.fullmatch(m.digest)), "")
        if first and _REVISION not in labels:
            answer = self._client.get_answer(_path(repository, "manifests", first), headers=_ACCEPT)
            manifest = parse_manifest(answer.body)
            labels = (manifest.annotations or {}) | labels
        if manifest.config is not None and DIGEST.fullmatch(manifest.config.digest):
            try:
                own = parse_image(self._client.get_answer(_path(repository, "blobs", manifest.config.digest)).body)
            except (BadPayload, NotFound):
                own = ImageWire()  # an artifact that is no image, or one whose blobs are kept elsewhere: it just tells less
            created = own.created or ""
            labels = ((own.config.labels or {}) if own.config is not None else {}) | labels
        return Image(digest, one_line(labels.get(_REVISION, ""), 100), _moment(labels.get(_CREATED) or created))


def parse_tags(body: bytes) -> tuple[str, ...]:
    """The tags of one page; what cannot be a tag is left out."""
    return tuple(tag for tag in decode(body, TagsWire).tags or () if _TAG.fullmatch(tag))


def parse_manifest(body: bytes) -> ManifestWire:
    """A manifest or an index."""
    return decode(body, ManifestWire)


def parse_image(body: bytes) -> ImageWire:
    """An image's configuration."""
    return decode(body, ImageWire)


def parse_digest(answer: Answer, reference: str = "") -> str:
    """The digest of a manifest: the registry's own word, else the body's hash. BadPayload where it is not what was asked for."""
    from hashlib import sha256

    told = answer.headers.get("docker-content-digest", "")
    real = "sha256:" + sha256(answer.body).hexdigest()
    if told and told != real:
        raise BadPayload(f"The registry names the digest “{one_line(told, 80)}” for another manifest.", hint=_HINT)
    if DIGEST.fullmatch(reference) and reference != real:
        raise BadPayload("The registry answered another manifest than the one asked for.", hint=_HINT)
    return real


def next_page(answer: Answer) -> str:
    """The tag after which the next page begins, from the Link header; "" where there is none."""
    target, _, relation = answer.headers.get("link", "").partition(">")
    if 'rel="next"' not in relation.replace(" ", "") and "rel=next" not in relation.replace(" ", ""):
        return ""
    last = dict(parse_qsl(urlsplit(target.strip().lstrip("<")).query)).get("last", "")
    return last if len(last) <= 256 and last.isprintable() else ""


def _path(repository: str, *more: str) -> str:
    _checked(_REPOSITORY, repository, "a repository")
    return segments("v2", *repository.split("/"), *more)


def _checked(form: re.Pattern[str], text: str, what: str) -> None:
    if len(text) > 255 or not form.fullmatch(text):
        raise NotFound(f"“{one_line(text, 100)}” cannot be the name of {what}.", hint="Check the image's pattern in the settings.")


def _moment(text: str) -> int:
    try:
        return parse_moment(text)
    except BadPayload:
        return 0  # a label that anybody may write: not worth losing the image for
