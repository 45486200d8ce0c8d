"""Names of container images: `repository:tag@digest`, and the version that such a name tells. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from cockpit.connectors.text import one_line
from cockpit.domain.errors import ConfigError
from cockpit.domain.release import parse_tag

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImageName(Struct, frozen=True):
    """A name's parts; tag and digest may be ""."""

    repository: str
    tag: str = ""
    digest: str = ""


def split_image(name: str) -> ImageName:
    """`registry:5000/team/app:1.2@sha256:…` into its parts; never raises."""
    rest, _, digest = name.partition("@")
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        head, tag = rest, ""
    return ImageName(head, tag, digest if _DIGEST.fullmatch(digest) else "")


def digest_in(text: str) -> str:
    """The digest at the end of an image id (`docker-pullable://app@sha256:…`); "" for an id of the node's own."""
    digest = text.rpartition("@")[2] if "@" in text else ""
    return digest if _DIGEST.fullmatch(digest) else ""


def version_in(name: str, pattern: str, service: str) -> str:
    """The version that an image's tag tells: by the pattern's own tag (such as `v{version}`), else by any known scheme, else the tag."""
    tag = split_image(name).tag
    form = split_image(pattern).tag.replace("{service}", service)
    before, found, after = form.partition("{version}")
    if found and len(tag) > len(before) + len(after) and tag.startswith(before) and tag.endswith(after):
        return tag[len(before) : len(tag) - len(after)]
    parsed = parse_tag(tag)
    return parsed.name if parsed is not None and parsed.prefix in ("", service) else tag


def image_name(pattern: str, current: str, service: str, version: str, digest: str) -> str:
    """The image to run: by its digest, with the version's tag for who reads it. Where there is no pattern, of the repository that runs."""
    form = split_image(filled(pattern, {"service": service, "version": version})) if pattern else split_image(current)
    tag = form.tag if pattern else version
    told = f":{tag}" if _TAG.fullmatch(tag) and (version in tag) else ""
    return f"{form.repository}{told}@{digest}"


def repository_of(pattern: str, service: str) -> str:
    """The repository's name inside its registry."""
    repository = split_image(filled(pattern, {"service": service})).repository
    host, slash, rest = repository.partition("/")
    return rest if slash and ("." in host or ":" in host or host == "localhost") else repository


def checked_pattern(field: str, text: str, known: tuple[str, ...]) -> str:
    """The pattern; ConfigError where nothing fills a placeholder in."""
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in known]
    if unknown:
        shown = ", ".join("{" + name + "}" for name in known)
        raise ConfigError(f"{field}: nothing fills in {{{one_line(unknown[0], 50)}}}.", hint=f"It knows {shown}.")
    return text


def filled(pattern: str, values: Mapping[str, str]) -> str:
    """The pattern with its placeholders replaced; what was filled in is never read as a placeholder."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), pattern)
