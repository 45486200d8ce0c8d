"""The state as it is kept for the next start: what the first paint shows is read first, the rest right after it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.checks import CheckRun
from cockpit.domain.facts import Fact
from cockpit.domain.release import Artifact, Changes, Deployment, Fleet, Version
from cockpit.domain.rollout import Action
from cockpit.services.store import AppState, LatencyStatus, SourceHealth

NAME = "state"


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


def encode(state: AppState) -> bytes:
    """The state as JSON, encoded entry by entry: one call for megabytes would keep every other thread waiting until it ends."""
    one = msgspec.json.Encoder().encode
    fields = []
    for name in state.__struct_fields__:
        value = getattr(state, name)
        if isinstance(value, dict):
            body = b"{%s}" % b",".join(b"%s:%s" % (one(key), one(item)) for key, item in value.items())
        else:
            body = one(value)
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
