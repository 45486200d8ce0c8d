"""The state as it is kept for the next start: what the first paint shows is read first, the rest right after it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.checks import CheckRun
from cockpit.domain.facts import Fact
from cockpit.domain.release import Artifact, Changes, Deployment, Fleet, Version
from cockpit.domain.rollout import Action
from cockpit.services.store import AppState, LatencyStatus, SourceHealth, Store
from cockpit.storage.history import History

log = logging.getLogger("cockpit")

NAME = "state"
AGES_US = 600_000_000  # where only ages and latency went on, they are kept this often


class _Shown(Struct):
    """The fields of AppState that overview and header read."""

    versions: dict[str, Fact[tuple[Version, ...]]] = {}
    fleets: dict[str, Fact[Fleet]] = {}
    latency: dict[str, Fact[LatencyStatus]] = {}
    sources: dict[str, SourceHealth] = {}


class _Rest(Struct):
    """The other fields that are worth keeping; approvals are in the journal."""

    changes: dict[str, Fact[Changes]] = {}
    deployments: dict[str, Fact[tuple[Deployment, ...]]] = {}
    artifacts: dict[str, Fact[tuple[Artifact, ...]]] = {}
    checks: dict[str, Fact[tuple[CheckRun, ...]]] = {}
    actions: dict[str, Action] = {}


_KEPT = (*_Shown.__struct_fields__, *_Rest.__struct_fields__)
_TELLING = tuple(name for name in _KEPT if name not in ("latency", "sources"))  # the other two are new with each answer


class Keeper:
    """Writes and reads what is kept. `save` from any one thread at a time, the rest on the main thread."""

    def __init__(self, history: History | None, store: Store) -> None:
        self._history = history
        self._store = store
        self._yesterday = b""
        self._saved: AppState | None = None
        self._saved_us = 0

    def save(self, state: AppState, now_us: int, *, always: bool = False) -> bool:
        """Keep this state; answers False where nothing but ages changed since the last time. Blocks; StorageError."""
        late = now_us - self._saved_us >= AGES_US
        if self._history is None or not (always or late or self._saved is None or differ(self._saved, state)):
            return False
        self._history.save_snapshot(NAME, encode(state), now_us)
        self._saved, self._saved_us = state, now_us
        return True

    def restore(self) -> None:
        """Put into the store what the first paint shows; StorageError."""
        found = self._history.snapshot(NAME) if self._history else None
        if found is not None and self._apply(shown, found[0]):
            self._yesterday = found[0]

    def restore_rest(self) -> None:
        """Put in what `restore` left out."""
        payload, self._yesterday = self._yesterday, b""
        if payload:
            self._apply(rest, payload)

    def _apply(self, read: Callable[[bytes, Iterable[str]], dict[str, Any]], payload: bytes) -> bool:
        try:
            fields = read(payload, (s.name for s in self._store.state.services))
        except msgspec.MsgspecError:
            # written by another version: nothing is lost but the look back
            log.info("the last state could not be read and is left out")
            return False
        self._store.apply(**fields)
        return True


def differ(old: AppState, new: AppState) -> bool:
    """Whether anything worth keeping is another than before, apart from ages, latency and the health of the sources."""
    return any(_differ(getattr(old, name), getattr(new, name)) for name in _TELLING)


def _differ(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return old is not new and (old.keys() != new.keys() or any(_value(old[key]) != _value(item) for key, item in new.items()))


def _value(item: Any) -> Any:
    return item.value if isinstance(item, Fact) else item


def encode(state: AppState) -> bytes:
    """What is read back, as JSON, entry by entry: one call for megabytes would keep every other thread waiting until it ends."""
    one = msgspec.json.Encoder().encode
    fields = []
    for name in _KEPT:
        items = getattr(state, name).items()
        if name == "actions":
            # what is under way is in the journal
            items = [(key, action) for key, action in items if action.state.final]
        body = b"{%s}" % b",".join(b"%s:%s" % (one(key), one(item)) for key, item in items)
        fields.append(b"%s:%s" % (one(name), body))
    return b"{%s}" % b",".join(fields)


def shown(payload: bytes, services: Iterable[str]) -> dict[str, Any]:
    """What the first paint needs, as fields for `Store.apply`; services that are no longer there are left out.

    Raises msgspec.MsgspecError where another version of the program wrote it.
    """
    old, kept = msgspec.json.decode(payload, type=_Shown), frozenset(services)
    return {
        "versions": _of_services(old.versions, kept),
        "fleets": {k: v for k, v in old.fleets.items() if v.value.service in kept},
        "latency": _of_services(old.latency, kept),
        "sources": {k: replace(v, next_poll_us=0, problem=None, stopped=False) for k, v in old.sources.items() if k},
    }


def rest(payload: bytes, services: Iterable[str]) -> dict[str, Any]:
    """What `shown` leaves out, in the same way."""
    old, kept = msgspec.json.decode(payload, type=_Rest), frozenset(services)
    return {
        "changes": _of_services(old.changes, kept),
        "deployments": _of_services(old.deployments, kept),
        "artifacts": _of_services(old.artifacts, kept),
        "checks": _of_services(old.checks, kept),
        "actions": {k: a for k, a in old.actions.items() if a.state.final},
    }


def _of_services(items: dict[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    """Those whose key is a service's name, or begins with one before "@" (a place) or ":" (a comparison)."""
    return {k: v for k, v in items.items() if k.partition("@")[0].partition(":")[0] in kept}
