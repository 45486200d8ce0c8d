"""What an automatic rollback follows from besides the verdict, where the policy names it: alerts and drift. Failures first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.alerts import Alert
from cockpit.domain.calendar import Freeze
from cockpit.domain.facts import Fact
from cockpit.domain.watching import AUTOMATIC, WatchRule, WatchState
from cockpit.services.watch_cause import LASTS_S
from tests.fakes.rig import D2
from tests.fakes.watch_rig import AT, WatchRig

RULE = WatchRule(minutes=10, automatic=True, countdown_s=30, settle_s=20, rollback_on=("verdict", "alerts"))
Make = Callable[..., WatchRig]


@pytest.fixture
def make(tmp_path: Path, fake_clock: Any) -> Iterator[Make]:
    made: list[WatchRig] = []

    def build(rule: WatchRule = RULE, **how: Any) -> WatchRig:
        home = tmp_path / str(len(made))
        home.mkdir()
        rig = WatchRig(home, fake_clock, rule)
        made.append(rig)
        rig.run(60)
        rig.deploy(**how)
        rig.run(30)
        return rig

    yield build
    for rig in made:
        rig.close()


def alert(rig: WatchRig, name: str = "HighErrorRate", **fields: Any) -> Alert:
    given = {"service": "gw", "environment": "prod", "since_us": rig.clock(), **fields}
    return Alert(name, name, {"severity": given.pop("severity", "critical")}, {"summary": "5xx is 3 %"}, **given)


def fire(rig: WatchRig, *alerts: Alert, deadline_s: float = 3600.0) -> None:
    rig.store.merge("alerts", {"am": Fact(alerts, rig.clock(), "Alertmanager", deadline_s)})


def announced(rig: WatchRig, seconds: int = 60) -> None:
    assert rig.run_until(lambda: rig.seen.countdown is not None, seconds), (rig.seen.why_not, rig.seen.findings)


def silent(rig: WatchRig, seconds: int = 90) -> str:
    assert not rig.run_until(lambda: rig.seen.countdown is not None or bool(rig.systems.posts), seconds)
    return rig.seen.why_not


# -- alerts --------------------------------------------------------------------------------------------------------------------------


def test_an_alert_is_bad_and_nothing_follows_where_the_policy_does_not_name_it(make: Make) -> None:
    rig = make(replace(RULE, rollback_on=("verdict",)))
    fire(rig, alert(rig))
    assert silent(rig) == "the policy goes back by itself on verdict only"
    assert rig.seen.state is WatchState.BAD


@pytest.mark.parametrize(
    "fields",
    [
        {"since_us": -120_000_000},
        {"severity": "warning"},
        {"service": "md"},
        {"service": ""},
        {"environment": ""},
        {"environment": "staging"},
        {"state": "suppressed", "silenced_by": ("s1",)},
        {"state": "suppressed", "inhibited_by": ("other",)},
    ],
)
def test_an_alert_that_is_not_surely_of_this_deployment_rolls_nothing_back(make: Make, fields: dict[str, Any]) -> None:
    rig = make()
    given = {**fields, "since_us": rig.clock() + fields.get("since_us", 0)}
    fire(rig, alert(rig, **given))
    silent(rig)


def test_an_alert_that_passes_within_two_blocks_rolls_nothing_back(make: Make) -> None:
    rig = make()
    for number in range(4):
        fire(rig, alert(rig, f"Flapping{number}"))
        rig.run(int(LASTS_S) - 4)
        fire(rig)
        silent(rig, 5)
    assert "alert Flapping3: 5xx is 3 %" in [f.text for f in rig.seen.passed]


def test_a_source_that_falls_silent_is_no_reason_to_act(make: Make) -> None:
    rig = make()
    fire(rig, alert(rig), deadline_s=10.0)
    assert silent(rig).startswith("the verdict is")
    assert rig.seen.state is WatchState.BAD, "nobody knows that it has passed"


def test_an_alert_that_clears_during_the_countdown_calls_it_off(make: Make) -> None:
    rig = make()
    fire(rig, alert(rig))
    announced(rig)
    fire(rig)
    rig.run(40)
    assert rig.systems.posts == []
    assert rig.seen.countdown is None
    assert "called off" in rig.notes()


def test_a_freeze_and_the_settling_time_hold_for_alerts_too(make: Make) -> None:
    rig = make(replace(RULE, settle_s=100))
    fire(rig, alert(rig))
    assert "it settles" in silent(rig, 50)
    now = rig.clock()
    freeze = Freeze("Quarter end", now - 60_000_000, now + 7_200_000_000, "calendar")
    rig.store.apply(freezes={"cal": Fact((freeze,), now, "calendar", 86_400.0)})
    assert "Quarter end" in silent(rig)


def test_a_verdict_alone_is_nothing_where_the_policy_names_alerts_alone(make: Make) -> None:
    rig = make(replace(RULE, rollback_on=("alerts",)))
    rig.errors["1.8.0"] = 0.3
    assert silent(rig, 120) == "the policy goes back by itself on alerts only"
    assert rig.seen.state is WatchState.BAD


def test_an_alert_of_a_rollback_rolls_nothing_back(make: Make) -> None:
    rig = make()
    begun = rig.begin("1.7.0", "4", "rollback")
    rig.run(4)
    rig.turn("1.7.0")
    rig.end(begun)
    rig.run(30)
    fire(rig, alert(rig))
    assert silent(rig) == "a rollback is never rolled back"


def test_a_critical_alert_of_it_goes_back_once_by_the_same_countdown(make: Make) -> None:
    rig = make()
    fire(rig, alert(rig))
    announced(rig)
    countdown = rig.seen.countdown
    assert countdown is not None
    assert (countdown.version, countdown.why) == ("1.7.0", "alert HighErrorRate: 5xx is 3 %")
    assert rig.watch.why_not_stop("gw", "prod") == ""
    assert rig.run_until(lambda: bool(rig.systems.posts), 40), rig.seen.why_not
    rig.run(60)
    (post,) = rig.systems.posts
    assert (post.kind, post.digest) == ("rollback", D2)
    assert post.reason == f"{AUTOMATIC}alert HighErrorRate: 5xx is 3 %"


def test_alerts_with_a_lot_to_say_keep_no_rollback_from_being_taken(make: Make) -> None:
    """A deployment system refuses a reason of more than four thousand characters, and nothing is sent twice."""
    rig = make()
    wordy = [replace(alert(rig, f"High{number}"), annotations={"summary": "5xx\n" * 500}) for number in range(9)]
    fire(rig, *wordy)
    announced(rig)
    assert rig.run_until(lambda: bool(rig.systems.posts), 60)
    (sent,) = rig.systems.posts
    assert len(sent.reason) <= 1_100
    assert sent.reason.startswith(f"{AUTOMATIC}alert High0: 5xx 5xx")


# -- drift ---------------------------------------------------------------------------------------------------------------------------


def drifted(rig: WatchRig) -> None:
    rig.turn("1.7.0", "n3")
    assert rig.run_until(lambda: "drift" in rig.kinds(), 30)


def test_drift_rolls_nothing_back_unless_the_policy_names_it(make: Make) -> None:
    rig = make()
    drifted(rig)
    assert silent(rig) == "the policy goes back by itself on verdict and alerts only"


def test_drift_that_lasts_goes_back_where_the_policy_names_it(make: Make) -> None:
    rig = make(replace(RULE, rollback_on=("drift",)))
    drifted(rig)
    announced(rig)
    assert rig.seen.countdown is not None
    assert rig.seen.countdown.why == "not 1.8.0: n3 runs 1.7.0"
    rig.turn("1.8.0", "n3")
    rig.run(40)
    assert (rig.systems.posts, rig.seen.countdown) == ([], None), "it is whole again"


def test_a_node_with_a_third_version_stays_a_persons_matter(make: Make) -> None:
    rig = make(replace(RULE, rollback_on=("drift",)))
    rig.turn("1.6.0", "n3")
    assert "person" in silent(rig)
    assert rig.store.state.watches[AT].state is WatchState.BAD


def test_most_nodes_run_the_bad_version_and_all_go_back_to_the_one_before(make: Make) -> None:
    """By hand a mixed fleet is made whole with what most of its nodes run; here that is what was found bad."""
    rig = make(replace(RULE, rollback_on=("drift",)))
    drifted(rig)
    assert rig.run_until(lambda: bool(rig.systems.posts), 120), rig.seen.why_not
    (post,) = rig.systems.posts
    assert (post.kind, post.version, post.digest, post.nodes) == ("rollback", "1.7.0", D2, ())
