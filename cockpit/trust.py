"""Joins to the core what makes a release trustworthy, and what people are told of it. Part of the composition root."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cockpit.services.alerts import AlertWatch, asked_of
from cockpit.services.bands import Bands
from cockpit.services.calendars import Calendars, configured_in, hard_in
from cockpit.services.carrying import carry_out
from cockpit.services.decisions import Keeper
from cockpit.services.deeds import Deeds
from cockpit.services.gates import GateActions
from cockpit.services.holding import Holding
from cockpit.services.locks import Locks
from cockpit.services.nodes import Nodes
from cockpit.services.polled import told_by
from cockpit.services.regressions import Regressions
from cockpit.services.requests import Requests
from cockpit.services.rollout_record import Record
from cockpit.services.rollout_wiring import hands_of
from cockpit.services.rollouts import Rollouts
from cockpit.services.silences import Silences
from cockpit.services.telling import Telling
from cockpit.services.watch import Watch
from cockpit.services.words import Words
from cockpit.storage.measures import Measures

if TYPE_CHECKING:
    from cockpit.connectors.ports import Lock
    from cockpit.core import Cockpit
    from cockpit.services.actions import Person
    from cockpit.services.connections import Connected


class Trust:
    """Everything between a wish and its action. Main thread only."""

    def __init__(self, cockpit: Cockpit) -> None:
        self._cockpit = cockpit
        store, runner, main = cockpit.store, cockpit.runner, cockpit.main
        notices, clock_us, actions = cockpit.notices, cockpit.clock_us, cockpit.actions
        self.calendars = Calendars()
        self.words = Words(store, actions.decisions, notices, clock_us)
        self.requests = Requests(store, main, cockpit.connections, self.words, actions, notices, clock_us)
        self.locks = Locks(store, runner, cockpit.journal, cockpit.connections, notices, clock_us)
        who = lambda: self.words.me.who  # noqa: E731 - the person of that moment
        self._holding = Holding(store, runner, cockpit.connections, notices, self.words.hold, who, clock_us)
        hands = hands_of(actions, cockpit.connections, store, clock_us)
        self.rollouts = Rollouts(store, runner, main, Record(cockpit.journal, runner), hands, notices, clock_us)
        self.requests.carry_out = partial(carry_out, actions, self.rollouts, automatic=True)
        actions.calendars = self.calendars
        actions.locked = self.locks.needed
        actions.emergency_said = self.words.emergency
        self.words.said.append(self.requests.arm)
        if cockpit.execution is not None:
            cockpit.execution.locks = self.locks
            cockpit.execution.ended.append(self._holding.heard)
        self._tell_and_watch()

    def _tell_and_watch(self) -> None:
        """What happens beside an action, and small deeds: none of it holds an action up."""
        cockpit = self._cockpit
        store, runner, main, journal = cockpit.store, cockpit.runner, cockpit.main, cockpit.journal
        connections, notices, clock_us = cockpit.connections, cockpit.notices, cockpit.clock_us
        beside = (store, runner, main, journal if cockpit.execution is not None else None, connections, notices, clock_us)
        self.silences, self.telling = Silences(*beside), Telling(*beside)
        note = cockpit.execution.note if cockpit.execution is not None else lambda action, words: None
        self.bands = Bands(store, cockpit.latency, notices, clock_us, note)
        self.watch = Watch(*beside[:6], cockpit.actions, clock_us)
        self._alerts = AlertWatch(store, notices, clock_us)
        self.deeds = Deeds(store, runner, main, journal, notices, clock_us)
        self.nodes = Nodes(store, connections, self.deeds, clock_us)
        self.gates = GateActions(store, connections, self.deeds, clock_us)
        self.nodes.refresh = self.gates.refresh = cockpit.sync.refresh_kind
        measures = Measures(cockpit.database) if cockpit.database is not None else None
        self.regressions = Regressions(store, runner, main, measures, notices, clock_us)
        self.regressions.load_run = cockpit.actions.load_run
        self.words.said.append(self.telling.said)
        if cockpit.execution is not None:
            cockpit.execution.ended += [self.silences.heard, self.telling.heard]

    def instruct(self, me: Person, read_only: str) -> None:
        """Who acts, and by which rules."""
        rules, settings = self._cockpit.rules, self._cockpit.settings
        self.words.me, self.words.rules, self.words.read_only = me, rules, read_only
        self.locks.rules = self.watch.rules = rules
        self.regressions.read_only = read_only
        self.calendars.configured = configured_in(settings.connections)
        self.calendars.hard = hard_in(settings.connections)
        self._cockpit.actions.decisions.instruct(rules)
        self.silences.expected, self.silences.longest_s = settings.alerts.expected, settings.alerts.silence_minutes * 60
        self.telling.rules, self.telling.who = rules, me.who
        for acts in (self.nodes, self.gates):
            acts.who, acts.read_only = me.signature if me.who else "", read_only

    def use(self, connected: tuple[Connected, ...], lock: Lock | None) -> tuple[Keeper, ...]:
        """Read signed words from these connections, and keep locks there; the keepers, for what polls them."""
        keepers = tuple(Keeper(c.id, c.services, c.connector, exchanged=True) for c in connected if "SignedWords" in c.ports)
        self._cockpit.actions.decisions.use(keepers)
        self.locks.lock = lock
        state = self._cockpit.store.state
        self._cockpit.store.apply(alerts=asked_of(connected, state), **told_by(connected, state))
        self.silences.connected()
        return keepers

    def recover(self) -> None:
        """Take up what a process that is gone left of silences and deeds; measure over versions from the first time on."""
        self.regressions.begin()
        self.silences.recover()
        self.deeds.recover()

    def close(self) -> None:
        """Watch nothing any more."""
        self.requests.close()
        self.rollouts.close()
        self._holding.close()
        self._alerts.close()
        self.watch.close()
        for part in (self.silences, self.telling, self.deeds, self.regressions):
            part.close()
