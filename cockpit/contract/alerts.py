"""The contract of AlertsApi."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cockpit.connectors.ports import AlertsApi
from cockpit.contract.common import PortContract, World, eventually, falling, fault, needs, new_key, now_us, once, refused, sane
from cockpit.domain.alerts import Alert, Matcher
from cockpit.domain.errors import NotFound, OutcomeUnknown, Rejected

HOUR_US = 3_600_000_000
WHO = "contract@playground.invalid"


class AlertsWorld(World, kw_only=True):
    """An alerting system.

    fire: fire(name, labels) lets an alert of that name with these labels fire (`service` and `environment` name its place); firing it
    again keeps it. resolve: resolve(name, labels) ends it. unknown: the id of no silence, in the form that the system's ids have. lag_s:
    how long until something is seen.
    """

    fire: Callable[[str, dict[str, str]], object]
    resolve: Callable[[str, dict[str, str]], object] | None = None
    unknown: str = "00000000-0000-4000-8000-000000000000"
    lag_s: float = 20.0


class AlertsContract(PortContract):
    """What every AlertsApi does."""

    def ask(self, world: Any) -> object:
        return world.connector.alerts()

    def test_it_has_the_port(self, world: AlertsWorld) -> None:
        assert isinstance(world.connector, AlertsApi)

    def test_what_fires_is_there_once_with_its_labels_and_its_time(self, world: AlertsWorld) -> None:
        mark = self._fire(world)
        alert = self._alert(world, "Slow", mark)
        assert (alert.labels["mark"], alert.state, alert.silenced_by) == (mark, "active", ())
        assert alert.service == mark
        sane(alert.since_us)
        assert now_us() - alert.since_us < HOUR_US
        once([a.id for a in world.connector.alerts()])

    def test_newest_first(self, world: AlertsWorld) -> None:
        for _ in range(3):
            self._alert(world, "Slow", self._fire(world))
        falling([alert.since_us for alert in world.connector.alerts()])

    def test_what_ended_is_gone(self, world: AlertsWorld) -> None:
        needs(world.resolve, "way to end an alert")
        assert world.resolve is not None
        mark = self._fire(world)
        self._alert(world, "Slow", mark)
        world.resolve("Slow", {"service": mark, "mark": mark})
        eventually(lambda: self._found(world, "Slow", mark) is None, world.lag_s, "the alert is gone")

    def test_a_silence_covers_what_fits_and_nothing_else_and_ends(self, world: AlertsWorld) -> None:
        mark, other, key = self._fire(world), self._fire(world), new_key()
        made = self._silence(world, mark, key)
        assert made
        assert self._silence(world, mark, key) == made
        eventually(lambda: self._alert(world, "Slow", mark).silenced_by == (made,), world.lag_s, "the alert is silenced")
        assert self._alert(world, "Slow", mark).state == "suppressed"
        assert self._alert(world, "Slow", other).silenced_by == ()
        for _ in range(2):
            world.connector.end_silence(made)
        eventually(lambda: not self._alert(world, "Slow", mark).silenced, world.lag_s, "the silence has ended")
        assert self._silence(world, mark, key) == made, "the key of a silence that has ended makes no second one"
        assert not self._alert(world, "Slow", mark).silenced

    def test_what_covers_a_place_covers_its_named_alerts_and_no_others(self, world: AlertsWorld) -> None:
        mark = new_key()
        places = (("Slow", "production"), ("Slower", "production"), ("Slow", "staging"))
        for number, (name, environment) in enumerate(places):
            world.fire(name, {"service": mark, "environment": environment, "mark": f"{mark}-{number}"})
        alerts = [self._alert(world, name, f"{mark}-{number}") for number, (name, _) in enumerate(places)]
        assert [(a.service, a.environment) for a in alerts] == [(mark, environment) for _, environment in places]
        matchers = world.connector.covering(mark, "production", ("Slow",))
        made = world.connector.silence(matchers, now_us() + HOUR_US, WHO, "the contract suite", new_key())
        eventually(lambda: self._alert(world, "Slow", f"{mark}-0").silenced, world.lag_s, "the alert of the place is silenced")
        for number, (name, _) in enumerate(places[1:], 1):
            assert not self._alert(world, name, f"{mark}-{number}").silenced, f"{places[number]} is silenced too"
        world.connector.end_silence(made)

    def test_two_keys_are_two_silences(self, world: AlertsWorld) -> None:
        mark = self._fire(world)
        made = {self._silence(world, mark, new_key()) for _ in range(2)}
        assert len(made) == 2
        for silence_id in made:
            world.connector.end_silence(silence_id)

    def test_a_silence_that_does_not_exist(self, world: AlertsWorld) -> None:
        for unknown in (world.unknown, "..", "a/b", ""):
            with refused(world, NotFound):
                world.connector.end_silence(unknown)

    def test_never_everything_and_never_backwards(self, world: AlertsWorld) -> None:
        with refused(world, Rejected):
            world.connector.silence((), now_us() + HOUR_US, WHO, "r", new_key())
        with refused(world, Rejected):
            world.connector.silence((Matcher("service", "x"),), now_us() - HOUR_US, WHO, "r", new_key())

    def test_a_lost_answer_is_settled_by_asking_again(self, world: AlertsWorld) -> None:
        lose, heal = fault(world, world.lose, "way to lose an answer")
        mark, key = self._fire(world), new_key()
        self._alert(world, "Slow", mark)
        lose()
        with refused(world, OutcomeUnknown):
            self._silence(world, mark, key)
        heal()
        made = self._silence(world, mark, key)
        eventually(lambda: self._alert(world, "Slow", mark).silenced_by == (made,), world.lag_s, "there is one silence")
        world.connector.end_silence(made)

    def _fire(self, world: AlertsWorld) -> str:
        mark = new_key()
        world.fire("Slow", {"service": mark, "mark": mark})
        return mark

    def _silence(self, world: AlertsWorld, mark: str, key: str) -> str:
        made: str = world.connector.silence((Matcher("mark", mark),), now_us() + HOUR_US, WHO, "the contract suite", key)
        return made

    def _found(self, world: AlertsWorld, name: str, mark: str) -> Alert | None:
        return next((a for a in world.connector.alerts() if a.name == name and a.labels.get("mark") == mark), None)

    def _alert(self, world: AlertsWorld, name: str, mark: str) -> Alert:
        found = eventually(lambda: self._found(world, name, mark), world.lag_s, "the alert fires")
        assert found is not None
        return found
