"""Steps of other systems that wait for a person: an environment's reviewers, a deployment's approval, a paused canary."""

from __future__ import annotations

from msgspec import Struct


class Gate(Struct, frozen=True, gc=False):
    """One step that waits. `title` says in words what waits; `approve` and `reject` are the words of its two answers ("" = not offered).

    `who` names those who may answer, as the system says; `mine`: whether this connection's account may, None where it does not say.
    Times in microseconds UTC, 0 = not known. All text is untrusted and plain.
    """

    id: str
    service: str
    environment: str
    version: str
    title: str
    approve: str = "Approve"
    reject: str = "Reject"
    who: tuple[str, ...] = ()
    mine: bool | None = None
    asked_at_us: int = 0
    url: str = ""
