"""Bodies that no interface promises, for the functions that read them: bytes, JSON of any shape, and good answers with something wrong."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from cockpit.domain.errors import BadPayload

ODD = st.sampled_from(
    [
        *(None, "", "x", "\x1b[2J", "2026-11-22T10:00:00", "2026-11-22T10:00:00Z"),
        *(-1, 0, 2**53 + 1, 2**64, 1e308, True, [], {}, [None], {"id": 1}),
    ]
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
KNOWN = st.sampled_from([b"", b"<html>log in</html>", b"[]", b"{}", b"null", b"[null]", b'""', b"\xff\xfe", b"[" * 5000])
BODIES = st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | KNOWN


def understood_or_bad(parse: Callable[[bytes], Any], body: bytes) -> None:
    """Fails for whatever comes out but an answer or BadPayload with a way out."""
    error = None
    try:
        parse(body)
    except BadPayload as bad:
        error = bad
    assert error is None or (error.message and error.hint)


def parsers(module: ModuleType) -> list[Callable[[bytes], Any]]:
    """The module's own functions that read a body."""
    found = inspect.getmembers(module, inspect.isfunction)
    return [function for name, function in found if name.startswith("parse_") and function.__module__ == module.__name__]


@st.composite
def wrong(draw: st.DrawFn, good: Any) -> bytes:
    """A good answer with one value replaced or taken out, somewhere."""
    made = copy.deepcopy(good)
    here = made
    for _ in range(draw(st.integers(0, 6))):
        inner = list(here) if isinstance(here, dict) else list(range(len(here)))
        inner = [key for key in inner if isinstance(here[key], dict | list) and here[key]]
        if not inner:
            break
        here = here[draw(st.sampled_from(inner))]
    if here:
        key = draw(st.sampled_from(list(here) if isinstance(here, dict) else list(range(len(here)))))
        if draw(st.booleans()):
            here[key] = draw(ODD)
        elif isinstance(here, dict):
            del here[key]
    return json.dumps(made).encode()
