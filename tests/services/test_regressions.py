"""Measures over versions: what is kept, what shouts, who knows it and until when, and what is flaky."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.domain import checks
from cockpit.domain.checks import CheckRun, CheckState, Suite
from cockpit.domain.errors import NotAllowed
from cockpit.domain.facts import Fact
from cockpit.domain.measures import Measured, Recorded, acknowledged
from cockpit.services.notices import Notice
from cockpit.services.regressions import LOOK_S, Regressions, of_service
from cockpit.services.words import KNOWN_S
from cockpit.storage.measures import Measures
from tests.fakes.speaking import Window

DAY_S = 86_400.0


class Measuring(Window):
    """Ada's window with what it measures."""

    def __init__(self, folder: Path, clock: Any) -> None:
        super().__init__(folder, clock)
        self.asked: list[str] = []
        self.kept = Measures(self.database)
        self.regressions = self.open()

    def open(self) -> Regressions:
        made = Regressions(self.store, self.runner, self.main, self.kept, self.notices, self.clock)
        made.load_run = self.asked.append
        return made

    def runs(self, *runs: CheckRun) -> None:
        self.store.merge("checks", {"gw": Fact(tuple(runs), self.clock(), "ci")})
        self.main.settle()

    def bring(self, *every: Recorded) -> Any:
        answers: list[Any] = []
        self.regressions.bring(tuple(every), answers.append)
        self.main.settle()
        return answers[0]

    def standing(self) -> list[tuple[str, str, bool]]:
        return [(s.regression.key, s.regression.last, s.loud) for s in of_service(self.store.state, "gw", self.clock())]

    @property
    def shouts(self) -> list[Notice]:
        return [n for n in self.notices.history if n.key == "regression:gw" and not n.over]

    def acknowledge(self, key: str, name: str, days: float = 7, reason: str = "CHG-1") -> None:
        version = replace(self.version, name=name)
        self.words.acknowledge(version, key, reason, self.clock() + int(days * DAY_S * 1e6))
        self.main.settle()


@pytest.fixture
def window(tmp_path: Path, fake_clock: Any) -> Iterator[Measuring]:
    made = Measuring(tmp_path, fake_clock)
    yield made
    made.regressions.close()
    made.close()


def benchmarks(clock: Any, levels: list[float], first: int = 0, name: str = "match") -> list[Recorded]:
    """A file of results for each level, an hour apart, with a little noise; two for each version."""
    rng = random.Random(first + 1)
    found = []
    for i, level in enumerate(levels, first):
        value = Measured(name, level * rng.gauss(1.0, 0.01), "ms")
        at_us = clock() - (200 - i) * 3_600_000_000
        found.append(Recorded(f"file:{name}{i}", "gw", f"1.{i // 2}.0", f"c{i // 2}", at_us, measured=(value,)))
    return found


def run(number: int, *, seconds: float = 10.0, bad: bool = False, whole: bool = True, commit: str = "", version: str = "") -> CheckRun:
    """A run of one suite of two tests."""
    at = 1_700_000_000_000_000 + number * 3_600_000_000
    tests = (
        checks.TestResult("test_depth", "failed" if bad else "passed", 1.0, "no" if bad else ""),
        checks.TestResult("test_fill", "passed", seconds / 2),
    )
    told = tests if whole else tuple(t for t in tests if t.outcome == "failed")
    state = CheckState.FAILED if bad else CheckState.PASSED
    suite = Suite("unit", state, 2, 1 if bad else 2, 1 if bad else 0, 0, 0, at, at + round(seconds * 1e6), told)
    named = (f"r{number}", "gw", version or f"1.{number}.0", commit or f"c{number}")
    return CheckRun(*named, state, (suite,), at, at + round(seconds * 1e6))


def test_nothing_is_asked_and_nothing_said_before_it_begins(window: Measuring) -> None:
    window.runs(run(1, whole=False))
    assert (window.asked, window.store.state.trends, window.kept.known("gw")) == ([], {}, {})


def test_a_window_that_only_reads_keeps_nothing(window: Measuring) -> None:
    window.kept.add(benchmarks(window.clock, [4.0] * 6))
    window.regressions.read_only = "another window writes"
    window.regressions.begin()
    window.runs(run(1, whole=False))
    assert (len(window.kept.known("gw")), window.asked) == (6, [])
    assert len(window.store.state.trends["gw"].lines) == 1, "what is kept is shown"
    refused = window.bring(*benchmarks(window.clock, [4.0], 50))
    assert isinstance(refused.error, NotAllowed)


def test_runs_are_kept_once_they_end_and_again_once_they_are_whole(window: Measuring) -> None:
    window.regressions.begin()
    window.main.settle()
    window.runs(replace(run(1), state=CheckState.RUNNING))
    assert window.kept.known("gw") == {}
    window.runs(run(1, whole=False), run(2, whole=False))
    assert window.kept.known("gw") == {"r1": False, "r2": False}
    assert window.asked == ["r2"], "the newest alone, once"
    window.runs(run(1, whole=False), run(2, whole=False), replace(run(3), state=CheckState.RUNNING))
    assert window.asked == ["r2"]
    window.store.merge("runs", {"r2": Fact(run(2), window.clock(), "ci")})
    window.main.settle()
    assert window.kept.known("gw") == {"r1": False, "r2": True}
    keys = {line.key for line in window.store.state.trends["gw"].lines}
    assert keys == {"run:whole run", "suite:unit", "test:unit/test_fill", "test:unit/test_depth"}


def test_what_is_known_whole_is_not_replaced_by_a_part(window: Measuring) -> None:
    window.regressions.begin()
    window.runs(run(1))
    window.kept.add((replace(window.kept.read("gw", 9)[0], suites=()),))
    assert window.kept.read("gw", 9)[0].suites == (), "no suite is whole, too"
    window.regressions.close()
    window.regressions = window.open()
    window.regressions.begin()
    window.runs(run(1, whole=False))
    assert window.kept.known("gw") == {"r1": True}


def test_what_became_worse_is_said_once_and_is_over_when_made_good(window: Measuring) -> None:
    window.kept.add(benchmarks(window.clock, [4.0] * 12))
    window.regressions.begin()
    window.main.settle()
    assert (window.standing(), window.shouts) == ([], [])
    window.bring(*benchmarks(window.clock, [5.2] * 8, 12))
    [(key, version, loud)] = window.standing()
    assert (key, version, loud) == ("benchmark:match", "1.6.0", True)
    [told] = window.shouts
    assert told.title == "gw: 1 measure became worse"
    assert "benchmark match +30 % since 1.6.0" in told.message
    assert (told.place, told.count) == ("checks", 1)
    window.bring(*benchmarks(window.clock, [5.2], 20))
    window.main.run_for(3 * LOOK_S)
    assert window.shouts[0].count == 1, "not again and again"
    window.bring(*benchmarks(window.clock, [4.0] * 8, 21))
    assert (window.standing(), window.shouts) == ([], [])


def test_an_acknowledged_one_is_silent_and_visible_and_shouts_again_after_its_end(window: Measuring) -> None:
    window.kept.add(benchmarks(window.clock, [4.0] * 12 + [5.2] * 8))
    window.regressions.begin()
    window.main.settle()
    assert len(window.shouts) == 1
    window.acknowledge("benchmark:match", "1.6.0", days=2)
    assert window.standing() == [("benchmark:match", "1.6.0", False)]
    assert window.shouts == []
    [entry] = window.journal.decisions(0)
    assert (entry.kind, entry.action, entry.detail["about"], entry.detail["reason"]) == ("note", "acknowledge", "benchmark:match", "CHG-1")
    window.main.run_for(2 * DAY_S - 2 * LOOK_S)
    assert window.shouts == []
    window.main.run_for(4 * LOOK_S)
    assert window.standing() == [("benchmark:match", "1.6.0", True)]
    assert len(window.shouts) == 1


def test_an_end_makes_it_shout_again(window: Measuring) -> None:
    window.kept.add(benchmarks(window.clock, [4.0] * 12 + [5.2] * 8))
    window.regressions.begin()
    window.main.settle()
    window.acknowledge("benchmark:match", "1.6.0")
    [word] = acknowledged(window.statements)
    window.words.end_acknowledgement(word, "it was the disk")
    window.main.settle()
    assert window.standing() == [("benchmark:match", "1.6.0", True)]
    assert len(window.shouts) == 1
    assert acknowledged(window.statements) == ()


def test_a_new_step_shouts_beside_a_known_one(window: Measuring) -> None:
    window.kept.add(benchmarks(window.clock, [4.0] * 12 + [5.2] * 12))
    window.regressions.begin()
    window.main.settle()
    window.acknowledge("benchmark:match", "1.6.0")
    window.bring(*benchmarks(window.clock, [6.9] * 8, 24))
    assert window.standing() == [("benchmark:match", "1.12.0", True)]
    [told] = window.shouts
    assert "since 1.12.0 (5.2" in told.message, "the known part is not told again"


def test_an_acknowledgement_is_of_its_own_measure_and_service(window: Measuring) -> None:
    window.kept.add(benchmarks(window.clock, [4.0] * 12 + [5.2] * 8))
    window.kept.add(benchmarks(window.clock, [4.0] * 12 + [5.2] * 8, name="cancel"))
    window.regressions.begin()
    window.main.settle()
    window.acknowledge("benchmark:cancel", "1.6.0")
    assert sorted(window.standing()) == [("benchmark:cancel", "1.6.0", False), ("benchmark:match", "1.6.0", True)]
    window.words.acknowledge(replace(window.version, service="other", name="1.6.0"), "benchmark:match", "x", window.clock() + 10**12)
    window.main.settle()
    assert ("benchmark:match", "1.6.0", True) in window.standing()


def test_words_without_reason_or_with_a_wrong_end_are_refused(window: Measuring) -> None:
    for days, reason, part in ((7, "  ", "names its reason"), (0, "x", "an end that is still to come"), (91, "x", "at most 90 days")):
        with pytest.raises(NotAllowed, match=part):
            window.acknowledge("benchmark:match", "1.6.0", days, reason)
    assert KNOWN_S == 90 * DAY_S
    window.act_as("", "")
    with pytest.raises(NotAllowed, match="who you are"):
        window.acknowledge("benchmark:match", "1.6.0")


def test_more_is_better_where_the_unit_says_so(window: Measuring) -> None:
    for better, levels in (("higher", [9.0] * 12 + [7.0] * 8), ("lower", [9.0] * 12 + [7.0] * 8)):
        rows = benchmarks(window.clock, levels, name=better)
        window.kept.add([replace(r, measured=(replace(r.measured[0], better=better),)) for r in rows])
    window.regressions.begin()
    window.main.settle()
    assert [key for key, _, _ in window.standing()] == ["benchmark:higher"]


def test_flaky_on_one_commit_or_by_many_flips_with_their_rate(window: Measuring) -> None:
    window.regressions.begin()
    window.runs(*(run(n, bad=n == 5) for n in range(10)))
    assert window.store.state.trends["gw"].flaky == (), "it failed once and was mended: two flips of two commits"
    window.runs(*(run(n, bad=n in (5, 8), whole=n not in (6, 7)) for n in range(10)))
    window.runs(*(run(n + 20, bad=n in (2, 5, 8), whole=n % 2 == 0) for n in range(10)))
    [found] = window.store.state.trends["gw"].flaky
    assert (found.suite, found.name, found.runs, found.failed, found.flips, found.same) == ("unit", "test_depth", 20, 4, 8, 0)
    assert found.rate == pytest.approx(8 / 19)


def test_one_commit_that_passes_and_fails_is_enough(window: Measuring) -> None:
    window.regressions.begin()
    window.runs(run(1, commit="c"), run(2, commit="c", bad=True))
    [found] = window.store.state.trends["gw"].flaky
    assert (found.flips, found.pairs, found.same, found.rate) == (1, 1, 1, 1.0)


def test_durations_of_failed_tests_do_not_count(window: Measuring) -> None:
    window.regressions.begin()
    window.runs(*(run(n, bad=True) for n in range(6)))
    lines = {line.key: line for line in window.store.state.trends["gw"].lines}
    assert "test:unit/test_depth" not in lines
    assert len(lines["test:unit/test_fill"].values) == 6
    assert [m.passed for m in window.store.state.trends["gw"].marks] == [0.5] * 6


def test_a_database_that_fails_is_told_once(window: Measuring) -> None:
    window.regressions.begin()
    window.main.settle()
    window.database.close()
    window.runs(run(1))
    window.runs(run(1), run(2))
    assert [n.count for n in window.notices.history if n.key == "measures"] == [1]


def test_restart_finds_what_was_kept(window: Measuring) -> None:
    window.regressions.begin()
    window.runs(*(run(n, seconds=10.0 + 0.01 * n) for n in range(12)), *(run(n, seconds=14.0 + 0.01 * n) for n in range(12, 20)))
    first = window.standing()
    assert {key for key, _, _ in first} == {"run:whole run", "suite:unit", "test:unit/test_fill"}
    window.regressions.close()
    window.store.apply(trends={}, checks={})
    window.regressions = window.open()
    window.regressions.begin()
    window.main.settle()
    assert window.standing() == first
