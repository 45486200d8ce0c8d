"""A few samples against a fault-free series: as many false alarms as were asked for, whatever the series; then the faults."""

from __future__ import annotations

import math
from random import Random

import pytest

from cockpit.domain.faults import RULES, Calibrated, Fault, Shape, judge_faults, slope, turn, windows

SHAPE = Shape(2, 3)
KEY = ("front", "latency", "Average")


def series(seed: int, count: int = 400, phi: float = 0.0, day: float = 0.0) -> list[float]:
    random, value, found = Random(seed), 0.0, []
    for at in range(count):
        value = phi * value + random.gauss(0, 0.05)
        found.append(0.1 * math.exp(value + day * math.sin(at / 288 * 2 * math.pi)))
    return found


def fault(values: list[float], metric: str = "latency") -> Fault:
    return Fault("test/issue_0", "front", metric, "Average", tuple(values[:2]), tuple(values[2:]))


@pytest.mark.parametrize(("phi", "day"), [(0.0, 0.0), (0.8, 0.0), (0.0, 0.5)])
def test_new_windows_without_a_fault_alarm_as_often_as_asked(phi: float, day: float) -> None:
    """Also where the series hangs together or follows the hour."""
    known, alarms, count = [math.log(v) for v in series(1, 864, phi, day)], 0, 0
    calibrated = Calibrated(known, SHAPE)
    fresh = [math.log(v) for v in series(2, 1728, phi, day)]
    for start in range(0, len(fresh) - 5, 3):
        count += 1
        alarms += calibrated.share(tuple(fresh[start : start + 5])) <= 0.05
    assert alarms / count <= 0.09


def test_the_fault_free_windows_themselves_alarm_as_often_as_asked() -> None:
    calibrated = Calibrated([math.log(v) for v in series(3)], SHAPE)
    assert sum(share <= 0.05 for share in calibrated.calm.values()) / len(calibrated.calm) == pytest.approx(0.05, abs=0.02)


def test_a_series_that_never_moves_knows_no_fault() -> None:
    judged = judge_faults({KEY: [1.0] * 200}, [fault([1.0] * 5)])
    assert judged.found[0].judge == 1.0


def test_samples_that_are_missing_are_left_out_and_none_at_all_is_no_data() -> None:
    known = series(4)
    known[100] = known[200] = math.nan
    nan = math.nan
    judged = judge_faults(
        {KEY: known}, [fault([0.1, nan, 0.3, nan, 0.3]), fault([0.1, 0.1, nan, nan, nan]), fault([nan, nan, 0.3, 0.3, 0.3])]
    )
    assert judged.found[0].judge is not None
    assert judged.found[0].judge < 0.02
    assert judged.found[1].judge is None
    assert judged.found[2].judge is not None
    assert judged.share_found("judge", 0.02) == (2, 3)


def test_too_short_a_series_is_said_so() -> None:
    with pytest.raises(ValueError, match="fewer than 40 fault-free windows of 5 samples"):
        judge_faults({KEY: series(1, 40)}, [fault([0.1] * 5)])


def test_one_series_that_is_too_short_does_not_keep_the_others_from_being_judged() -> None:
    other = Fault("test/issue_1", "back", "latency", "Average", (0.1, 0.1), (0.1, 0.2, 0.3))
    judged = judge_faults({KEY: series(1), other.series: series(2, 30)}, [other, fault([0.1, 0.1, 0.3, 0.3, 0.3])])
    assert "fewer than 40" in judged.found[0].why
    assert judged.share_found("judge", 0.02) == (1, 2), "what cannot be judged counts as not found"


def test_a_fault_is_found_by_the_level_just_before_it_on_a_series_that_drifts() -> None:
    known = series(5, 864, day=0.5)
    low = 0.1 * math.exp(-0.5)
    judged = judge_faults({KEY: known}, [fault([low, low, low * 1.4, low * 1.4, low * 1.4])])
    found = judged.found[0]
    assert found.judge is not None
    assert found.percentile is not None
    assert found.judge <= 0.01 < found.percentile
    assert found.change == pytest.approx(1.4)


def test_of_availability_less_is_worse() -> None:
    random = Random(1)
    known = [100 - random.random() for _ in range(300)]
    key = ("front", "availability", "Average")
    down, up = fault([99.5, 99.5, 95, 95, 95], "availability"), fault([97, 97, 100, 100, 100], "availability")
    judged = judge_faults({key: known}, [down, up])
    assert judged.share_found("judge", 0.02)[0] == 1
    assert judged.found[1].judge is not None
    assert judged.found[1].judge > 0.5


def test_every_rule_is_held_to_the_same_rate() -> None:
    judged = judge_faults({KEY: series(6)}, [fault([0.1, 0.1, 0.2, 0.2, 0.2])])
    for rule in RULES:
        assert judged.share_found(rule, 0.02) == (1, 1)
        assert judged.false_alarms(rule, 0.02) <= 0.03


def test_how_a_metric_is_read() -> None:
    assert turn("availability", [1.0])(2.0) == -2.0
    assert turn("latency", [1.0])(math.e) == pytest.approx(1.0)
    assert math.isnan(turn("latency", [1.0])(0.0))
    assert turn("errors", [0.0, 1.0])(0.0) == 0.0


def test_how_much_of_a_deviation_lasts() -> None:
    def lasting(phi: float) -> float:
        return slope(windows([math.log(v) for v in series(7, 3000, phi)], SHAPE), SHAPE)

    assert lasting(0.0) < 0.15 < 0.5 < lasting(0.9)


def test_a_fault_that_could_not_be_read_counts_as_one_that_no_rule_finds() -> None:
    unread = Fault("test/issue_1", "", "", "", (), (), "target.json cannot be read")
    judged = judge_faults({KEY: series(4)}, [unread, fault([0.1, 0.1, 0.3, 0.3, 0.3])])
    assert judged.found[0].why == "target.json cannot be read"
    assert judged.share_found("judge", 0.05) == (1, 2)


def test_no_rule_finds_anything_in_a_series_that_never_moves() -> None:
    """A window of the series is not compared with itself: a new one must not rank above it for that."""
    judged = judge_faults({KEY: [1.0] * 200}, [fault([1.0] * 5)])
    assert [judged.share_found(rule, 0.01)[0] for rule in RULES] == [0, 0, 0]
