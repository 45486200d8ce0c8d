"""What may be typed after the commands by which a person gives their word, and sets free what is locked or waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _place(parser: Any) -> None:
    for name in ("service", "version", "environment"):
        parser.add_argument(name, metavar=name.upper())


def _reason(parser: Any, words: str) -> None:
    parser.add_argument("--reason", required=True, metavar="TEXT", help=words)


def _hold(parser: Any) -> None:
    _place(parser)
    _reason(parser, "why nobody may deploy it there")


def _clear(parser: Any) -> None:
    _place(parser)
    _reason(parser, "why it may be deployed again")


def _holds(parser: Any) -> None:
    parser.add_argument("service", nargs="?", default="", help="only this service")
    parser.add_argument("--environment", default="", metavar="NAME", help="only this environment")


def _override(parser: Any) -> None:
    parser.add_argument("environment", metavar="ENVIRONMENT")
    parser.add_argument("--service", default="", metavar="NAME", help="only of this service; else of every one")
    parser.add_argument("--minutes", required=True, type=minutes, metavar="N", help="how long it lasts")
    _reason(parser, "why the freeze is passed")


def _end_override(parser: Any) -> None:
    parser.add_argument("environment", metavar="ENVIRONMENT")
    parser.add_argument("--service", default="", metavar="NAME", help="only what was passed for this service")
    parser.add_argument("--reason", default="", metavar="TEXT", help="stands in the journal")


def _withdraw(parser: Any) -> None:
    parser.add_argument("words", nargs="+", metavar="WORD", help="the beginning of an ID, or SERVICE VERSION ENVIRONMENT")
    parser.add_argument("--reason", default="", metavar="TEXT", help="stands in the journal")


def _break_lock(parser: Any) -> None:
    parser.add_argument("environment", metavar="ENVIRONMENT")
    _reason(parser, "why it is taken away from who holds it; ask them first")


def _let_go(parser: Any) -> None:
    parser.add_argument("key", metavar="KEY", help="of the action, or how it begins; `status` lists those without an outcome")
    _reason(parser, "what was seen on the nodes")


def _sign_off(parser: Any) -> None:
    parser.add_argument("key", metavar="KEY", help="of the action, or how it begins; `debts` lists them")
    parser.add_argument("--comment", required=True, metavar="TEXT", help="what was looked at, and what came of it")


def minutes(text: str) -> int:
    """A whole number of minutes, a week at most."""
    value = int(text)
    if not 1 <= value <= 10_080:
        raise ValueError
    return value


_HOLD = "{service, environment, version, digest, reason, who, at_us, id}"
_OVERRIDE = "{service, environment, who, reason, at_us, until_us, id}"
_REQUEST = "id, service, environment, version, commit, digest, who, name, reason, at_us, until_us"
_DEBT = "{service, environment, version, who, reason, at_us, about, id}"
WORDS: tuple[tuple[str, str, str, str, Callable[[Any], None]], ...] = (
    (
        "hold",
        "nobody deploys this version there until it is cleared",
        'hold order-gateway 1.7.0 production --reason "p99 doubled"',
        f"{{hold: {_HOLD}}}",
        _hold,
    ),
    (
        "clear",
        "clear a hold: the version may be deployed again",
        'clear order-gateway 1.7.0 production --reason "the fix was measured in staging"',
        f"{{cleared: {_HOLD}}}",
        _clear,
    ),
    (
        "holds",
        "versions that nobody may deploy, with who holds them and why",
        "holds\n  release-cockpit holds order-gateway --environment production --json",
        f"{{holds: [{_HOLD}]}}",
        _holds,
    ),
    (
        "override",
        "pass the freezes of an environment for a while; never a hard one",
        'override production --minutes 30 --service order-gateway --reason "CHG-1: clients lose orders"',
        f"{{override: {_OVERRIDE}}}",
        _override,
    ),
    (
        "end-override",
        "freezes that were passed hold again, before the time is over",
        'end-override production\n  release-cockpit end-override production --service order-gateway --reason "CHG-1 is done"',
        f"{{ended: [{_OVERRIDE}]}}",
        _end_override,
    ),
    (
        "requests",
        "versions to be deployed as soon as nothing speaks against it, and what still does",
        "requests\n  release-cockpit requests order-gateway --environment production --json",
        f"{{requests: [{{{_REQUEST}, waits_for: [text]}}]}}",
        _holds,
    ),
    (
        "withdraw",
        "take a request back: nothing goes by itself",
        'withdraw order-gateway 1.7.0 production --reason "1.7.1 comes"\n  release-cockpit withdraw 3f2a',
        f"{{withdrawn: {{{_REQUEST}}}}}",
        _withdraw,
    ),
    (
        "sign-off",
        "look at what one person did alone in an emergency, and sign it off",
        'sign-off 4f2a9c1 --comment "read the change, the tests passed since"',
        f"{{signed_off: {_DEBT}}}",
        _sign_off,
    ),
    (
        "debts",
        "emergencies that a second person has yet to look at",
        "debts\n  release-cockpit debts --json",
        f"{{debts: [{_DEBT}]}}",
        lambda parser: None,
    ),
    (
        "break-lock",
        "take the lock of an environment away from who holds it",
        'break-lock production --reason "Ada\'s machine is off, she says it is done"',
        "{lock: {environment, holder, holding, since_us, reason}}",
        _break_lock,
    ),
    (
        "let-go",
        "wait no more for an action whose system stays silent; its environment is free again",
        'let-go 3f2a --reason "every node runs 1.7.0, the deployer is gone"',
        "{action: {key, state, final, message, let_go, ...}}",
        _let_go,
    ),
)
