"""What may be typed to see how well the judge judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def _judge(parser: Any) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="labelled series: noissue/metrics.csv and (train|test)/issue_*/")
    words = "share of fault-free windows that may alarm (default 0.01)"
    parser.add_argument("--false-alarms", type=share, default=0.01, metavar="SHARE", help=words)


def share(text: str) -> float:
    """A share above 0, at most a half."""
    value = float(text)
    if not 0 < value <= 0.5:
        raise ValueError
    return value


_RULES = "[{rule: judge|mann_whitney|percentile, found, of, share_found, false_alarms}]"
JUDGE: tuple[tuple[str, str, str, str, Callable[[Any], None]], ...] = (
    (
        "judge",
        "how many known faults the judge finds, at what false alarms",
        "judge ~/data/petshop-low\n  release-cockpit judge ~/data/petshop-low --false-alarms 0.02 --json",
        (
            f"{{judge: {{folder, faults, fault_free_windows, false_alarms_asked, rules: {_RULES},\n"
            "  by_metric: {metric: rules}, at_rates: [{false_alarms_asked, rules}],\n"
            "  found: [{fault, node, metric, statistic, change, state: found|not found|no data, why, samples_before,\n"
            "  judge, mann_whitney, percentile}]}\n"
            "  (the last three: the share of fault-free windows that look as bad to that rule)"
        ),
        _judge,
    ),
)
