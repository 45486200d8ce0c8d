"""One watch as it is kept, with what nobody is shown; and which deployment of a place is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cockpit.domain.facts import Fact, place
from cockpit.domain.release import Deployment, DeployState, Fleet
from cockpit.domain.strategy import Rollout
from cockpit.domain.watching import WatchRule, named, running

if TYPE_CHECKING:
    from cockpit.domain.alerts import Alert
    from cockpit.services.judging import Heard, Trial
    from cockpit.services.store import AppState

ACTION = "watch"  # of the journal's notes


class Run:
    """The watch over one deployment. Main thread only. `ident`: the deployment's id, or the key of the rollout that it is part of."""

    def __init__(self, ident: str, deployment: Deployment, rule: WatchRule, started_us: int) -> None:
        self.ident = ident
        self.at = place(deployment.service, deployment.environment)
        self.deployment = deployment  # the newest of them
        self.rule = rule
        self.digest, self.old = deployment.digest, deployment.from_digest  # as `running` names them, "" = nothing there can tell
        self.started_us = started_us
        self.finished_us = 0
        self.begun_us = 0  # when this process began to look
        self.slept_us = 0  # nobody looked for so long: that is no watching
        self.nodes: set[str] = set()  # that its deployments named
        self.ran: set[str] = set()  # that were seen to run it
        self.unwell: dict[str, int] = {}
        self.since: dict[str, int] = {}  # when a finding was first seen
        self.firing: dict[str, tuple[int, Alert]] = {}  # alerts that may be acted on, since when
        self.trial: Trial | None = None
        self.heard: Heard | None = None
        self.judging = False
        self.told: tuple[object, ...] = ()
        self.noted: dict[tuple[object, ...], int] = {}  # when each was written: the journal is no log
        self.news: tuple[object, ...] = ()  # the newest of them
        # of the automatic rollback
        self.read = False  # whether the journal told what was done here before
        self.stopped_by = ""
        self.asking = False
        self.acted_us: tuple[int, ...] = ()
        self.trouble = ""
        self.trouble_us = 0
        self.action = ""

    @property
    def key(self) -> str:
        """What ties the journal's notes of this watch together."""
        return f"watch:{self.at}:{self.ident}"

    def take(self, deployment: Deployment, now_us: int) -> None:
        """How its deployment stands now."""
        again = deployment.id != self.deployment.id
        ran = not self.deployment.state.final and not again
        self.deployment = deployment
        self.nodes |= {step.node for step in deployment.steps}
        if not deployment.state.final:
            self.finished_us = 0
        elif not self.finished_us or again:
            # the deployment system's clock may differ: what was seen to end ended now
            self.finished_us = now_us if ran else min(deployment.finished_at_us or now_us, now_us)

    def same(self, deployment: Deployment) -> bool:
        """Whether it is the same version on the same way: a step of the same rollout, or that version once more."""
        mine = self.deployment
        same = deployment.digest == mine.digest if deployment.digest and mine.digest else deployment.version == mine.version
        return same and deployment.kind == mine.kind

    def learn(self, fleet: Fleet | None) -> bool:
        """By what the nodes name the new version and the one before; whether that is news."""
        d, before = self.deployment, (self.digest, self.old)
        # once all nodes have changed nobody names the one before any more
        self.digest = named(d.digest, d.version, fleet) or self.digest
        self.old = named(d.from_digest, d.from_version, fleet) or self.old
        return (self.digest, self.old) != before

    def set_back(self, now_us: int) -> None:
        """The clock was set back: no time of before can be compared with those to come."""
        self.started_us = self.begun_us = now_us
        self.finished_us = min(self.finished_us, now_us)
        self.slept_us = self.trouble_us = 0
        self.heard, self.trial, self.judging = None, None, False
        self.unwell.clear()
        self.since.clear()
        self.firing.clear()
        self.noted.clear()

    def first(self, name: str, at_us: int) -> int:
        """When a finding of that name was first seen."""
        return self.since.setdefault(name, at_us)


def newest_of(history: Fact[tuple[Deployment, ...]] | None, fleet: Fact[Fleet] | None, now_us: int) -> Deployment | None:
    """The newest deployment of a place, as far as what is known of it is not too old to be believed."""
    known = list(history.value) if history is not None and not history.stale(now_us) else []
    active = fleet.value.active if fleet is not None and not fleet.stale(now_us) else None
    if fleet is not None and active is not None:
        told = next((d for d in known if d.id == active.id), None)
        if told is None:
            known.append(active)
        elif history is not None and (active.state.final, fleet.at_us) > (told.state.final, history.at_us):
            known[known.index(told)] = active
    if fleet is not None:
        service = fleet.value.service
        known = [d for d in known if d.service == service]
    return max(known, key=lambda d: d.started_at_us or now_us, default=None)


def rollout_of(state: AppState, deployment: Deployment) -> Rollout | None:
    """The rollout of several steps that a deployment is part of."""
    if not deployment.key:
        return None
    mine = (r for r in state.rollouts.values() if not r.rehearsal and any(run.action == deployment.key for run in r.steps))
    return next(mine, None)


def wanted(state: AppState, deployment: Deployment, rule: WatchRule, now_us: int) -> bool:
    """Whether a watch over it begins now."""
    if not deployment.digest and not deployment.version:
        return False
    if not deployment.state.final:
        return True
    if now_us - deployment.finished_at_us > rule.minutes * 60e6:
        return False
    fleet = state.fleets.get(place(deployment.service, deployment.environment))
    digest = named(deployment.digest, deployment.version, fleet.value if fleet is not None else None)
    changed = fleet is not None and digest in set(running(fleet.value).values()) - {""}
    return deployment.state is DeployState.SUCCEEDED or changed
