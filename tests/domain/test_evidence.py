"""Evidence that grows while one looks: never sure without reason, however often one looks; then sure soon where there is one."""

from __future__ import annotations

import math
import pickle
from random import Random

import pytest

from cockpit.domain.evidence import Evidence, Interval, autoregression, average, growth, growth_of, smallest_effect, threshold
from cockpit.domain.lenses import CountEvidence, Counts, Matched, Moment, Points

ENOUGH = threshold(0.01)


def series(seed: int, count: int, phi: float = 0.0, shift: float = 0.0, sd: float = 0.15) -> list[float]:
    random = Random(seed)
    value, found = random.gauss(0, sd), []
    for _ in range(count):
        value = phi * value + random.gauss(0, sd * math.sqrt(1 - phi * phi))
        found.append(value + shift)
    return found


def found_at(calm: list[float], seen: list[float], *, centred: bool = False) -> int:
    """The second at which the evidence is enough; 0 for never."""
    evidence = Evidence(calm, centred=centred)
    for second, value in enumerate(seen, 1):
        evidence.add(value)
        if evidence.peak >= ENOUGH:
            return second
    return 0


# -- nothing is there -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_two_runs_of_the_same_are_told_apart_in_one_of_a_hundred_at_most(phi: float) -> None:
    alarms = 0
    for seed in range(40):
        both = series(seed, 2100, phi)
        alarms += found_at(both[:600], both[600:]) > 0
    # at the nominal 1 % two or more of forty have a chance of 6 %, three of 0.7 %
    assert alarms <= 2


def test_the_least_shift_becomes_certain_and_what_is_tolerated_never() -> None:
    for seed in range(6):
        both = series(seed, 8000)
        seen = [v + math.log(1.02) for v in both[600:]]
        strict, patient = Evidence(both[:600]), Evidence(both[:600], least=math.log(1.02))
        for value in seen:
            strict.add(value)
            patient.add(value)
        assert strict.peak >= ENOUGH > patient.peak


def test_what_is_above_the_tolerated_is_found_and_the_interval_is_of_all_of_it() -> None:
    both = series(2, 4000, shift=math.log(1.1))
    evidence = Evidence(series(1, 600), least=math.log(1.02))
    for value in both:
        evidence.add(value)
    found = evidence.interval()
    assert evidence.peak >= ENOUGH
    assert found is not None
    assert math.log(1.02) < found.low < math.log(1.1) < found.high


def test_power_knows_what_is_tolerated() -> None:
    strict, patient = Evidence(series(1, 600)), Evidence(series(1, 600), least=0.02)
    for value in series(2, 300):
        strict.add(value)
        patient.add(value)
    assert patient.smallest(ENOUGH) == pytest.approx(strict.smallest(ENOUGH) + 0.02)
    assert patient.seconds_until(0.02, ENOUGH) == math.inf
    assert patient.seconds_until(0.06, 50.0) > strict.seconds_until(0.06, 50.0) > 0


SKEWED = {
    "one in three far out": lambda r: r.gauss(0, 0.1) + 2.0 * (r.random() < 0.3),
    "one in ten far out": lambda r: r.gauss(0, 0.1) + 2.0 * (r.random() < 0.1),
    "one in fifty far out": lambda r: r.gauss(0, 0.1) + 1.5 * (r.random() < 0.02),
    "exponential": lambda r: r.expovariate(1.0),
    "log-normal": lambda r: r.lognormvariate(0.0, 1.0),
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("shape", SKEWED)
def test_what_is_not_as_likely_up_as_down_is_no_shift(shape: str, sign: int) -> None:
    """A p99 of some hundred requests is like that: now and then it is far out, and never as far below."""
    alarms = 0
    for seed in range(12):
        random = Random(seed)
        both = [sign * SKEWED[shape](random) for _ in range(1600)]
        alarms += found_at(both[:400], both[400:], centred=True) > 0
    assert alarms <= 1


def test_noise_on_a_slow_wave_is_no_shift() -> None:
    """One correlation from second to second does not tell how long this hangs together."""
    alarms = 0
    for seed in range(24):
        slow, fast = series(seed, 2400, 0.9), series(seed + 1000, 2400)
        both = [(a + b) / math.sqrt(2) for a, b in zip(slow, fast, strict=True)]
        alarms += found_at(both[:600], both[600:]) > 0
    assert alarms <= 2


def test_values_over_overlapping_seconds_are_no_shift() -> None:
    alarms = 0
    for seed in range(24):
        raw = series(seed, 2104)
        smooth = [sum(raw[i : i + 5]) / 5 for i in range(2100)]
        alarms += found_at(smooth[:600], smooth[600:]) > 0
    assert alarms <= 1


def test_what_both_sides_always_differed_by_is_no_shift() -> None:
    both = series(3, 2100, shift=0.2)
    assert found_at(both[:600], both[600:])
    assert not found_at(both[:600], both[600:], centred=True)


def test_nothing_is_known_of_a_series_that_has_just_begun() -> None:
    evidence = Evidence()
    for value in series(1, 59, shift=5.0):
        evidence.add(value)
    assert (evidence.blocks, evidence.log_e, evidence.interval()) == (0, 0.0, None)
    assert evidence.smallest(ENOUGH) == math.inf
    assert evidence.seconds_until(0.1, ENOUGH) == math.inf


def test_values_that_are_none_do_not_count() -> None:
    evidence = Evidence(series(1, 600))
    for value in (math.nan, math.inf, -math.inf):
        evidence.add(value)
    assert (evidence.seconds, evidence.blocks) == (0, 0)


def test_a_series_that_never_moves_and_then_goes_on_so_is_no_shift() -> None:
    assert not found_at([1.0] * 600, [0.0] * 600)
    assert autoregression([0.0] * 100) == ()
    assert autoregression([]) == ()


def test_better_is_not_worse() -> None:
    both = series(4, 1600)
    assert not found_at(both[:600], [v - 0.3 for v in both[600:]])


# -- something is there -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phi", "ratio", "most_s"), [(0.0, 1.1, 90), (0.0, 1.5, 15), (0.6, 1.25, 80), (0.9, 1.25, 500), (0.9, 1.5, 150)])
def test_a_shift_is_found_in_time(phi: float, ratio: float, most_s: int) -> None:
    delays = []
    for seed in range(9):
        both = series(seed, 600 + 3000, phi)
        delays.append(found_at(both[:600], [v + math.log(ratio) for v in both[600:]]) or math.inf)
    assert max(delays) <= 3 * most_s
    assert sorted(delays)[4] <= most_s


def test_evidence_once_given_stays() -> None:
    evidence = Evidence(series(1, 600))
    for value in [*series(2, 60, shift=0.3), *series(3, 600, shift=-0.3)]:
        evidence.add(value)
    assert evidence.peak >= ENOUGH > evidence.log_e


def test_a_gap_is_no_jump() -> None:
    """What comes after a gap does not hang together with what was before it."""
    both = series(5, 1200, 0.9)
    evidence = Evidence(both[:600])
    for at, value in enumerate(both[600:]):
        if at % 100 == 50:
            evidence.gap()
        evidence.add(value)
    assert evidence.peak < ENOUGH


def test_the_interval_holds_the_truth() -> None:
    missed = 0
    for seed in range(20):
        evidence = Evidence(series(seed, 600, 0.6))
        for value in series(seed + 500, 900, 0.6, shift=0.2):
            evidence.add(value)
        found = evidence.interval()
        assert found is not None
        assert found.low < found.middle < found.high
        assert found.high - found.low < 0.2
        missed += not found.low <= 0.2 <= found.high
    assert missed <= 1


def test_the_interval_narrows_and_its_cost_does_not_grow() -> None:
    evidence, widths = Evidence(series(1, 600)), []
    for at, value in enumerate(series(2, 6400), 1):
        evidence.add(value)
        if at in (100, 1600, 6400):
            found = evidence.interval()
            assert isinstance(found, Interval)
            widths.append(found.high - found.low)
    assert widths[0] > widths[1] > widths[2]
    assert len(evidence._groups) <= 48
    assert len(evidence._seen) <= 3600


def test_power_tells_beforehand_how_long_it_takes() -> None:
    evidence = Evidence(series(1, 600))
    evidence.add(0.0)
    told = evidence.seconds_until(math.log(1.1), ENOUGH)
    took = sorted(found_at(series(s, 600), series(s + 50, 600, shift=math.log(1.1))) for s in range(9))[4]
    assert took / 2 < told < took * 3
    for value in series(2, 300):
        evidence.add(value)
    assert evidence.smallest(ENOUGH) < 0.08
    assert evidence.seconds_until(1.0, ENOUGH) == 0.0
    assert evidence.seconds_until(0.0, ENOUGH) == math.inf


def test_it_goes_through_pickle_and_on() -> None:
    one = Evidence(series(1, 600))
    for value in series(2, 100):
        one.add(value)
    two = pickle.loads(pickle.dumps(one))
    for value in series(3, 100, shift=0.1):
        one.add(value)
        two.add(value)
    assert one.log_e == two.log_e != 0.0


def test_arithmetic_without_loss() -> None:
    assert growth(0.0) == 0.0
    assert growth(-400.0) == pytest.approx(-800 + math.log(2))
    assert growth(400.0) == pytest.approx(math.log(2))
    assert average([-math.inf, -math.inf]) == -math.inf
    assert average([1000.0, 0.0]) == pytest.approx(1000 - math.log(2))
    assert threshold(0.01, 4) == pytest.approx(math.log(800))
    assert growth_of(0.001) == 0.0
    assert smallest_effect(1.0) == math.inf
    assert growth_of(smallest_effect(0.1)) >= 0.1


# -- counts ----------------------------------------------------------------------------------------------------------------------


def counts(random: Random, seconds: int, rates: tuple[float, float], shares: tuple[float, float], burst: int = 1) -> list[Counts]:
    found = []
    for _ in range(seconds):
        events = [burst * sum(random.random() < share / burst for _ in range(int(rate))) for rate, share in zip(rates, shares, strict=True)]
        found.append(Counts(events[0], rates[0], events[1], rates[1]))
    return found


@pytest.mark.parametrize(("rates", "burst"), [((50, 50), 1), ((10, 90), 1), ((90, 10), 1), ((50, 50), 8), ((10, 90), 8)])
def test_as_many_slow_requests_are_no_alarm_however_uneven_or_bursty(rates: tuple[float, float], burst: int) -> None:
    alarms = 0
    for seed in range(20):
        random = Random(seed)
        evidence = CountEvidence(counts(random, 300, rates, (0.02, 0.02), burst))
        for second in counts(random, 1200, rates, (0.02, 0.02), burst):
            evidence.add(second)
        alarms += evidence.peak >= ENOUGH
    assert alarms <= 1


def test_more_slow_requests_are_found_and_measured() -> None:
    random = Random(1)
    evidence = CountEvidence(counts(random, 300, (10, 90), (0.01, 0.01)))
    for second in counts(random, 300, (10, 90), (0.04, 0.01)):
        evidence.add(second)
    found = evidence.ratio()
    assert evidence.peak >= ENOUGH
    assert found is not None
    assert found[0] < 4 < found[2]
    assert found[0] > 1.5


def test_a_few_more_slow_requests_are_tolerated() -> None:
    alarms = {1.0: 0, 1.25: 0}
    for seed in range(6):
        for least in alarms:
            random = Random(seed)
            evidence = CountEvidence(counts(random, 300, (100, 100), (0.02, 0.02)), least)
            for second in counts(random, 3000, (100, 100), (0.024, 0.02)):
                evidence.add(second)
            alarms[least] += evidence.peak >= ENOUGH
    assert alarms[1.0] >= 5
    assert alarms[1.25] == 0


def test_seconds_without_traffic_or_with_nonsense_say_nothing() -> None:
    evidence = CountEvidence()
    for bad in (Counts(1, 0, 0, 5), Counts(1, 5, 0, 0), Counts(math.nan, 5, 0, 5), Counts(-1, 5, 0, 5), Counts(0, math.inf, 0, 5)):
        evidence.add(bad)
    assert (evidence.peak, evidence.dispersion, evidence.ratio()) == (0.0, None, None)


# -- single points, and the past ---------------------------------------------------------------------------------------------------


def test_one_in_ten_points_ten_times_slower_is_found_within_200() -> None:
    found = 0
    for seed in range(40):
        random = Random(seed)
        pairs = [(math.exp(random.gauss(0, 0.1)), math.exp(random.gauss(0, 0.1))) for _ in range(800)]
        points = Points(pairs[:600])
        for candidate, baseline in pairs[600:]:
            points.add(candidate * (10 if random.random() < 0.1 else 1), baseline)
        found += points.peak >= ENOUGH
    assert found >= 38


def test_rare_spikes_are_found_on_a_series_that_hangs_together_too() -> None:
    random = Random(1)
    for phi in (0.6, 0.9):
        both = series(1, 1800, phi)
        assert found_at(both[:600], [v + (math.log(10) if random.random() < 0.1 else 0.0) for v in both[600:]])


def test_bursts_as_often_on_either_side_are_no_shift() -> None:
    alarms = 0
    for seed in range(24):
        random, both, level = Random(seed), series(seed, 2400), 0.0
        for at in range(len(both)):
            level = 0.8 * level + (random.choice((-3.0, 3.0)) if random.random() < 0.01 else 0.0)
            both[at] += level
        alarms += found_at(both[:600], both[600:]) > 0
    assert alarms <= 1


def test_points_that_are_none_are_left_out() -> None:
    points = Points([(1.0, 1.0)] * 100)
    for pair in ((0.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.inf)):
        points.add(*pair)
    assert points.difference.seconds == 0


def test_a_load_that_was_never_seen_has_no_baseline() -> None:
    past = Matched([Moment(float(at), 100.0 if at % 2 else 400.0, (1.0 if at % 2 else 2.0,)) for at in range(0, 6000, 10)])
    assert past.expected(Moment(9e4, 3000.0, ())) is None
    assert past.expected(Moment(9e4, 0.0, ())) is None
    assert past.expected(Moment(9e4, math.nan, ())) is None
    assert Matched([]).expected(Moment(0.0, 1.0, ())) is None


def test_the_past_answers_for_the_same_volume_volatility_and_hour() -> None:
    def value(volume: float, wild: float, hour: int) -> float:
        return volume / 100 + wild + hour / 100

    rows = [(v, w, h) for v in (100.0, 400.0) for w in (1.0, 5.0) for h in (3, 15) for _ in range(40)]
    past = Matched([Moment(h * 3600.0 + i * 86_400, v, (value(v, w, h), math.nan), w) for i, (v, w, h) in enumerate(rows)])
    for volume, wild, hour in ((100.0, 1.0, 3), (100.0, 5.0, 15), (400.0, 1.0, 15)):
        found = past.expected(Moment(hour * 3600.0 + 1e3 * 86_400, volume, (), wild))
        assert found is not None
        assert found[0] == pytest.approx(value(volume, wild, hour))
        assert math.isnan(found[1])


def test_the_same_volume_under_another_load_or_in_another_market_is_not_alike() -> None:
    past = Matched([Moment(float(at), 100.0, (1.0,), 0.0, 300.0) for at in range(0, 6000, 10)])
    assert past.expected(Moment(9e4, 100.0, (), 0.0, 300.0)) == (1.0,)
    assert past.expected(Moment(9e4, 100.0, (), 0.0, 900.0)) is None
    assert past.expected(Moment(9e4, 100.0, (), 3000.0, 300.0)) is None, "a gauge at nothing is a calm market, not an unknown one"
    assert past.expected(Moment(9e4, 100.0, ())) == (1.0,), "what is not known tells nothing apart"


def test_the_volume_of_few_requests_may_differ_by_chance() -> None:
    for requests, found in ((50.0, (1.0,)), (5000.0, None)):
        past = Matched([Moment(float(at), 10.0, (1.0,), requests=requests) for at in range(0, 6000, 10)])
        assert past.expected(Moment(9e4, 16.0, (), requests=requests)) == found
