"""The judge of releases: false alarms, delay, rare slow intervals, and real faults; beside the rules that others use.

Set RELEASE_COCKPIT_PETSHOP to a folder of labelled faults (noissue/metrics.csv and test/issue_*/) for the last ones.
"""

from __future__ import annotations

import math
import os
import statistics
from multiprocessing import get_context
from pathlib import Path
from random import Random
from unittest.mock import patch

from cockpit.domain import evidence
from cockpit.domain.evidence import threshold
from cockpit.domain.faults import RULES, judge_faults
from cockpit.domain.judge import TOLERATED
from cockpit.domain.lenses import Points
from cockpit.storage.labelled import read_labelled

ALPHA = 0.01
BEFORE_S, LOOKS = 600, 7_200
SAME_RUNS, SHIFTED_RUNS, SPIKED_RUNS = 400, 200, 200  # of 40 shifted ones the median is no better known than by 15 %
PHIS, SHIFTS = (0.0, 0.6, 0.9), (0.10, 0.25, 0.50)
SD = 0.15  # of the logarithm of a second's value on each side and of their difference: half of the noise is shared
SPIKED, SLOWER, POINTS = 0.10, 10.0, (50, 200)
TOLERANCE, CONFIDENCE_Z = 0.25, 2.326  # Kayenta's constants: a 98 % interval must lie beyond a quarter of its own estimate
PETSHOP = "RELEASE_COCKPIT_PETSHOP"
RATE = 0.01


def wave(random: Random, count: int, phi: float, sd: float) -> list[float]:
    """A stationary autoregression of first order."""
    left, value, found = sd * math.sqrt(1 - phi * phi), random.gauss(0, sd), []
    for _ in range(count):
        found.append(value)
        value = phi * value + random.gauss(0, left)
    return found


def both_sides(seed: str, count: int, phi: float) -> tuple[list[float], list[float]]:
    """Candidate and baseline of the same version, as latencies."""
    random, own = Random(seed), SD / math.sqrt(2)
    shared, one, other = (wave(random, count, phi, own) for _ in range(3))
    return [math.exp(s + a) for s, a in zip(shared, one, strict=True)], [math.exp(s + b) for s, b in zip(shared, other, strict=True)]


def found_after(job: tuple[str, float, float, float, int]) -> int:
    """The look at which the judge says worse; 0 for never. `job`: seed, phi, shift, share of spikes, looks."""
    seed, phi, shift, spikes, count = job
    candidate, baseline = both_sides(seed, BEFORE_S + count, phi)
    random, enough = Random(f"{seed} spikes"), threshold(ALPHA)
    points = Points(list(zip(candidate[:BEFORE_S], baseline[:BEFORE_S], strict=True)), tolerated=TOLERATED)
    for look in range(count):
        factor = SLOWER if spikes and random.random() < spikes else 1.0
        points.add(candidate[BEFORE_S + look] * (1 + shift) * factor, baseline[BEFORE_S + look])
        if points.peak >= enough:
            return look + 1
    return 0


def plain_found_after(job: tuple[str, float, float, float, int]) -> int:
    """The same evidence on plain blocks of four autocorrelation times: nothing of the last second is taken out of the next."""
    with patch.object(evidence, "autoregression", return_value=()):
        return found_after(job)


def kayenta_fails(candidate: list[float], baseline: list[float]) -> bool:
    """Kayenta's rule: the 98 % interval of the Hodges-Lehmann shift lies above the tolerance around zero."""
    import numpy

    differences = numpy.sort(numpy.subtract.outer(numpy.array(candidate), numpy.array(baseline)).ravel())
    n, m = len(candidate), len(baseline)
    low = int(max(0, math.floor(n * m / 2 - CONFIDENCE_Z * math.sqrt(n * m * (n + m + 1) / 12))))
    return bool(differences[low] > TOLERANCE * abs(numpy.median(differences)))


def _spiked(count: int) -> list[bool]:
    """Whether Kayenta's rule finds them, for the same series as the judge's."""
    found = []
    for run in range(SPIKED_RUNS):
        seed = f"spiked {count} {run}"
        candidate, baseline = both_sides(seed, BEFORE_S + count, 0.0)
        random = Random(f"{seed} spikes")
        slow = [v * (SLOWER if random.random() < SPIKED else 1.0) for v in candidate[BEFORE_S:]]
        found.append(kayenta_fails(slow, baseline[BEFORE_S:]))
    return found


def run() -> list[dict[str, object]]:
    """False alarms and shares in percent, delays in looks of a second."""
    processes = min(2, os.cpu_count() or 1)
    with get_context("spawn").Pool(processes) as pool:
        entries: list[dict[str, object]] = []
        for phi in PHIS:
            jobs = [(f"same {phi} {i}", phi, 0.0, 0.0, LOOKS) for i in range(SAME_RUNS)]
            share = _percent([bool(f) for f in pool.map(found_after, jobs, chunksize=10)])
            name = f"judge: false alarms, {SAME_RUNS} A/A runs of two hours, autocorrelation {phi:g}"
            entries.append(_entry(name, share, ALPHA * 100, "%", share / (ALPHA * 100), 1.0, share <= ALPHA * 100))
            for shift in SHIFTS:
                jobs = [(f"shift {phi} {shift} {i}", phi, shift, 0.0, LOOKS) for i in range(SHIFTED_RUNS)]
                delays = pool.map(found_after, jobs, chunksize=5)
                after, blocks = _middle(delays), _middle(pool.map(plain_found_after, jobs, chunksize=5))
                name = f"judge: delay to see {shift:+.0%}, autocorrelation {phi:g}, beside plain blocks"
                entries.append(_entry(name, after, blocks, "s", after / blocks, 1.3, after <= 1.3 * blocks and all(delays)))
        for count in POINTS:
            jobs = [(f"spiked {count} {i}", 0.0, 0.0, SPIKED, count) for i in range(SPIKED_RUNS)]
            share = _percent([bool(f) for f in pool.map(found_after, jobs, chunksize=10)])
            rival, target = _percent(_spiked(count)), 95.0 if count == POINTS[-1] else 0.0
            name = f"judge: 10 % of intervals ten times slower, found in {count} points, beside Kayenta's rule"
            entries.append(_entry(name, share, rival, "%", share / rival if rival else math.inf, target, share >= target))
    return entries + _petshop()


def _petshop() -> list[dict[str, object]]:
    """Real faults: found at the same rate of false alarms as the better of the two rivals."""
    folder = os.environ.get(PETSHOP, "")
    if not folder or not Path(folder).is_dir():
        print(f"judge: {PETSHOP} names no folder: the figures on real faults are left out")
        return []
    labelled, entries = read_labelled(Path(folder)), []
    for metric in sorted({fault.metric for fault in labelled.faults}):
        judged = judge_faults(labelled.fault_free, [f for f in labelled.faults if f.metric == metric])
        found = {rule: judged.share_found(rule, RATE) for rule in RULES}
        ours, of = found["judge"]
        rival = max(found[rule][0] for rule in RULES if rule != "judge")
        words = ", ".join(f"{rule} {n} of {of} at {judged.false_alarms(rule, RATE):.2%}" for rule, (n, _) in found.items())
        print(f"judge on real faults, {metric}: {words}")
        name = (
            f"judge: real faults found of {of} ({metric}) at {RATE:.0%} false alarms, beside the better of Mann-Whitney and 99th percentile"
        )
        entries.append(_entry(name, ours, rival, "faults", ours / rival if rival else math.inf, 1.0, ours > rival))
    return entries


def _middle(delays: list[int]) -> float:
    return statistics.median(d or math.inf for d in delays)


def _percent(found: list[bool]) -> float:
    return 100 * sum(found) / len(found)


def _entry(name: str, ours: float, rival: float, unit: str, ratio: float, target: float, holds: bool) -> dict[str, object]:
    shown = round(ratio, 3) if math.isfinite(ratio) else "infinite"
    return {"name": name, "ours": ours, "rival": rival, "unit": unit, "ratio": shown, "target": target, "holds": holds}
