"""What crosses between the window and its reading process: frames (length, pickle), and of an answer only what changed."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

from msgspec import Struct

from cockpit.domain.metrics import Reading
from cockpit.domain.release import Changes

# answers held for comparison, the newest: people look at new versions for weeks without closing the window
HELD = 2_000


class Call(Struct):
    """A read asked for: `base` is the serial of the last answer to the same question that the window holds (0: none)."""

    number: int
    source: str
    method: str
    arguments: tuple[Any, ...]
    base: int


class Make(Struct):
    """A connector to make: kind and options as the registry takes them; without a kind one to end."""

    source: str
    kind: str
    options: dict[str, str]


class Answer(Struct):
    """The answer to a call: whole, or what differs from the answer with serial `base`; or the error."""

    number: int
    serial: int = 0
    base: int = 0
    value: Any = None
    error: Exception | None = None


class Secret(Struct):
    """A token asked for (value None) or told. Crosses the private pipe only."""

    number: int
    source: str
    value: str | None = None


class Patch(Struct):
    """A tuple of items with ids: the id of an item that is as before, or the new item in a one-element list."""

    items: list[Any]


class Same(Struct):
    """Exactly the last answer."""


def frame(message: object) -> bytes:
    """A message as it crosses."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(4, "big") + body


def receive(stream: BinaryIO) -> Any:
    """Read one frame; EOFError at the end. The bytes come from our own process only."""
    size = stream.read(4)
    body = stream.read(int.from_bytes(size, "big")) if len(size) == 4 else b""
    if len(size) < 4 or not body:
        raise EOFError
    return pickle.loads(body)  # noqa: S301 - our own child or parent, over a pipe that nobody else has


def difference(before: Any, after: Any) -> Any:
    """What must be sent to somebody who holds `before`."""
    if before == after:
        return Same()
    if isinstance(before, tuple) and isinstance(after, tuple) and after and all(hasattr(item, "id") for item in (*before, *after)):
        known = {item.id: item for item in before}
        return Patch([item.id if known.get(item.id) == item else [item] for item in after])
    return after


def restore(before: Any, sent: Any) -> Any:
    """The whole answer, from what is held and what was sent; items that did not change stay the same objects."""
    if isinstance(sent, Same):
        return before
    if isinstance(sent, Patch):
        known = {item.id: item for item in before}
        return tuple(item[0] if isinstance(item, list) else known[item] for item in sent.items)
    return sent


def pays(value: Any) -> bool:
    """Whether the answer is worth holding, because the next one to the same question will be the same in most of its items.

    No two scrapes are equal, and what lies between two commits is asked once.
    """
    first = value[0] if isinstance(value, tuple) and value else value
    return isinstance(first, Struct) and not isinstance(first, Reading | Changes)


def hold(held: dict[tuple[Any, ...], tuple[int, Any]], question: tuple[Any, ...], serial: int, value: Any) -> None:
    """Keep the answer as the newest of HELD, or forget the one before where it does not pay. Both sides do the same."""
    held.pop(question, None)
    if pays(value):
        held[question] = (serial, value)
        if len(held) > HELD:
            del held[next(iter(held))]
