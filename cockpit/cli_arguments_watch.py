"""What may be typed to see alerts, to take nodes out of the traffic, and to answer steps of other systems that wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _alerts(parser: Any) -> None:
    parser.add_argument("service", nargs="?", default="", help="only this service")
    parser.add_argument("--environment", default="", metavar="NAME", help="only this environment")


def _node(parser: Any) -> None:
    for name in ("service", "environment", "node"):
        parser.add_argument(name, metavar=name.upper())
    parser.add_argument("--yes", action="store_true", help="do it without asking")
    parser.add_argument("--reason", default="", metavar="TEXT", help="stands in the journal")


def _gates(parser: Any) -> None:
    parser.add_argument("service", nargs="?", default="", help="only this service")


def _gate(parser: Any) -> None:
    parser.add_argument("what", choices=("approve", "reject"))
    parser.add_argument("gate", metavar="ID", help="as `gates` shows it, or how it begins")
    parser.add_argument("--yes", action="store_true", help="do it without asking")
    parser.add_argument("--comment", default="", metavar="TEXT", help="goes along; a rejection needs one")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise ValueError
    return value


def _watch(parser: Any) -> None:
    for name in ("service", "environment"):
        parser.add_argument(name, metavar=name.upper())
    words = "for so long at most; without it to the watch's end"
    parser.add_argument("--for", dest="seconds", type=_seconds, default=86_400.0, metavar="SECONDS", help=words)


_VERDICT = "{state, sentence, at_us, after_s, operation, lens, ratio, low, high, smallest, visible_in_s, since_us, broken, was}"
_DEED = "{deed: {key, kind, service, environment, subject, connection, who, reason, state: done|refused|not sent|unknown, message}}"
WATCH: tuple[tuple[str, str, str, str, Callable[[Any], None]], ...] = (
    (
        "alerts",
        "what fires, since when, and who silenced it",
        "alerts\n  release-cockpit alerts order-gateway --environment production --json",
        (
            "{alerts: [{id, name, severity, service, environment, state, silenced_by, inhibited_by, since_us,\n"
            "  age_s, summary, url, source}],\n"
            "  sources: [{id, source, seen_at_us, age_s, stale}]}"
        ),
        _alerts,
    ),
    (
        "drain",
        "take one node out of the traffic at once, in a freeze too",
        'drain order-gateway production production-2\n  release-cockpit drain order-gateway production production-2 --yes --reason "p99"',
        _DEED,
        _node,
    ),
    ("ready", "bring a node back into the traffic", "ready order-gateway production production-2 --yes", _DEED, _node),
    (
        "gates",
        "steps of other systems that wait for a person",
        "gates\n  release-cockpit gates order-gateway --json",
        (
            "{gates: [{id, connection, service, environment, version, title, approve, reject, who, mine, asked_at_us,\n"
            "  age_s, url, stale}],\n  late: [{id, source, service}]}"
        ),
        _gates,
    ),
    (
        "gate",
        "answer a step of another system that waits",
        'gate approve 4711 --comment "read it"\n  release-cockpit gate reject 4711 --yes --comment "p99"',
        _DEED,
        _gate,
    ),
    (
        "watch",
        "follow the watch over a deployment live: exit status 0 fine, 1 worse, 3 nobody can tell",
        "watch order-gateway production\n  release-cockpit watch order-gateway production --for 300 --json",
        (
            "{watch: {service, environment, deployment, kind, version, from_version, started_us, finished_us, until_us,\n"
            "  state: watching|fine|bad|cannot tell|ended early, requests, wanted, looked_us, ended_us,\n"
            f"  verdict: null | {_VERDICT},\n"
            "  findings: [{kind: verdict|rule|alert|drift|silence|band, text, since_us}],\n"
            "  automatic, countdown, why_not, stopped_by, action,\n"
            "  window: null | {state, verdict, message, at_us} (what an open window wrote last)}}"
        ),
        _watch,
    ),
)
