"""Every action of the window as a command, text or `--json`, through the same core and the same refusals.

Exit status: 0 done, 1 failed, 2 refused or bad usage, 3 outcome unknown. One JSON document on standard output with `--json`, an error
too: {"error": {"title", "message", "hint", "reasons"}}; the shape of each answer stands in the command's `--help`.
"""

from __future__ import annotations

import json
import logging
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from cockpit import (
    cli_act,
    cli_connect,
    cli_follow,
    cli_judge,
    cli_place,
    cli_policy,
    cli_read,
    cli_regressions,
    cli_rollout,
    cli_unblock,
    cli_watch,
    cli_words,
)
from cockpit.cli_arguments import Usage, parser
from cockpit.cli_session import Session, session
from cockpit.cli_text import Out, plain
from cockpit.domain.errors import CockpitError, ConfigError, NotAllowed, OutcomeUnknown
from cockpit.paths import Paths, find_paths

Document = dict[str, Any]
log = logging.getLogger("cockpit.cli")

FAILED, REFUSED, UNKNOWN = 1, 2, 3
LOOK_BACK = ("activity", "journal")  # need no settings: the journal outlives them

READ: dict[str, tuple[Callable[[Session, Namespace], Document], Callable[[Document, Session], list[str]]]] = {
    "status": (cli_read.show_status, cli_read.text_of_status),
    "pending": (cli_read.show_pending, cli_read.text_of_pending),
    "checks": (cli_read.show_checks, cli_read.text_of_checks),
    "latency": (cli_read.show_latency, cli_read.text_of_latency),
    "activity": (cli_read.show_activity, cli_read.text_of_activity),
    "journal": (cli_read.show_journal, cli_read.text_of_journal),
    "sources": (cli_read.show_sources, cli_read.text_of_sources),
    **cli_words.COMMANDS,
    "rollback": (cli_act.act, cli_act.text_of_act),
    **cli_rollout.COMMANDS,
    **cli_unblock.COMMANDS,
    **cli_watch.COMMANDS,
    **cli_follow.COMMANDS,
    **cli_regressions.COMMANDS,
}
ALONE: dict[str, tuple[Callable[[Paths, Out, Namespace], Document], Callable[[Document, Out], list[str]]]] = {
    "open": (cli_place.open_repository, cli_place.text_of_open),
    "playground": (cli_place.playground, cli_place.text_of_playground),
    "policy": (cli_policy.policy, cli_policy.text_of_policy),
    "connect": (cli_connect.connect, cli_connect.text_of_connect),
    "judge": (cli_judge.judge, cli_judge.text_of_judge),
}


def main(argv: Sequence[str]) -> int:
    """Run one command (arguments without the program's name); answers the exit status. Never raises."""
    out = Out("--json" in argv)
    result = _main(argv, out)
    if out.lost:
        out.tell(f"■ The answer could not be written: {out.lost}")
    return result or (FAILED if out.lost else 0)


def _main(argv: Sequence[str], out: Out) -> int:
    try:
        options = parser().parse_args(list(argv))
        _check(options)
        return _run(options, out)
    except SystemExit as ended:
        # --help and --version: what they printed is written here, where a reader that went away does no harm
        out.raw("")
        return int(ended.code or 0)
    except Exception as error:  # noqa: BLE001 - whatever happens, a person gets words and a script gets a status
        return _fail(error, out)
    except KeyboardInterrupt:
        return _fail(CockpitError("You stopped it.", title="Stopped"), out)


def _check(options: Namespace) -> None:
    if options.command == "checks" and options.version and not options.service:
        raise Usage("--version needs a SERVICE.", hint="release-cockpit checks SERVICE --version VERSION")
    if options.command == "playground":
        cli_place.check_playground(options)
    if options.command == "connect":
        cli_connect.check_connect(options)
    if options.command == "regressions":
        cli_regressions.check_regressions(options)
    if options.command == "activity" and options.csv and options.json:
        raise Usage("--csv and --json cannot both be.", hint="Choose one.")


def _run(options: Namespace, out: Out) -> int:
    paths = find_paths(options.data_dir)
    if options.command in ALONE:
        work, text = ALONE[options.command]
        document = work(paths, out, options)
        _print(document, lambda: text(document, out), out)
        return 0
    result: int | None = None
    try:
        with session(paths, out, looks_back=options.command in LOOK_BACK) as current:
            result = _answer(current, options, out)
    except KeyboardInterrupt:
        # while closing: what was answered before stays true
        if result is None:
            raise
    return FAILED if result is None else result


def _answer(current: Session, options: Namespace, out: Out) -> int:
    make, words = READ[options.command]
    try:
        answer = make(current, options)
    except Exception as error:  # noqa: BLE001 - told before the core is closed, which may take a while
        current.tell_problems()
        return _fail(error, out)
    current.tell_problems()
    if not getattr(options, "csv", False):
        _print({**answer, "problems": current.problems()}, lambda: words(answer, current), out)
    return current.result


def _print(document: Document, text: Callable[[], list[str]], out: Out) -> None:
    if out.as_json:
        out.raw(json.dumps(document, indent=2, default=str) + "\n")
        return
    for line in text():
        out.line(line)


def _fail(error: BaseException, out: Out) -> int:
    """Say it, as text or as JSON; answers the exit status."""
    title, message, hint = _words(error)
    reasons = list(getattr(error, "reasons", None) or getattr(error, "problems", None) or ())
    if out.as_json:
        extra: Document = getattr(error, "document", {})
        more = {"plan": extra} if "preflight" in extra else extra
        body = {"error": {"title": title, "message": message, "hint": hint, "reasons": reasons}, **more}
        out.raw(json.dumps(body, indent=2, default=str) + "\n")
    else:
        out.tell(f"■ {plain(title)}: {plain(message)}" if len(reasons) < 2 else f"■ {plain(title)}:")
        for reason in reasons if len(reasons) > 1 else ():
            out.tell(f"    {plain(reason)}")
        if hint:
            out.tell(f"  {plain(hint)}")
    if isinstance(error, OutcomeUnknown):
        return UNKNOWN
    return REFUSED if isinstance(error, NotAllowed | ConfigError) else FAILED


def _words(error: BaseException) -> tuple[str, str, str]:
    """Title, message and hint; the playground has errors of its own with the same three."""
    title = getattr(error, "title", None)
    if isinstance(title, str):
        return title, str(getattr(error, "message", error)), str(getattr(error, "hint", ""))
    log.info("a command failed", exc_info=error)
    return "A defect in Release Cockpit", f"{type(error).__name__}: {error}", "Please report it with the command that you typed."
