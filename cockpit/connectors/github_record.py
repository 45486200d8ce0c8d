"""GitHub's record of deployments: which there were in a place, and how each stands. Read once where it cannot change any more."""

from __future__ import annotations

from collections.abc import Iterable

from cockpit.connectors.forge_text import foreign
from cockpit.connectors.github_api import PER_PAGE, Api, Budget
from cockpit.connectors.github_wire import at_us
from cockpit.connectors.github_wire_run import DeploymentWire, Standing, parse_deployments, parse_statuses
from cockpit.connectors.github_wire_run import standing as come_to
from cockpit.domain.release import DeployState

SHARED_S = 2.0
SETTLED_S = 600.0  # how long a word on a deployment that another one replaced is believed
GOOD = 2  # deployments that went well, read at once: what runs, and what to go back to
DEEP = 6  # statuses read at once in search of them; older history is read while the budget lasts
HISTORY_FIRST, HISTORY_PER_HOUR = 20.0, 20.0
FAR = 500  # deployments of an environment that are looked through for those of one service
MOST_SETTLED = 20_000
Known = tuple[DeploymentWire, Standing]


class Record:
    """Deployments by place. GitHub tells their state apart from their list, one question each: what has ended is asked once."""

    def __init__(self, api: Api, budget: Budget) -> None:
        self._api = api
        self._budget = budget
        self._settled: dict[tuple[str, int], Standing] = {}  # those that have ended
        self._left: dict[tuple[str, int], tuple[float, Standing]] = {}  # replaced without an end: when they were asked for, what was said

    def known(self, service: str, environment: str, limit: int, who: str) -> list[Known]:
        """Deployments with their state, newest first, without a gap: the list ends where a state was not read yet."""
        found: list[Known] = []
        good, asked = set[str](), 0
        for wire in self._listed(service, environment, limit, who):
            replaced = any(pair[1].state.final for pair in found)
            settled = self._remembered(service, wire, replaced)
            if settled is None:
                at_once = not found or (len(good) < GOOD and asked < DEEP)
                if not at_once and not self._budget.take():
                    break
                asked += 1
                settled = self.standing(service, wire)
                if replaced and not settled.state.final:
                    self._left[service, wire.id] = self._api.monotonic(), settled
            found.append((wire, settled))
            if settled.state is DeployState.SUCCEEDED:
                good.add(wire.sha)
        return found

    def _remembered(self, service: str, wire: DeploymentWire, replaced: bool) -> Standing | None:
        asked_s, said = self._left.get((service, wire.id), (0.0, None))
        recent = replaced and said is not None and self._api.monotonic() - asked_s < SETTLED_S
        return self._settled.get((service, wire.id)) or (said if recent else None)

    def _listed(self, service: str, environment: str, limit: int, who: str) -> list[DeploymentWire]:
        """One list of all environments serves them all; a place that is missing in a full one is asked for by name."""
        place, address = self._api.names.place(service, environment), self._api.path(service, "deployments")

        def full(deployments: tuple[DeploymentWire, ...]) -> bool:
            return len(deployments) >= PER_PAGE

        every = self._api.pages(address, parse_deployments, enough=full, within_s=SHARED_S, who=f"{who}:{service}:{environment}")
        mine = self._mine(every, service, place)
        least = min(limit, DEEP + GOOD if limit <= 50 else limit)

        def enough(deployments: tuple[DeploymentWire, ...]) -> bool:
            return len(deployments) >= FAR or len(self._mine(deployments, service, place)) >= least

        if full(every) and len(mine) < least:
            wanted: dict[str, str | int] = {"environment": place}
            mine = self._mine(self._api.pages(address, parse_deployments, wanted, enough=enough, within_s=SHARED_S), service, place)
        return sorted(mine, key=lambda wire: (at_us(wire.created_at), wire.id), reverse=True)[:limit]

    def _mine(self, deployments: Iterable[DeploymentWire], service: str, place: str) -> list[DeploymentWire]:
        found = {}
        pattern = self._api.names.tag_of(service)
        for wire in deployments:
            told = wire.said("service")
            other = told != service if told else foreign(wire.ref, service, pattern)
            if wire.environment == place and not other:
                found[wire.id] = wire
        return list(found.values())

    def standing(self, service: str, wire: DeploymentWire) -> Standing:
        address = self._api.path(service, "deployments", str(wire.id), "statuses")
        found = come_to(self._api.pages(address, parse_statuses))
        if found.state.final:
            self._settled[service, wire.id] = found
            if len(self._settled) > MOST_SETTLED:
                self._settled.pop(next(iter(self._settled)), None)
        return found
