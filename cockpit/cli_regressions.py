"""The commands about measures over versions: regressions, and benchmarks brought in from files."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cockpit.cli_arguments import Usage
from cockpit.cli_session import Session
from cockpit.cli_text import Cell, Column, State, counted, plain, state_text, table
from cockpit.cli_words import recorded
from cockpit.domain.errors import CockpitError, NotAllowed
from cockpit.domain.lines import moment
from cockpit.domain.measures import Line, Measured, Recorded, Trends, change_words, worse
from cockpit.domain.release import Version
from cockpit.services import regressions, status
from cockpit.services.regressions import Standing
from cockpit.services.runtime import Outcome

Document = dict[str, Any]
DAY_US = 86_400_000_000
WAIT_S = 60.0
GROWERS = 10


def check_regressions(options: Namespace) -> None:
    """What must stand together; Usage where it does not."""
    if options.do and not options.measure:
        raise Usage(f"{options.do} needs a MEASURE.", hint="`release-cockpit regressions SERVICE` lists them.")
    if options.do == "acknowledge" and not (options.reason.strip() and options.days):
        raise Usage("acknowledge needs --reason and --days.", hint='--days 14 --reason "CHG-17: more is tested"')


def _known(session: Session, name: str) -> tuple[str, Trends]:
    """The service, and what is measured of it with what its CI system tells now."""
    (service,) = session.services(name)
    session.load("CiSystem", "SourceControl")
    session.hear()
    measured = session.cockpit.trust.regressions
    measured.begin()
    session.loop.run_until(lambda: service in session.cockpit.store.state.trends and not measured.busy, WAIT_S)
    trends: Trends = session.cockpit.store.state.trends.get(service, Trends())
    return service, trends


def _standing(session: Session, service: str) -> tuple[Standing, ...]:
    return regressions.of_service(session.cockpit.store.state, service, session.cockpit.clock_us())


def show_regressions(session: Session, options: Namespace) -> Document:
    """What became worse, what grows, what is flaky; or a word on one of them."""
    service, trends = _known(session, options.service)
    if options.do == "acknowledge":
        return _acknowledge(session, service, options)
    if options.do == "end":
        return _end(session, service, options)
    found = _standing(session, service)
    told = {s.regression.key for s in found}
    growers = [line for line in trends.lines if line.key not in told and worse(line, line.growth or 0.0)]
    growers = [line for line in growers if abs(line.growth or 0.0) >= regressions.LEAST]  # below it is noise
    growers.sort(key=lambda line: -abs(line.growth or 0.0))
    flaky = [
        {
            "suite": f.suite,
            "test": f.name,
            "rate": f.rate,
            "flips": f.flips,
            "pairs": f.pairs,
            "same_commit": f.same,
            "failed": f.failed,
            "runs": f.runs,
            "last": f.version,
        }
        for f in trends.flaky
    ]
    return {
        "service": service,
        "runs": len(trends.marks),
        "measures": len(trends.lines),
        "longest": regressions.longest(trends),
        "regressions": [_document(session, service, s) for s in found],
        "growers": [_grower(line) for line in growers[:GROWERS]],
        "flaky": flaky,
    }


def _grower(line: Line) -> Document:
    return {"measure": line.key, "level": line.values[-1], "unit": line.unit, "growth": line.growth}


def _document(session: Session, service: str, standing: Standing) -> Document:
    r, word = standing.regression, standing.word
    commit = status.commit_of(session.cockpit.store.state, service, r.version)
    return {
        "measure": r.key,
        "since": r.version,
        "last": r.last,
        "commit": commit,
        "at_us": r.at_us,
        "before": r.before,
        "after": r.after,
        "unit": r.unit,
        "change": r.change if abs(r.change) < 1e300 else None,
        "p": r.p,
        "state": "known" if not standing.loud else "over" if word is not None else "worse",
        "known_by": word.who if word is not None else None,
        "reason": word.reason if word is not None else None,
        "until_us": word.until_us if word is not None else None,
    }


def _one(session: Session, service: str, measure: str) -> Standing:
    found = [s for s in _standing(session, service) if measure in (s.regression.key, s.regression.name)]
    if len(found) != 1:
        known = ", ".join(plain(s.regression.key, 80) for s in _standing(session, service)[:5]) or "nothing became worse"
        raise NotAllowed(f"{plain(measure, 80)} did not become worse.", hint=f"Known: {known}.", title="Nothing to acknowledge")
    return found[0]


def _acknowledge(session: Session, service: str, options: Namespace) -> Document:
    cockpit, one = session.cockpit, _one(session, service, options.measure)
    r, before = one.regression, len(cockpit.store.state.statements)
    version = status.version_of(cockpit.store.state, service, r.last) or Version(service, r.last, "", "", 0)
    cockpit.words.acknowledge(version, r.key, options.reason, cockpit.clock_us() + options.days * DAY_US)
    recorded(session, lambda: len(cockpit.store.state.statements) > before)
    return {"acknowledged": _document(session, service, _one(session, service, r.key))}


def _end(session: Session, service: str, options: Namespace) -> Document:
    one = _one(session, service, options.measure)
    if one.loud or one.word is None:
        raise NotAllowed(f"{plain(options.measure, 80)} is not acknowledged.", hint="Nothing was recorded.")
    session.cockpit.words.end_acknowledgement(one.word, options.reason)
    recorded(session, lambda: any(s.loud for s in _standing(session, service) if s.regression.key == one.regression.key))
    return {"ended": _document(session, service, _one(session, service, one.regression.key))}


def text_of_regressions(document: Document, session: Session) -> list[str]:
    """A row a measure; what is known stays, with who knows it and until when."""
    colour = session.out.colour
    for done, state in (("acknowledged", "held"), ("ended", "bad")):
        if done in document:
            d = document[done]
            until = f", known until {moment(d['until_us'])}: {plain(d['reason'], 300)}" if done == "acknowledged" else " shouts again"
            return [
                state_text(state, f"{plain(d['measure'], 200)} {change_words(d['change'])} since {plain(d['since'], 60)}{until}", colour)
            ]
    if not document["runs"] and not document["measures"]:
        return ["Nothing is measured yet: runs fill this as they end, `release-cockpit benchmarks add` brings in files."]
    lines = _regression_lines(document, colour) or [_nothing_worse(document["longest"], colour)]
    for g in document["growers"]:
        lines.append(f"  grows {change_words(g['growth'])}: {plain(g['measure'], 200)} ({g['level']:.3g} {plain(g['unit'], 20)})")
    for f in document["flaky"]:
        words = f"flaky {f['rate'] * 100:.0f} %: {plain(f['suite'], 80)}/{plain(f['test'], 200)}"
        same = f", {f['same_commit']} on one commit" if f["same_commit"] else ""
        lines.append(
            state_text("warning", f"{words} flipped {f['flips']} of {f['pairs']} times{same}, last with {plain(f['last'], 60)}", colour)
        )
    return lines


def _nothing_worse(longest: int, colour: bool) -> str:
    if longest < regressions.ENOUGH:
        return state_text("pending", f"too few runs to say what became worse, {longest} of {regressions.ENOUGH}", colour)
    return state_text("ok", f"nothing became worse in {counted(longest, 'run')}", colour)


def _regression_lines(document: Document, colour: bool) -> list[str]:
    columns = (Column("state"), Column("measure", limit=80), Column("change", True), Column("level", True), Column("since"))
    rows: list[list[Cell]] = []
    for d in document["regressions"]:
        state = State("held" if d["state"] == "known" else "bad", "known" if d["state"] == "known" else "worse")
        level = f"{d['before']:.3g} to {d['after']:.3g} {plain(d['unit'], 20)}"
        until = f"known until {moment(d['until_us'])}: {d['reason']}" if d["state"] == "known" else ""
        over = f"was known until {moment(d['until_us'])}" if d["state"] == "over" else until
        rows.append([state, d["measure"], change_words(d["change"]), level, d["since"], over])
    return table((*columns, Column("word", limit=80)), rows, colour) if rows else []


def add_benchmarks(session: Session, options: Namespace) -> Document:
    """Keep the results of a file under its versions; the same file again adds nothing."""
    import hashlib

    from cockpit.connectors.benchmarks import MAX_BYTES, parse_any

    (service,) = session.services(options.service)
    try:
        with Path(options.file).open("rb") as file:
            body = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CockpitError(f"{plain(options.file, 200)} cannot be read: {error.strerror or error}.", hint="Check the name.") from None
    found = parse_any(body)
    session.load("SourceControl")
    digest = hashlib.sha256(body).hexdigest()[:16]
    by_version: dict[str, list[Measured]] = {}
    for one in found:
        by_version.setdefault(session.version(service, one.version or options.version).name, []).append(one)
    every = []
    for name, measured in by_version.items():
        version = session.version(service, name)
        at_us = version.released_at_us or session.cockpit.clock_us()
        every.append(Recorded(f"file:{digest}:{name}", service, name, version.commit, at_us, measured=tuple(measured)))
    outcomes: list[Outcome[int]] = []
    session.cockpit.trust.regressions.bring(tuple(every), outcomes.append)
    session.loop.run_until(lambda: bool(outcomes), WAIT_S)
    if not outcomes:
        raise CockpitError(f"The database did not answer in {WAIT_S:.0f} s.", hint="Try again.", title="Not recorded")
    new = outcomes[0].get()
    return {"added": {"service": service, "versions": list(by_version), "results": len(found), "new": new}}


def text_of_benchmarks(document: Document, session: Session) -> list[str]:
    """How much was brought in."""
    a = document["added"]
    what = f"{counted(a['results'], 'result')} of {plain(a['service'])} {', '.join(plain(v, 60) for v in a['versions'][:8])}"
    return [state_text("ok", f"{what} {'kept' if a['new'] else 'were kept before: nothing is added'}", session.out.colour)]


COMMANDS: dict[str, tuple[Callable[[Session, Namespace], Document], Callable[[Document, Session], list[str]]]] = {
    "regressions": (show_regressions, text_of_regressions),
    "benchmarks": (add_benchmarks, text_of_benchmarks),
}
