"""The values that both open APIs share, with their bounds: what lies outside breaks the interface."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockpit.connectors.text import one_line

LAST_US = 253_402_300_799_999_999  # the end of the year 9999, the last moment a calendar can show

TimeUs = Annotated[int, Meta(ge=0, le=LAST_US)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, Meta(max_length=4096)]
Id = Annotated[str, Meta(min_length=1, max_length=4096)]
Text = Annotated[str, Meta(max_length=1_000_000)]


class HealthWire(Struct):
    """GET /v1/health."""

    name: Id
    version: Name = ""
    identity: Name = ""

    @property
    def reached(self) -> str:
        return one_line(f"{self.name} {self.version}".strip(), 200)


def web_address(url: str) -> str:
    """`url` where a browser may open it, else nothing: other schemes start programs."""
    return url if url.startswith(("http://", "https://")) else ""
