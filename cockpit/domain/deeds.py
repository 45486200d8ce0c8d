"""Small write actions: one call to one system, with an outcome that may stay unknown."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class DeedState(StrEnum):
    """The life of a deed. UNKNOWN is no failure: what it was about tells, or a person looks."""

    SENT = "sent"
    DONE = "done"
    REFUSED = "refused"
    NOT_SENT = "not sent"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        return self in (DeedState.DONE, DeedState.REFUSED, DeedState.NOT_SENT)


class Deed(Struct, frozen=True, gc=False):
    """What was done to one thing. `key` is the journal's handle; `kind`: drain, ready, approve-gate, reject-gate.

    `subject` names the node, or the gate's id; `connection` the system. Times in microseconds UTC, 0 = not yet.
    """

    key: str
    kind: str
    service: str
    environment: str
    subject: str
    connection: str
    who: str
    reason: str
    state: DeedState = DeedState.SENT
    message: str = ""
    at_us: int = 0
    ended_at_us: int = 0
    title: str = ""
