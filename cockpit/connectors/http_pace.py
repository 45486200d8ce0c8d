"""How often one system may be asked: what it asked for itself (Retry-After), what it still allows, and a least gap of our own."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from msgspec import Struct

from cockpit.connectors.http_answers import HINT_WAIT, MAX_WAIT_S
from cockpit.domain.errors import RateLimited

KEPT_BACK = 0.05  # of what a system allows: reads stop there, so that what a person does is still let through
LEAST_KEPT_BACK = 5
_EPOCH_S = 1_000_000_000  # RateLimit-Reset is a moment with some systems and a number of seconds with others
CACHED_ANSWERS = 512


class Pace(Struct, frozen=True):
    """Time as the client sees it, replaceable in tests: `sleep(s)`, `monotonic()`, `now()` (Unix seconds), `jitter()` in 0..1."""

    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random


class Allowance(Struct, frozen=True):
    """What a system still allows until it counts anew: `left` of `limit` requests for the next `reset_s` seconds."""

    left: int
    limit: int
    reset_s: float

    @property
    def spent(self) -> bool:
        """Whether reads have to wait."""
        return self.left <= max(LEAST_KEPT_BACK, int(self.limit * KEPT_BACK))


def allowance(headers: Mapping[str, str], now_s: float) -> Allowance | None:
    """From X-RateLimit-* (GitHub, Gitea) or RateLimit-* (GitLab, the IETF draft); header names in lower case. None where none counts."""
    for prefix in ("x-ratelimit-", "ratelimit-"):
        left, reset = _number(headers.get(prefix + "remaining", "")), _number(headers.get(prefix + "reset", ""))
        if left is not None and reset is not None:
            limit = _number(headers.get(prefix + "limit", "").split(",")[0])
            wait_s = reset - now_s if reset > _EPOCH_S else reset
            return Allowance(left, limit or 0, min(MAX_WAIT_S, max(0.0, wait_s)))
    return None


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 16 else None


class Manners:
    """When the next request may go. From any thread; one for each system."""

    def __init__(self, name: str, pace: Pace, min_gap_s: float) -> None:
        self._name, self._pace, self._min_gap_s = name, pace, min_gap_s
        self._lock = Lock()
        self._next_at = -MAX_WAIT_S
        self._silent_until = -MAX_WAIT_S
        self._spent_until = -MAX_WAIT_S

    def wait_turn(self, write: bool = False) -> None:
        """Wait for the least gap; RateLimited while the system wants nobody, and for reads while it has little left to give."""
        with self._lock:
            now = self._pace.monotonic()
            self._refuse(self._silent_until - now, "asked for a pause of another")
            if not write:
                self._refuse(self._spent_until - now, "allows no more requests for another")
            at = max(now, self._next_at)
            self._next_at = at + self._min_gap_s
        if at > now:
            self._pace.sleep(at - now)

    def _refuse(self, wait_s: float, what: str) -> None:
        if wait_s > 0:
            raise RateLimited(f"{self._name} {what} {wait_s:.0f} s.", retry_after_s=wait_s, hint=HINT_WAIT)

    def silence(self, seconds: float) -> None:
        """It asked for a pause."""
        self._silent_until = self._pace.monotonic() + seconds

    def note(self, headers: Mapping[str, str]) -> None:
        """What an answer says about how much is left."""
        found = allowance(headers, self._pace.now())
        if found is not None:
            self._spent_until = self._pace.monotonic() + found.reset_s if found.spent else -MAX_WAIT_S


class Remembered:
    """Answers with their ETag, the least used forgotten first. From any thread."""

    def __init__(self, most: int = CACHED_ANSWERS) -> None:
        self._lock = Lock()
        self._most = most
        self._kept: OrderedDict[tuple[Any, ...], tuple[str, Any]] = OrderedDict()

    def get(self, key: tuple[Any, ...]) -> tuple[str, Any]:
        """(ETag, answer), ("", None) where there is none."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key, ("", None))

    def put(self, key: tuple[Any, ...], etag: str, value: Any) -> None:
        """Remember it; without an ETag forget what was known."""
        with self._lock:
            self._kept.pop(key, None)
            if etag:
                self._kept[key] = (etag, value)
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._kept.clear()
