"""Joins what makes a release trustworthy to the core: words, requests, holds, locks and rollouts. Part of the composition root."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cockpit.services.calendars import Calendars, configured_in, hard_in
from cockpit.services.carrying import carry_out
from cockpit.services.decisions import Keeper
from cockpit.services.holding import Holding
from cockpit.services.locks import Locks
from cockpit.services.requests import Requests
from cockpit.services.rollout_record import Record
from cockpit.services.rollout_wiring import hands_of
from cockpit.services.rollouts import Rollouts
from cockpit.services.words import Words

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

    def instruct(self, me: Person, read_only: str) -> None:
        """Who acts, and by which rules."""
        rules, settings = self._cockpit.rules, self._cockpit.settings
        self.words.me, self.words.rules, self.words.read_only = me, rules, read_only
        self.locks.rules = rules
        self.calendars.configured = configured_in(settings.connections)
        self.calendars.hard = hard_in(settings.connections)
        self._cockpit.actions.decisions.instruct(rules)

    def use(self, connected: tuple[Connected, ...], lock: Lock | None) -> tuple[Keeper, ...]:
        """Read signed words from these connections, and keep locks there; the keepers, for what polls them."""
        keepers = tuple(Keeper(c.id, c.services, c.connector, exchanged=True) for c in connected if "SignedWords" in c.ports)
        self._cockpit.actions.decisions.use(keepers)
        self.locks.lock = lock
        return keepers

    def close(self) -> None:
        """Watch nothing any more."""
        self.requests.close()
        self.rollouts.close()
        self._holding.close()
