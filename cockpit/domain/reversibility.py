"""Whether a change can be taken back: what commits and the policy declare, and what that means for a way back."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Way(StrEnum):
    """What was declared, from best to worst. UNKNOWN: the commits themselves are not known."""

    SAFE = "safe"
    UNDECLARED = "undeclared"
    UNTIL = "safe until"
    UNKNOWN = "unknown"
    ONE_WAY = "one-way"


class Declaration(Struct, frozen=True, gc=False):
    """One change's word on its way back. `until_us`, `until_version`: safe before that date, or while nothing newer than that ran."""

    way: Way
    subject: str = ""
    commit: str = ""
    reason: str = ""
    until_us: int = 0
    until_version: str = ""
