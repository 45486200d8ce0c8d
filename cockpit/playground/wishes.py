"""What people asked of a place (a service in an environment) and what holds there until they ask otherwise. Survives every crash."""

from __future__ import annotations

import threading
from typing import Any

from cockpit.playground.errors import PlaygroundError
from cockpit.playground.processes import RecordLog

MODES = ("open", "post-only", "cancel-only", "halted")
_TITLE = "Shares that cannot be"


class Wishes:
    """Holds, trading modes, shares of the traffic, deploying by itself, and settings of single nodes. Thread-safe; `lock` guards the log.

    Each change has reached the disk when its method returns (OSError: it is not kept and does not hold). Asked twice, nothing is written.
    """

    def __init__(self, log: RecordLog, lock: threading.RLock) -> None:
        self._log = log
        self._lock = lock

    def _get(self, kind: str, name: str, default: Any) -> Any:
        with self._lock:
            return self._log.get(kind).get(name, default)

    def _put(self, kind: str, name: str, value: Any, default: Any) -> None:
        with self._lock:
            if self._get(kind, name, default) != value:
                self._log.put(kind, name, value)

    def held(self, service: str, environment: str) -> dict[str, str]:
        """Reasons by digest, in the order in which they were held."""
        return dict(self._get("held", _place(service, environment), {}))

    def hold(self, service: str, environment: str, digest: str, reason: str | None) -> None:
        """Hold an artifact back with a reason; None lets it go."""
        with self._lock:
            held = self.held(service, environment)
            if reason is None:
                held.pop(digest, None)
            else:
                held[digest] = reason
            self._put("held", _place(service, environment), held, {})

    def mode(self, service: str, environment: str) -> str:
        """The trading mode that the place's nodes are to be in."""
        return str(self._get("mode", _place(service, environment), MODES[0]))

    def set_mode(self, service: str, environment: str, mode: str) -> None:
        """Change what the nodes are to be in; they must be told."""
        self._put("mode", _place(service, environment), mode, MODES[0])

    def automatic(self, service: str, environment: str) -> bool:
        """Whether the deployer deploys there by itself."""
        return self._get("automatic", _place(service, environment), False) is True

    def set_automatic(self, service: str, environment: str, on: bool) -> None:
        """Switch that on or off."""
        self._put("automatic", _place(service, environment), on, False)

    def weights(self, service: str, environment: str, nodes: tuple[str, ...]) -> dict[str, int]:
        """Percent by node: as people shared the traffic out, evenly where nobody did."""
        kept = self._get("weights", _place(service, environment), {})
        return {node: kept[node] for node in nodes} if set(kept) == set(nodes) else _shared(100, dict.fromkeys(nodes, 1))

    def shares_set(self, service: str, environment: str) -> bool:
        """Whether somebody shared the traffic out."""
        return bool(self._get("weights", _place(service, environment), {}))

    def set_weights(self, service: str, environment: str, nodes: tuple[str, ...], wanted: dict[str, int]) -> dict[str, int]:
        """Give nodes their percent, let the others share the rest as they did; what holds then. PlaygroundError where that cannot be."""
        with self._lock:
            now = self.weights(service, environment, nodes)
            new = new_weights(now, wanted)
            self._put("weights", _place(service, environment), new, {})
            return new

    def settings(self, node: str) -> dict[str, str]:
        """What one node is set to unlike the others of its place."""
        return dict(self._get("settings", node, {}))

    def set_settings(self, node: str, settings: dict[str, str]) -> None:
        """Change that; the node must be started again."""
        self._put("settings", node, settings, {})


def _place(service: str, environment: str) -> str:
    return f"{service}@{environment}"


def new_weights(now: dict[str, int], wanted: dict[str, int]) -> dict[str, int]:
    """The shares of all nodes (percent, 100 in all) when those `wanted` are given theirs. PlaygroundError where that cannot be."""
    unknown = [node for node in wanted if node not in now]
    if unknown:
        raise PlaygroundError(_TITLE, f"there is no node {unknown[0][:100]} there", f"The nodes are {', '.join(now)}.")
    others = {node: share for node, share in now.items() if node not in wanted}
    total = sum(wanted.values())
    # percents of equal parts, each rounded by itself, miss 100 by less than their number
    missing = 100 - total
    if total > 100 + len(wanted) - 1 or (not others and missing >= max(2, len(wanted))):
        raise PlaygroundError(_TITLE, f"they add up to {total} %", "Name shares of 100 % in all, or leave the rest to the other nodes.")
    given = dict(wanted)
    if missing < 0 or (missing and not others):
        given[max(given, key=lambda node: given[node])] += missing
        missing = 0
    rest = _shared(missing, others if sum(others.values()) else dict.fromkeys(others, 1))
    return {node: given[node] if node in given else rest[node] for node in now}


def _shared(total: int, parts: dict[str, int]) -> dict[str, int]:
    """Whole numbers in the proportion of `parts` that add up to `total`: the largest remainders are rounded up."""
    whole = sum(parts.values())
    if not whole:
        return parts
    shares = {name: total * part // whole for name, part in parts.items()}
    by_remainder = sorted(parts, key=lambda name: -(total * parts[name] % whole))
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return shares
