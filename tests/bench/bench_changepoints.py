"""Change points: recall, false alarms and cost, beside the plain methods of the papers on the same series.

The series: levels with gaussian noise, N / 100 + 1 changes (4 at 300, 11 at 1,000) of 1.5 to 4 standard deviations, up and down, no
level shorter than 20; "outliers" adds values 8 to 20 deviations off, on average 3 in 100. A change is found where one is reported within
5 values of it, each report counting once; all other reports are false. "quiet" is noise without a change, with and without outliers.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import Struct

from cockpit.domain.changepoints import change_points

NEAR = 5
SERIES = 40  # of each kind and length
TIMED = 9
Find = Callable[[Any], list[int]]


class Score(Struct, frozen=True):
    """Of many series: the share of changes found, false reports a series."""

    recall: float
    false: float


def series(rng: np.random.Generator, n: int, changes: int, outliers: float) -> tuple[Any, list[int]]:
    """One series and where it changes."""
    room = n - 20 * (changes + 1)
    places = [20 * (i + 1) + int(at) for i, at in enumerate(np.sort(rng.integers(0, room, changes)))] if changes else []
    x, level = rng.normal(0.0, 1.0, n) + 50.0, 0.0
    for start, end in zip(places, [*places[1:], n], strict=False):
        level += float(rng.uniform(1.5, 4.0)) * float(rng.choice([-1.0, 1.0]))
        x[start:end] += level
    far = rng.random(n) < outliers
    x[far] += rng.uniform(8.0, 20.0, int(far.sum())) * rng.choice([-1.0, 1.0, 1.0], int(far.sum()))
    return x, places


def ours(x: Any) -> list[int]:
    """What the cockpit uses."""
    return [c.index for c in change_points(x)]


def ediv_t(x: Any, p_max: float = 0.001, least: int = 5) -> list[int]:
    """E-divisive by means (Matteson and James), each split confirmed by a t-test with the normal distribution (as Hunter and Otava do)."""
    found, waiting = [], [(0, len(x))]
    while waiting:
        start, end = waiting.pop()
        z = x[start:end]
        n = len(z)
        if n < 2 * least:
            continue
        sums = np.zeros((n + 1, n + 1))
        sums[1:, 1:] = np.abs(z[:, None] - z[None, :]).cumsum(0).cumsum(1)
        t = np.arange(least, n - least + 1)
        m = n - t
        across = 2 * (sums[t, n] - sums[t, t]) / (t * m)
        inner = sums[t, t] / (t * np.maximum(t - 1, 1))
        outer = (sums[n, n] - sums[t, n] - sums[n, t] + sums[t, t]) / (m * np.maximum(m - 1, 1))
        at = int(t[((t * m / n) * (across - inner - outer)).argmax()])
        left, right = z[:at], z[at:]
        error = math.sqrt(left.var(ddof=1) / len(left) + right.var(ddof=1) / len(right)) or 1e-300
        if math.erfc(abs(left.mean() - right.mean()) / error / math.sqrt(2)) < p_max:
            found.append(start + at)
            waiting += [(start, start + at), (start + at, end)]
    return sorted(found)


def pelt(x: Any, beta: float = 3.0, least: int = 5, clip: float = 0.0) -> list[int]:
    """PELT with the squared error (Killick and others); `clip` deviations around a running median bound outliers, 0 = not."""
    n, steps = len(x), np.diff(x)
    variance = (1.4826 * float(np.median(np.abs(steps - np.median(steps))))) ** 2 / 2 or 1e-300
    if clip:
        middle = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(x, 2, mode="edge"), 5), axis=1)
        x = np.clip(x, middle - clip * math.sqrt(variance), middle + clip * math.sqrt(variance))
    penalty = beta * math.log(n) * variance
    sums, squares = np.concatenate([[0], np.cumsum(x)]), np.concatenate([[0], np.cumsum(x * x)])
    best, last, starts = np.full(n + 1, np.inf), np.zeros(n + 1, int), np.array([0])
    best[0] = -penalty
    for end in range(least, n + 1):
        cost = best[starts] + squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / (end - starts) + penalty
        i = int(cost.argmin())
        best[end], last[end] = cost[i], starts[i]
        starts = starts[cost - penalty <= best[end]]
        if end - least + 1 >= least:
            starts = np.append(starts, end - least + 1)
    found, at = [], int(last[n])
    while at > 0:
        found.append(at)
        at = int(last[at])
    return sorted(found)


def score(find: Find, kind: list[tuple[Any, list[int]]]) -> Score:
    """How well `find` does on these series."""
    hit = wanted = false = 0
    for x, places in kind:
        left = list(find(x))
        for place in places:
            near = min(left, key=lambda at: abs(at - place), default=None)
            if near is not None and abs(near - place) <= NEAR:
                hit += 1
                left.remove(near)
        wanted, false = wanted + len(places), false + len(left)
    return Score(hit / wanted if wanted else 1.0, false / len(kind))


def kinds(n: int, seed: int = 8) -> dict[str, list[tuple[Any, list[int]]]]:
    """The series of a length, the same each time."""
    rng = np.random.default_rng(seed)
    changes = n // 100 + 1
    return {
        "clean": [series(rng, n, changes, 0.0) for _ in range(SERIES)],
        "outliers": [series(rng, n, changes, 0.03) for _ in range(SERIES)],
        "quiet": [series(rng, n, 0, share) for _ in range(SERIES // 2) for share in (0.0, 0.03)],
    }


RIVALS: dict[str, Find] = {"ediv_t": ediv_t, "pelt": pelt, "pelt clipped at 4": lambda x: pelt(x, clip=4.0)}


def run() -> list[dict[str, object]]:
    """Recall, false alarms and cost beside each rival's on the same series."""
    results: list[dict[str, object]] = []
    for n in (300, 1_000):
        for kind, every in kinds(n).items():
            mine = score(ours, every)
            for name, rival in RIVALS.items():
                theirs = score(rival, every)
                results += _entries(f"change points, N={n:,}, {kind}, against {name}", mine, theirs, quiet=kind == "quiet")
                if kind == "outliers":
                    results.append(_cost(f"change points, N={n:,}, {kind}, against {name}: cost", rival, every))
    return results


def _cost(name: str, rival: Find, every: list[tuple[Any, list[int]]]) -> dict[str, object]:
    """Milliseconds a series; the ratio is the median of pairs taken in turn."""
    pairs = [(_ms(ours, x), _ms(rival, x)) for x, _ in every[:TIMED]]
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    return {"name": name, "ours": mine, "rival": theirs, "unit": "ms", "ratio": ratio, "target": "at most 1.5", "holds": ratio <= 1.5}


def _ms(find: Find, x: Any) -> float:
    start = time.perf_counter()
    find(x)
    return (time.perf_counter() - start) * 1e3


def _entries(name: str, mine: Score, theirs: Score, *, quiet: bool) -> list[dict[str, object]]:
    def entry(what: str, a: float, b: float, unit: str, target: str, holds: bool) -> dict[str, object]:
        ratio = a / b if b else (1.0 if a == b else math.inf)
        return {"name": f"{name}: {what}", "ours": a, "rival": b, "unit": unit, "ratio": ratio, "target": target, "holds": holds}

    found = [entry("false alarms", mine.false, theirs.false, "a series", "at most", mine.false <= theirs.false)]
    if not quiet:
        found.insert(0, entry("recall", mine.recall, theirs.recall, "share", "at least", mine.recall >= theirs.recall))
    return found
