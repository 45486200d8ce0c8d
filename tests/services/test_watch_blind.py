"""What a watch cannot see it never calls fine: alerts and nodes that do not answer, versions without a digest; and rollbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain.alerts import Alert
from cockpit.domain.facts import Fact
from cockpit.domain.judge import NO_WORSE, Judge, JudgePolicy, Look
from cockpit.domain.release import Fleet, Node
from cockpit.domain.watching import WatchRule, WatchState, named, running
from cockpit.services.connections import Connected
from cockpit.services.notices import Severity
from cockpit.services.watch_findings import passed, ruled
from tests.fakes.rig import D2, D3
from tests.fakes.watch_rig import AT, WatchRig

RULE = WatchRule(minutes=3)
Make = Callable[..., WatchRig]


class PlainRig(WatchRig):
    """Its deployment system tells versions and no digests; `told` says of which nodes it tells anything."""

    told = True
    digests = False

    def refresh(self) -> None:
        super().refresh()
        now = self.clock()
        plain = tuple(replace(d, digest="", from_digest="") for d in self.history)
        self.store.merge("deployments", {AT: Fact(plain, now, "dep", 30.0)})
        self.store.merge("fleets", {AT: Fact(replace(self.shown, active=None), now, "dep", 30.0)})

    @property
    def shown(self) -> Fleet:
        def seen(n: Node) -> Node:
            return replace(n, digest=n.digest if self.digests else "", version=n.version if self.told else "")

        return replace(self.truth, nodes=tuple(seen(n) for n in self.truth.nodes))

    @property
    def truth(self) -> Fleet:
        return getattr(self, "_truth", None) or super().fleet

    @property
    def fleet(self) -> Fleet:
        return self.truth

    def change(self, **how: Any) -> None:
        known = getattr(self, "_truth", None)
        if known is not None:
            self.store.merge("fleets", {AT: Fact(known, self.clock(), "dep", 30.0)})
        super().change(**how)
        self._truth = self.store.state.fleets[AT].value
        if known is not None:
            self.refresh()


@pytest.fixture
def make(tmp_path: Path, fake_clock: Any) -> Iterator[Make]:
    made: list[WatchRig] = []

    def build(rule: WatchRule = RULE, calm_s: int = 600, kind: type[WatchRig] = WatchRig) -> WatchRig:
        home = tmp_path / str(len(made))
        home.mkdir()
        rig = kind(home, fake_clock, rule)
        made.append(rig)
        rig.run(calm_s)
        return rig

    yield build
    for rig in made:
        rig.close()


def texts(rig: WatchRig) -> list[str]:
    return [f.text for f in rig.seen.findings]


def back(rig: WatchRig) -> None:
    """The way back from 1.8.0, of ten seconds."""
    begun = rig.begin("1.7.0", "4", "rollback")
    rig.run(4)
    rig.turn("1.7.0")
    rig.run(6)
    rig.end(begun)


# -- alerts --------------------------------------------------------------------------------------------------------------------------


def with_alerts(rig: WatchRig, *services: str) -> None:
    rig.connections.replace((*rig.connections.all, Connected("am", "Alertmanager", "am", ("AlertsApi",), services, None)))


def heard(rig: WatchRig) -> None:
    rig.store.merge("alerts", {"am": Fact((), rig.clock(), "Alertmanager", 30.0)})


def test_an_alertmanager_that_falls_silent_keeps_it_from_being_fine(make: Make) -> None:
    rig = make()
    with_alerts(rig, "gw")
    heard(rig)
    rig.deploy()
    for _ in range(120):
        heard(rig)
        rig.run(1)
    last_us = rig.clock()
    assert rig.kinds() == []
    rig.run(40)
    (finding,) = rig.seen.findings
    assert (finding.kind, "Alertmanager was last heard at" in finding.text) == ("silence", True)
    assert last_us - 2_000_000 <= finding.since_us <= last_us, "its age is that of its last word"
    assert rig.seen.state is WatchState.BLIND
    assert any("Alertmanager" in n.message for n in rig.loud)
    rig.run(60)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.BLIND)
    assert rig.seen.found is not None
    assert rig.seen.found.state == NO_WORSE, "the judge alone would have called it fine"


def test_one_that_never_answered_is_named_and_one_that_answers_again_is_history(make: Make) -> None:
    rig = make()
    with_alerts(rig, "gw")
    rig.deploy()
    rig.run(20)
    assert texts(rig) == ["alerts are not seen: Alertmanager has not answered"]
    rig.run(60)
    for _ in range(120):
        heard(rig)
        rig.run(1)
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.FINE)
    assert [f.text for f in rig.seen.passed] == ["alerts are not seen: Alertmanager has not answered"]
    assert rig.loud == []


def test_another_services_alertmanager_is_none_of_it(make: Make) -> None:
    rig = make()
    with_alerts(rig, "md")
    rig.deploy()
    rig.run(30)
    assert texts(rig) == []


def fires(rig: WatchRig, *names: str) -> None:
    """These alerts and no others fire from now on."""
    told = ({"severity": "critical"}, {"summary": "5xx is 3 %"}, rig.clock())
    alerts = tuple(Alert(name, name, *told, service="gw", environment="prod") for name in names)
    rig.store.merge("alerts", {"am": Fact(alerts, rig.clock(), "Alertmanager", 300.0)})


def test_what_passes_while_nobody_sees_how_it_does_is_no_good_news(make: Make) -> None:
    rig = make(calm_s=60)
    rig.deploy()
    rig.run(30)
    fires(rig, "HighErrorRate")
    rig.run(2)
    assert [n.title for n in rig.loud] == ["gw 1.8.0 does badly in prod"]
    rig.mute = {node.name for node in rig.fleet.nodes}
    assert rig.run_until(lambda: "silence" in rig.kinds(), 60)
    fires(rig)
    rig.run(2)
    assert rig.seen.state is WatchState.BLIND
    assert [n.title for n in rig.notices.history if n.severity is Severity.OK] == []
    (notice,) = rig.loud
    assert notice.title == "It cannot be told how gw 1.8.0 does in prod", "the notice goes on with what is known now"
    rig.mute = set()
    assert rig.run_until(lambda: rig.seen.state is WatchState.WATCHING, 60)
    rig.run(2)
    assert rig.loud == []


def test_what_passes_before_anything_was_seen_is_not_said_to_be_all(make: Make) -> None:
    rig = make(calm_s=60)
    rig.mute = {node.name for node in rig.fleet.nodes}
    rig.deploy()
    fires(rig, "HighErrorRate")
    rig.run(2)
    assert rig.seen.state is WatchState.BAD
    fires(rig)
    rig.run(2)
    assert rig.seen.state is WatchState.WATCHING
    (said,) = [n for n in rig.notices.history if n.severity is Severity.OK]
    assert (said.title, said.message) == ("gw 1.8.0 in prod: what was told of it has passed", "No request of it was seen yet.")


# -- nodes ---------------------------------------------------------------------------------------------------------------------------


def test_a_deployment_system_that_falls_silent_keeps_it_from_being_fine(make: Make) -> None:
    rig = make()
    rig.deploy()
    rig.run(120)
    rig.fresh = False
    rig.run(45)
    assert rig.seen.state is WatchState.BLIND
    assert any("what the nodes run is not known: last heard at" in text for text in texts(rig))
    rig.run(60)
    assert rig.seen.state is WatchState.BLIND


def test_where_nothing_tells_what_runs_nothing_is_fine(make: Make) -> None:
    rig = make(calm_s=60, kind=PlainRig)
    assert isinstance(rig, PlainRig)
    rig.told = False
    rig.deploy()
    rig.run(30)
    assert "cannot tell which version each node runs" in texts(rig)
    rig.run(300)
    assert rig.seen.state is WatchState.BLIND
    assert not rig.seen.over, "no request of it was seen"


@pytest.mark.parametrize("digests", [False, True])
def test_a_deployment_without_a_digest_is_watched_by_its_version(make: Make, digests: bool) -> None:
    rig = make(kind=PlainRig)
    assert isinstance(rig, PlainRig)
    rig.digests = digests
    rig.run(30 if not digests else 600)
    rig.deploy()
    assert (rig.seen.deployment, rig.seen.version) == ("3", "1.8.0")
    rig.run(200)
    assert rig.seen.requests > 2000
    assert (rig.seen.over, rig.seen.state) == (True, WatchState.FINE), (rig.seen.verdict, rig.seen.findings)


def test_a_bad_one_without_a_digest_is_found_and_left_to_a_person(make: Make) -> None:
    rig = make(replace(RULE, automatic=True, settle_s=10), kind=PlainRig)
    rig.errors["1.8.0"] = 0.3
    rig.deploy()
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 90)
    rig.run(60)
    assert (rig.seen.countdown, rig.systems.posts) == (None, [])
    assert rig.seen.why_not == "its deployment system tells no digest of it: a person decides"


def test_what_runs_is_told_by_digests_or_by_versions_never_by_both() -> None:
    def fleet(*nodes: tuple[str, str]) -> Fleet:
        return Fleet("gw", "prod", tuple(Node(f"n{i}", "gw", "prod", v, "", d) for i, (v, d) in enumerate(nodes)))

    assert running(fleet(("1.8", ""), ("1.7", ""))) == {"n0": "version 1.8", "n1": "version 1.7"}
    assert running(fleet(("1.8", ""), ("1.7", D2))) == {"n0": "", "n1": D2}, "one that is silent now is no other version"
    assert named(D3, "1.8", fleet(("1.8", ""), ("1.7", ""))) == "version 1.8"
    assert named(D3, "1.8", fleet(("", ""), ("", ""))) == D3
    assert named("", "1.8", fleet(("1.8", D3), ("1.7", D2))) == D3
    assert named("", "1.8", fleet(("1.8", D3), ("1.8", D2))) == "", "the same name for two things"
    assert named("", "1.9", fleet(("1.8", D3))) == ""
    assert named("", "", None) == ""


def test_a_node_that_comes_back_is_history_and_what_still_stands_is_not(fake_clock: Any) -> None:
    start = fake_clock()
    judge = Judge(JudgePolicy(), start)
    judge.look(Look(start + 10_000_000, {}, gone=("n1",)))
    before = tuple(ruled(judge.look(Look(start + 20_000_000, {}, gone=("n1",), broken=("book not crossed",)))))
    after = tuple(ruled(judge.look(Look(start + 30_000_000, {}, broken=("book not crossed",)))))
    assert [f.text for f in after] == ["invariant broken: book not crossed"]
    gone = passed(before, after, (), start + 30_000_000)
    assert [(f.text, f.since_us, f.until_us) for f in gone] == [("node n1 is gone, 1", start + 10_000_000, start + 30_000_000)]


# -- rollbacks -------------------------------------------------------------------------------------------------------------------------


def test_a_rollback_to_a_version_that_fails_is_found_and_never_rolled_back(make: Make) -> None:
    rig = make(replace(RULE, automatic=True, settle_s=10), calm_s=60)
    rig.deploy()
    rig.run(30)
    rig.errors["1.7.0"] = 0.3
    back(rig)
    assert (rig.seen.kind, rig.seen.version, rig.seen.from_version) == ("rollback", "1.7.0", "1.8.0")
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 90)
    (notice,) = rig.loud
    assert notice.title == "gw 1.7.0 does badly in prod after the rollback"
    assert "a rollback is never rolled back" in notice.hint
    rig.run(120)
    assert (rig.seen.countdown, rig.systems.posts) == (None, [])


def test_a_rollback_is_judged_against_what_ran_before_it(make: Make) -> None:
    rig = make(calm_s=60)
    rig.deploy()
    rig.run(600)
    rig.worse["1.7.0"] = 1.5
    back(rig)
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 170), rig.seen.verdict
    assert rig.seen.found is not None
    assert 1.2 < rig.seen.found.ratio < 1.8


def test_a_quick_rollback_is_judged_against_its_own_past(make: Make) -> None:
    """Of the version that was bad too little is known, of the one that ran before it enough."""
    rig = make(calm_s=900)
    rig.worse["1.8.0"] = 3.0
    rig.deploy()
    rig.run(30)
    back(rig)
    assert rig.run_until(lambda: rig.seen.over, 400), rig.seen.verdict
    assert (rig.seen.kind, rig.seen.state) == ("rollback", WatchState.FINE), rig.seen.verdict
    assert rig.loud == []


def test_no_worse_than_a_bad_version_is_not_fine(make: Make) -> None:
    """What it goes back to is as slow by now: compared with what it was before, that shows."""
    rig = make(calm_s=900)
    rig.worse["1.8.0"] = 1.5
    rig.deploy()
    rig.run(300)
    rig.worse["1.7.0"] = 1.5
    back(rig)
    assert rig.run_until(lambda: rig.seen.state is WatchState.BAD, 170), rig.seen.verdict
    assert rig.seen.found is not None
    assert 1.2 < rig.seen.found.ratio < 1.8


def test_a_rollback_that_went_well_ends_fine_and_quietly(make: Make) -> None:
    rig = make(calm_s=60)
    rig.worse["1.8.0"] = 1.2
    rig.deploy()
    rig.run(600)
    back(rig)
    rig.run(200)
    assert (rig.seen.kind, rig.seen.over, rig.seen.state) == ("rollback", True, WatchState.FINE), rig.seen.verdict
    assert rig.loud == []
