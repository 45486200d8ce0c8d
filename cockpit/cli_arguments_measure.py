"""What may be typed about measures over versions: what became worse, who knows it, and results of benchmarks from files."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any


def _regressions(parser: Any) -> None:
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("do", nargs="?", default="", choices=("", "acknowledge", "end"), help="say that one is known, or that it is not")
    parser.add_argument("measure", nargs="?", default="", metavar="MEASURE", help="as the list shows it, such as suite:unit")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why it is known; acknowledge needs one")
    parser.add_argument("--days", default=0, type=days, metavar="N", help="how long it is known, at most 90; acknowledge needs it")


def _benchmarks(parser: Any) -> None:
    parser.add_argument("do", choices=("add",))
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("version", metavar="VERSION", help="whose results these are, where the file names none")
    parser.add_argument("file", metavar="FILE", help="JUnit XML, pytest-benchmark or k6 JSON, Locust or plain CSV")


def days(text: str) -> int:
    """A whole number of days, 90 at most."""
    if not text.isdecimal() or not 1 <= int(text) <= 90:
        raise ArgumentTypeError(f"{text!r} is no number of days from 1 to 90")
    return int(text)


_REGRESSION = "{measure, since, last, commit, at_us, before, after, unit, change, p, state: worse|known|over, known_by, reason, until_us}"
MEASURE: tuple[tuple[str, str, str, str, Callable[[Any], None]], ...] = (
    (
        "regressions",
        "what became slower over versions, flaky tests, and who knows it",
        (
            "regressions order-gateway\n  release-cockpit regressions order-gateway --json\n"
            '  release-cockpit regressions order-gateway acknowledge suite:unit --days 14 --reason "CHG-17: more is tested"\n'
            "  release-cockpit regressions order-gateway end suite:unit"
        ),
        (
            f"{{service, runs, measures, longest, regressions: [{_REGRESSION}],\n"
            "  growers: [{measure, level, unit, growth}], flaky: [{suite, test, rate, flips, pairs, same_commit, failed, runs, last}]}\n"
            f"  | {{acknowledged: {_REGRESSION}}} | {{ended: {_REGRESSION}}}"
        ),
        _regressions,
    ),
    (
        "benchmarks",
        "bring in the results of a benchmark",
        "benchmarks add order-gateway 1.7.0 results.json\n  release-cockpit benchmarks add order-gateway 1.7.0 durations.xml --json",
        "{added: {service, versions: [text], results, new}}",
        _benchmarks,
    ),
)
