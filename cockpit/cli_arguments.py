"""What may be typed: commands, options, examples, and the shape of each answer in JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

import cockpit
from cockpit.cli_arguments_connect import CONNECT
from cockpit.cli_arguments_judge import JUDGE
from cockpit.cli_arguments_measure import MEASURE
from cockpit.cli_arguments_rollout import ROLLOUT
from cockpit.cli_arguments_watch import WATCH
from cockpit.cli_arguments_words import WORDS
from cockpit.domain.errors import NotAllowed

ERROR_SHAPE = '{"error": {"title", "message", "hint", "reasons": [text]}}'
STATUS = "Exit status: 0 done, 1 failed, 2 refused or bad usage, 3 outcome unknown (not settled in time; it goes on)."
FIRST = """examples:
  release-cockpit                                   the window
  release-cockpit open ~/src/gateway --live 1.6.0  what is pending in any git repository
  release-cockpit status                            what runs where
  release-cockpit pending order-gateway             what waits, with its commits, tests and approvals
  release-cockpit rollback order-gateway production go back to the last version that was good
  release-cockpit status --json | jq .places        the same for programs

With --json one document goes to standard output; times are microseconds UTC (*_at_us), ages seconds, null is "not known";
fields are added, never renamed. "problems" lists sources that failed. Every command's --help shows its shape. An error is
"""


class Usage(NotAllowed):
    """The command line makes no sense."""

    title = "Bad usage"


class Parser(argparse.ArgumentParser):
    """argparse whose mistakes are errors like all others."""

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}.", hint=f"See `{self.prog} --help`.")


class Command(Struct, frozen=True):
    """One command: help, examples, the JSON it answers, and its arguments."""

    name: str
    help: str
    examples: str
    shape: str
    add: Callable[[Any], None]


def _service(parser: Any) -> None:
    parser.add_argument("service", nargs="?", default="", help="only this service")


def _environment(parser: Any) -> None:
    parser.add_argument("--environment", default="", metavar="NAME", help="only this environment")


def _limit(parser: Any, default: int, words: str) -> None:
    parser.add_argument("--limit", type=positive, default=default, metavar="N", help=f"{words} (default {default})")


def _open(parser: Any) -> None:
    parser.add_argument("path", metavar="PATH", help="a git working tree or bare repository; nothing is written into it")
    parser.add_argument("--live", default="", metavar="VERSION", help="the version (or tag) that is live: shows what is pending against it")
    parser.add_argument("--service", default="", metavar="NAME", help="which service, where the tags name several")
    parser.add_argument("--window", action="store_true", help="open the window on it instead (needs a display)")
    parser.add_argument("--save", action="store_true", help="write settings with this one service, if there are none yet")
    _limit(parser, 12, "versions shown; commits are read for the newest 48 of them")


def _pending(parser: Any) -> None:
    _service(parser)
    _environment(parser)
    _limit(parser, 12, "versions shown with their commits")


def _checks(parser: Any) -> None:
    _service(parser)
    parser.add_argument("--version", default="", metavar="VERSION", help="only this version; needs a SERVICE")


def _latency(parser: Any) -> None:
    _service(parser)
    _environment(parser)


def _approve(parser: Any) -> None:
    for name in ("service", "version", "environment"):
        parser.add_argument(name, metavar=name.upper())
    parser.add_argument("--reject", action="store_true", help="reject it instead; needs --comment")
    parser.add_argument("--comment", default="", metavar="TEXT")


def _deploy(parser: Any) -> None:
    for name in ("service", "environment", "version"):
        parser.add_argument(name, metavar=name.upper())
    parser.add_argument(
        "--emergency", action="store_true", help="alone, without the approvals: who may stands in the policy; needs --reason, is reviewed"
    )
    _acting(parser)


def _rollback(parser: Any) -> None:
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("environment", metavar="ENVIRONMENT")
    parser.add_argument("--to", dest="version", default="", metavar="VERSION", help="this version; else the last that was good there")
    _acting(parser)


def _acting(parser: Any) -> None:
    parser.add_argument("--yes", action="store_true", help="do it without asking")
    parser.add_argument("--dry-run", action="store_true", help="show the card and send nothing")
    words = "stands in the journal and in the deployment system; passes what can be insisted on"
    parser.add_argument("--reason", default="", metavar="TEXT", help=words)
    parser.add_argument(
        "--timeout", type=seconds, default=300.0, metavar="S", help="how long to follow it (default 300); it goes on after that"
    )


def _activity(parser: Any) -> None:
    parser.add_argument("--text", default="", help="only entries that hold this text")
    parser.add_argument(
        "--kind", action="append", default=[], choices=("intent", "progress", "outcome", "note"), help="only this kind (may be repeated)"
    )
    _limit(parser, 50, "entries")
    parser.add_argument("--csv", action="store_true", help="as CSV")


def _journal(parser: Any) -> None:
    parser.add_argument("what", choices=("verify",), help="recompute the whole chain of hashes")


def _sources(parser: Any) -> None:
    parser.add_argument("--test", default="", metavar="ID", help="test this connection: what is reached, as whom, what is missing")


def _playground(parser: Any) -> None:
    parser.add_argument("what", choices=("start", "stop", "status", "reset", "traffic", "drift", "automatic", "freeze"))
    words = "traffic: calm, volatile or crash; drift: NODE [off]; automatic: SERVICE ENVIRONMENT on|off; freeze: MINUTES"
    parser.add_argument("words", nargs="*", metavar="WORD", help=words)


def _policy(parser: Any) -> None:
    parser.add_argument("what", choices=("show", "diff", "accept", "refuse", "schema"))
    parser.add_argument("--commit", default="", metavar="ID", help="accept or refuse only this commit (or sha256), or one that begins so")
    parser.add_argument("--yes", action="store_true", help="accept without asking")
    parser.add_argument("--reason", default="", metavar="TEXT", help="of a refusal; stands in the journal")


_VERSION_SHAPE = "version, tag, commit, digest, released_at_us"
_CHANGES_SHAPE = (
    "commits_total, missing_total, authors, reviewers,\n"
    "  commits: [{id, author, email, at_us, subject, reviewers, co_authors, files}], missing: [commit]"
)
_ACTION_SHAPE = (
    "{plan: {kind, service, environment, from_version, target, nodes, changes, expected_s,\n"
    "  preflight: [{state, text, age_s, insist}], emergency, insists: [text], refused, reasons},\n"
    "  action: {key, state, final, message, steps, proof, ...},\n"
    "  outcome: done|failed|refused|unknown|dry run, recovered: [action]}"
)
COMMANDS = (
    Command(
        "open",
        "versions of any git repository, and what is pending",
        "open ~/src/gateway\n  release-cockpit open . --live v1.6.0\n  release-cockpit open . --service gateway --live 1.6.0 --save\n"
        "  release-cockpit open . --live 1.6.0 --window",
        f"{{repository, services: [{{name, tag_pattern, path}}], service, versions_total, versions: [{{{_VERSION_SHAPE}}}],\n"
        f"  pending: null | {{live, pending_total, versions: [{{{_VERSION_SHAPE}, {_CHANGES_SHAPE}}}]}}}}",
        _open,
    ),
    Command(
        "status",
        "what runs where: version, nodes in agreement, state, age",
        "status\n  release-cockpit status order-gateway --json",
        "{places: [{service, environment, version, digest, nodes, nodes_agree, state, words, pending, p99_ms, seen_at_us,\n"
        "  age_s, stale}], unfinished: [{at_us, key, action, service, environment, who, version}]}",
        _service,
    ),
    Command(
        "pending",
        "versions that wait, with commits, tests and approvals",
        "pending\n  release-cockpit pending order-gateway --environment production",
        f"{{pending: [{{service, environment, live, pending_total, versions: [{{{_VERSION_SHAPE}, checks, approvals_given,\n"
        f"  approvals_required, ready, reasons, {_CHANGES_SHAPE}}}]}}]}}",
        _pending,
    ),
    Command(
        "checks",
        "tests: suites, counts, what failed",
        "checks order-gateway\n  release-cockpit checks order-gateway --version 1.7.0",
        "{checks: [{service, versions: [{version, commit, state, reasons, run: null | {run, state, suites: [...], failures: [...]}}]}]}",
        _checks,
    ),
    Command(
        "latency",
        "quantiles, rate and errors, against the band of the version before",
        "latency\n  release-cockpit latency order-gateway --environment production --json",
        "{latency: [{service, environment, p50_ms, p90_ms, p99_ms, p999_ms, rate_per_s, error_ratio,\n"
        "  band_low_ms, band_high_ms, band_version, outside, seen_at_us, age_s, stale}]}",
        _latency,
    ),
    Command(
        "approve",
        "approve or reject a version: exactly this commit and artifact",
        'approve order-gateway 1.7.0 production --comment "read it"\n'
        '  release-cockpit approve order-gateway 1.7.0 production --reject --comment "p99"',
        f"{{approval: {{{_VERSION_SHAPE}, service, environment, approved, who, given, required, reasons}}}}",
        _approve,
    ),
    *(Command(*word) for word in WORDS),
    Command(
        "deploy",
        "deploy a version, follow it, prove it",
        "deploy order-gateway staging 1.7.0\n  release-cockpit deploy order-gateway production 1.7.0 --yes --reason CHG-1",
        _ACTION_SHAPE,
        _deploy,
    ),
    Command(
        "rollback",
        "go back to the last good version, follow it, prove it",
        "rollback order-gateway production --dry-run\n  release-cockpit rollback order-gateway production --to 1.6.0 --yes",
        _ACTION_SHAPE,
        _rollback,
    ),
    *(Command(*word) for word in ROLLOUT),
    *(Command(*word) for word in WATCH),
    *(Command(*word) for word in MEASURE),
    Command(
        "activity",
        "the journal: who did what, and what became of it",
        "activity --limit 20\n  release-cockpit activity --text rollback --kind outcome --csv > rollbacks.csv",
        "{entries: [{seq, at_us, kind, key, action, who, service, environment, owner, detail, previous, hash}]}",
        _activity,
    ),
    Command("journal", "check that no entry was changed", "journal verify", "{journal: {ok, count, head, problems}}", _journal),
    Command(
        "sources",
        "every connection's health",
        "sources\n  release-cockpit sources --test deployer",
        "{sources: [{id, title, kind, state, last_success_us, age_s, took_ms, problem}]} | {test: {id, reached, identity, missing}}",
        _sources,
    ),
    *(Command(*word) for word in CONNECT),
    *(Command(*word) for word in JUDGE),
    Command(
        "policy",
        "the rules in force, and a change of them that waits for your word",
        "policy show\n  release-cockpit policy diff\n  release-cockpit policy accept --commit 4f2a9c1\n"
        '  release-cockpit policy refuse --reason "two approvals stay"\n  release-cockpit policy schema > cockpit.schema.json',
        "{policy: {config, accepted: null | {commit, digest, origin, who, at_us}, pending: null | {commit, origin, digest, who, subject,\n"
        "  at_us, problems, rewound, refused}, refused: null | (the same), problem: null | {title, message, hint}, mistakes: [text],\n"
        "  diff (of diff), text (of show), done: accepted|refused}} | a JSON Schema (of schema)",
        _policy,
    ),
    Command(
        "playground",
        "the embedded venue: real processes on this machine",
        "playground start\n  release-cockpit playground traffic volatile\n"
        "  release-cockpit playground drift order-gateway-production-2\n  release-cockpit playground drift order-gateway-production-2 off\n"
        "  release-cockpit playground automatic order-gateway production on\n"
        "  release-cockpit playground freeze 10\n  release-cockpit playground stop",
        "{playground: {directory, started, processes: [{name, pid, port, alive, healthy}],\n"
        "  nodes: [{name, service, environment, version, url, healthy}], problems: [text]}\n"
        "  | {traffic: calm|volatile|crash} | {said: text}}",
        _playground,
    ),
)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise ValueError
    return value


def seconds(text: str) -> float:
    """A duration in seconds, above 0."""
    value = float(text)
    if not 0 < value <= 86_400:
        raise ValueError
    return value


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    top = Parser(
        "release-cockpit",
        description="One window for release managers, and the same from a terminal.",
        epilog=f"{FIRST}{ERROR_SHAPE}.\n\n{STATUS}",
        formatter_class=formatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", dest="show_version", action="version", version=f"release-cockpit {cockpit.__version__}")
    _everywhere(top, None)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for command in COMMANDS:
        epilog = f"examples:\n  release-cockpit {command.examples}\n\nwith --json:\n  {command.shape}\n\n{STATUS}"
        sub = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help.capitalize() + ".",
            epilog=epilog,
            formatter_class=formatter,
            allow_abbrev=False,
        )
        command.add(sub)
        _everywhere(sub, argparse.SUPPRESS)
    return top


def _everywhere(parser: argparse.ArgumentParser, default: Any) -> None:
    """Options that may stand before and after the command: a default below would undo what was given above."""
    above = default is not argparse.SUPPRESS
    parser.add_argument("--json", action="store_true", default=False if above else default, help="one JSON document on standard output")
    words = "keep settings, data and cache below this folder"
    parser.add_argument("--data-dir", type=Path, default=None if above else default, metavar="DIR", help=words)
