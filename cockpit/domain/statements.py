"""What a person said and stands by: one form for approvals, rejections, holds, overrides, emergencies and requests."""

from __future__ import annotations

from msgspec import Struct

KINDS = ("approve", "reject", "hold", "clear", "override", "end", "emergency", "sign-off", "request", "withdraw", "acknowledge")


class Statement(Struct, frozen=True, gc=False):
    """One person's word about one version in one environment. `who` is an e-mail address in lower case; times are UTC microseconds.

    approve, reject: of exactly this commit and digest. hold, clear: nobody deploys this digest there until it is cleared.
    override, end: a freeze is passed until `until_us`. emergency, sign-off: one person acted alone, a second one looked at it later.
    request, withdraw: deploy it as soon as nothing speaks against it, until `until_us`.
    acknowledge: a measure (`about`) that became worse with this version is known, until `until_us`; an end takes it back.
    `about`: the id of the statement or the key of the action that it answers. `signer`: the fingerprint of the key that signed it; "" = it
    stands unsigned in this machine's journal. `why_not`: why it counts for nothing (forged, key revoked); "" where it stands.
    """

    kind: str
    service: str
    environment: str
    version: str
    commit: str
    digest: str
    who: str
    name: str
    reason: str
    at_us: int
    until_us: int = 0
    about: str = ""
    id: str = ""
    source: str = "journal"
    signer: str = ""
    why_not: str = ""


class Hold(Struct, frozen=True, gc=False):
    """A version that nobody may deploy to that environment until a named person clears it."""

    service: str
    environment: str
    version: str
    digest: str
    reason: str
    who: str
    at_us: int
    id: str = ""


class Override(Struct, frozen=True, gc=False):
    """A person's permission to pass freezes in an environment ("" service: of every service) until `until_us`."""

    service: str
    environment: str
    who: str
    reason: str
    at_us: int
    until_us: int
    id: str = ""


class Debt(Struct, frozen=True, gc=False):
    """An emergency that a second person has yet to look at. `about` is the key of the action."""

    service: str
    environment: str
    version: str
    who: str
    reason: str
    at_us: int
    about: str
    id: str = ""


def holds(statements: tuple[Statement, ...]) -> tuple[Hold, ...]:
    """The holds that stand, oldest first. The newest word on a digest in a place tells; a clear by nobody clears nothing."""
    standing: dict[tuple[str, str, str], Hold] = {}
    for s in _in_order(statements, "hold", "clear"):
        place = (s.service, s.environment, s.digest)
        if s.kind == "hold":
            standing[place] = Hold(s.service, s.environment, s.version, s.digest, s.reason, s.who, s.at_us, s.id)
        elif s.kind == "clear" and s.who:
            standing.pop(place, None)
    return tuple(standing.values())


def overrides(statements: tuple[Statement, ...], now_us: int) -> tuple[Override, ...]:
    """The overrides that stand now; one that was ended, or has no end, is none."""
    ended = {s.about for s in statements if s.kind == "end" and not s.why_not and s.about}
    return tuple(
        Override(s.service, s.environment, s.who, s.reason, s.at_us, s.until_us, s.id)
        for s in _in_order(statements, "override")
        if s.at_us <= now_us < s.until_us and s.id not in ended
    )


def debts(statements: tuple[Statement, ...]) -> tuple[Debt, ...]:
    """Emergencies that nobody but the person who acted has looked at since."""
    signed = {(s.about, s.who) for s in statements if s.kind == "sign-off" and not s.why_not and s.about}
    return tuple(
        Debt(s.service, s.environment, s.version, s.who, s.reason, s.at_us, s.about, s.id)
        for s in _in_order(statements, "emergency")
        if not any(about == s.about and who and who != s.who for about, who in signed)
    )


def requests(statements: tuple[Statement, ...], now_us: int) -> tuple[Statement, ...]:
    """Requests that stand now: not withdrawn, not past their end."""
    over = {s.about for s in statements if s.kind == "withdraw" and not s.why_not and s.about}
    return tuple(s for s in _in_order(statements, "request") if s.at_us <= now_us < s.until_us and s.id not in over)


def _in_order(statements: tuple[Statement, ...], *kinds: str) -> list[Statement]:
    # of two words of one moment a hold is the later one: every machine must come to the same answer, and that one harms nobody
    return sorted((s for s in statements if s.kind in kinds and not s.why_not), key=lambda s: (s.at_us, s.kind == "hold", s.id))
