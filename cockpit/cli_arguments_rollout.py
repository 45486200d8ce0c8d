"""What may be typed after the commands of rollouts in several steps, and of sets of services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WHAT = ("plan", "rehearse", "start", "status", "go-on", "back", "stop")
PLACED = ("plan", "rehearse", "start")  # need SERVICE ENVIRONMENT [VERSION]; the others but status take a KEY


def _rollout(parser: Any) -> None:
    parser.add_argument("what", choices=WHAT, help="plan, rehearse, start: SERVICE ENVIRONMENT [VERSION]; go-on, back, stop: [KEY]")
    parser.add_argument("words", nargs="*", metavar="WORD", help="SERVICE ENVIRONMENT [VERSION], or the beginning of a KEY")
    _following(parser)


def _rollback_set(parser: Any) -> None:
    parser.add_argument("name", metavar="NAME", help="of [sets.NAME] in the settings")
    parser.add_argument("environment", metavar="ENVIRONMENT")
    words = "this service to this version (may be repeated); else each to the last that was good there"
    parser.add_argument("--to", action="append", default=[], metavar="SERVICE=VERSION", help=words)
    parser.add_argument("--dry-run", action="store_true", help="show the card and send nothing")
    parser.add_argument("--rehearse", action="store_true", help="ask every question of every step, send nothing, keep how long it takes")
    _following(parser)


def _following(parser: Any) -> None:
    parser.add_argument("--yes", action="store_true", help="do it without asking")
    parser.add_argument("--reason", default="", metavar="TEXT", help="stands in the journal; passes what can be insisted on")
    words = "how long to follow it (default 3600); after that nothing more begins until `rollout go-on`"
    parser.add_argument("--timeout", type=_seconds, default=3600.0, metavar="S", help=words)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 604_800:
        raise ValueError
    return value


_SHAPE = (
    "{key, kind, title, state, waits: no|held|paused, message, on_failure, rehearsal, measured_s, steps: [{do, service,\n"
    "  environment, version, from_version, nodes, seconds, ask, percent, mode, undo, state, message, action}]}"
)
ROLLOUT: tuple[tuple[str, str, str, str, Callable[[Any], None]], ...] = (
    (
        "rollout",
        "deploy in steps: by node, canary, blue and green, with bakes, holds and gates",
        (
            "rollout plan order-gateway production\n  release-cockpit rollout start order-gateway production 1.7.0 --yes\n"
            "  release-cockpit rollout status\n  release-cockpit rollout go-on 3f2a\n  release-cockpit rollout back 3f2a --reason p99"
        ),
        f"{{rollout: {_SHAPE},\n  outcome: done|back|stopped|failed|held|paused|plan}} | {{rollouts: [(the same)]}}",
        _rollout,
    ),
    (
        "rollback-set",
        "roll back several services together, in reverse order of dependency",
        (
            "rollback-set trading production --dry-run\n  release-cockpit rollback-set trading production --rehearse\n"
            '  release-cockpit rollback-set trading production --to risk-engine=3.3.0 --yes --reason "wrong fills"'
        ),
        f"{{rollout: {_SHAPE},\n  outcome: done|back|stopped|failed|held|paused|dry run}}",
        _rollback_set,
    ),
)
