"""The commands that look: status, pending, checks, latency, activity, journal, sources. Each fills a document, then its text."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from typing import Any

import msgspec

from cockpit import cli_documents as documents
from cockpit.cli_follow import look, text_of_watches, watch_document
from cockpit.cli_session import Session, unknown_name
from cockpit.cli_text import (
    NONE,
    Cell,
    Column,
    State,
    age_text,
    counted,
    names,
    number_text,
    percent_text,
    plain,
    state_text,
    table,
    time_text,
)
from cockpit.domain.errors import CockpitError, StorageError
from cockpit.domain.facts import place
from cockpit.services import status
from cockpit.services.runtime import Outcome

Document = dict[str, Any]

METRICS_S = 12.0
RUNS = 10  # versions whose tests are shown where none is named
_AGE = Column("seen", right=True)


def show_status(session: Session, options: Namespace) -> Document:
    """Service x environment."""
    session.load("DeploymentApi", "SourceControl")
    look(session)
    places = [(s, e) for s in session.services(options.service) for e in session.environments()]
    rows = [{**documents.place_document(session.cockpit, s, e), "watch": watch_document(session, s, e)} for s, e in places]
    _answerable(session, any(r["seen_at_us"] is not None or r["version"] or r["pending"] is not None for r in rows))
    return {"places": rows, "unfinished": _unfinished(session)}


def _unfinished(session: Session) -> list[Document]:
    """Deployments and rollbacks that have no outcome yet: followed by another process, or left by one."""
    journal = session.cockpit.journal
    entries = journal.unfinished() if journal is not None else ()
    fields = ("at_us", "key", "action", "service", "environment", "who")
    mine = [e for e in entries if e.action in ("deploy", "rollback")]
    return [{**{name: getattr(e, name) for name in fields}, "version": str(e.detail.get("version", ""))} for e in mine]


def text_of_status(document: Document, session: Session) -> list[str]:
    """A row for each place, and what has no outcome yet."""
    columns = (Column("service"), Column("environment"), Column("version"), Column("nodes"), Column("pending", True), _AGE)
    rows: list[list[Cell]] = [
        [
            p["service"],
            p["environment"] or "as named in the settings",
            p["version"] or ("none" if p["version"] == "" else "not known"),
            State(p["state"], p["words"]) if p["environment"] else State("unknown", "no deployment system connected"),
            NONE if p["pending"] is None else f"{p['pending']:,}",
            age_text(p["age_s"]),
        ]
        for p in document["places"]
    ]
    lines = [*table(columns, rows, session.out.colour), *text_of_watches(document, session)]
    for u in document["unfinished"]:
        age = age_text((session.cockpit.clock_us() - u["at_us"]) / 1e6)
        what = plain(f"{u['action']} of {u['service']} in {u['environment']} to {u['version']}")
        words = f"{what}, begun {age} ago, has no outcome yet; if nobody follows it, the next start does (key {plain(u['key'][:8])})"
        lines.append(state_text("unknown", words, session.out.colour))
    return lines


def show_pending(session: Session, options: Namespace) -> Document:
    """What waits, for the last environment on the way where none is named."""
    session.load("DeploymentApi", "SourceControl", "CiSystem", "Calendar")
    # who approved, rejected or holds it may have said so elsewhere
    session.hear()
    services = session.services(options.service)
    environments = session.environments(options.environment)[-1:]
    places = [(s, e) for s in services for e in environments]
    session.changes(_live_to_pending(session, places, options.limit))
    found = [documents.pending_document(session.cockpit, s, e, options.limit) for s, e in places]
    _answerable(session, any(p["pending_total"] is not None for p in found))
    return {"pending": found}


def _live_to_pending(session: Session, places: Iterable[tuple[str, str]], limit: int) -> list[tuple[str, str, str]]:
    state = session.cockpit.store.state
    pairs = []
    for service, environment in places:
        live = status.live_name(state, service, environment)
        if live is not None:
            pairs += [(service, live, v.name) for v in status.pending_versions(state, service, environment)[:limit]]
    return pairs


def text_of_pending(document: Document, session: Session) -> list[str]:
    """A table for each place, and the commits of the newest version where one service was asked for."""
    lines: list[str] = []
    colour = session.out.colour
    for p in document["pending"]:
        where = f" in {plain(p['environment'])}" if p["environment"] else ""
        live = p["live"] or ("nothing" if p["live"] == "" else "not known")
        lines += [""] if lines else []
        total = "not known" if p["pending_total"] is None else counted(p["pending_total"], "pending version")
        lines.append(f"{plain(p['service'])}{where}: {total}, live is {plain(live)} (seen {age_text(p['age_s'])} ago)")
        if p["versions"]:
            lines += table(PENDING_COLUMNS, [_pending_row(v) for v in p["versions"]], colour, "  ")
        if p["pending_total"] and p["pending_total"] > len(p["versions"]):
            lines.append(f"  … {p['pending_total'] - len(p['versions']):,} more: --limit shows them")
        if p["live"] is None and p["pending_total"]:
            lines.append('  It is not known what is live: connect a deployment system, or name it with `live = "VERSION"` in the settings.')
    if len(document["pending"]) == 1 and document["pending"][0]["versions"]:
        lines += ["", *text_of_commits(document["pending"][0]["versions"][0])]
    return lines


PENDING_COLUMNS = (
    Column("version"),
    Column("released"),
    Column("commits", True),
    Column("authors", limit=40),
    Column("reviewers", limit=40),
    Column("tests"),
    Column("approvals", True),
    Column("ready"),
)


def _pending_row(v: Document) -> list[Cell]:
    reasons = v["reasons"]
    return [
        v["version"],
        time_text(v["released_at_us"] or 0),
        NONE if v["commits_total"] is None else f"{v['commits_total']:,}",
        names(v["authors"] or ()),
        names(v["reviewers"] or ()),
        State(v["checks"]) if v["checks"] else State("unknown", "no CI system"),
        f"{v['approvals_given']}/{v['approvals_required']}",
        State("ok", "yes") if v["ready"] else State("pending", f"no: {reasons[0]['text']}" if reasons else "no"),
    ]


def text_of_commits(version: Document, limit: int = 30) -> list[str]:
    """The commits that a version brings, and those it does not have."""
    if version["commits"] is None:
        return []
    lines = [f"{plain(version['version'])} brings {counted(version['commits_total'], 'commit')}:"]
    lines += _commit_lines(version["commits"][:limit])
    if version["commits_total"] > limit:
        lines.append(f"  … {version['commits_total'] - limit:,} more")
    if version["missing_total"]:
        lines.append(f"not in it, though live: {counted(version['missing_total'], 'commit')}")
        lines += _commit_lines(version["missing"][:limit])
    return lines


def _commit_lines(commits: list[Document]) -> list[str]:
    columns = (Column("commit"), Column("date"), Column("author", limit=24), Column("reviewers", limit=24), Column("subject", limit=72))
    rows = [[c["id"][:12], time_text(c["at_us"])[:10], c["author"], names(c["reviewers"], 2), c["subject"]] for c in commits]
    return table(columns, rows, indent="  ") if rows else []


def show_checks(session: Session, options: Namespace) -> Document:
    """Tests of one version, or of the newest ones."""
    session.load("DeploymentApi", "SourceControl", "CiSystem")
    found = []
    for service in session.services(options.service):
        versions = (
            [session.version(service, options.version)] if options.version else status.versions(session.cockpit.store.state, service)[:RUNS]
        )
        found.append(documents.checks_document(session.cockpit, service, versions))
    connected = any("CiSystem" in c.ports for c in session.cockpit.connections.all)
    _answerable(session, any(f["seen_at_us"] is not None for f in found) or not connected)
    return {"checks": found, "connected": connected}


def text_of_checks(document: Document, session: Session) -> list[str]:
    """A row for each suite, and what failed."""
    if not document["connected"]:
        return ['No CI system is connected. Add one to the settings: [connections.NAME] with kind = "ci-v1" and its url.']
    lines: list[str] = []
    counts = (Column(title, right=True) for title in ("passed", "failed", "errors", "skipped", "of", "duration"))
    columns = (Column("version"), Column("suite"), Column("state"), *counts)
    for service in document["checks"]:
        lines += [""] if lines else []
        lines.append(f"{plain(service['service'])} (seen {age_text(service['age_s'])} ago)")
        rows: list[list[Cell]] = []
        for v in service["versions"]:
            suites = v["run"]["suites"] if v["run"] else []
            words = "not known" if v["state"] == "unknown" else "not run"
            rows += [_suite_row(v, s) for s in suites] or [[v["version"], NONE, State(v["state"], words), *[NONE] * 6]]
        lines += table(columns, rows, session.out.colour, "  ")
        for v in service["versions"]:
            for f in (v["run"] or {"failures": []})["failures"]:
                lines.append(f"  {state_text('failed', v['version'], session.out.colour)} {plain(f['suite'])}: {plain(f['test'], 200)}")
                lines += [f"      {plain(line, 160)}" for line in f["message"].splitlines()[:6]]
    return lines


def _suite_row(v: Document, s: Document) -> list[Cell]:
    counts = [f"{s[name]:,}" for name in ("passed", "failed", "errors", "skipped", "total")]
    return [v["version"], s["name"], State(s["state"]), *counts, number_text(s["duration_s"], " s")]


def show_latency(session: Session, options: Namespace) -> Document:
    """The newest latency: two readings a few seconds apart."""
    session.load("DeploymentApi")
    cockpit = session.cockpit
    places = [(s, e) for s in session.services(options.service) for e in session.environments(options.environment)]
    connected = any("MetricsApi" in c.ports for c in cockpit.connections.all)
    since_us = cockpit.clock_us()

    def fresh() -> bool:
        known = (cockpit.store.state.latency.get(place(s, e)) for s, e in places)
        return all(fact is not None and fact.at_us > since_us for fact in known)

    if connected:
        session.refresh("MetricsApi")
        session.loop.run_until(fresh, min(METRICS_S, 3 * cockpit.settings.poll.interval_s + 1.0))
    found = [documents.latency_document(cockpit, s, e) for s, e in places]
    _answerable(session, any(f["seen_at_us"] is not None for f in found) or not connected)
    return {"latency": found, "connected": connected}


def text_of_latency(document: Document, session: Session) -> list[str]:
    """A row for each place."""
    if not document["connected"]:
        return ['No metrics are connected. Add them to the settings: [connections.NAME] with kind = "openmetrics".']
    columns = (
        Column("service"),
        Column("environment"),
        *(Column(t, True) for t in ("p50", "p90", "p99", "p99.9", "rate", "errors", "band")),
    )
    columns += (Column("state"), _AGE)
    rows: list[list[Cell]] = []
    for p in document["latency"]:
        quantiles = [number_text(p[name], " ms") for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms")]
        band = NONE if p["band_high_ms"] is None else f"to {number_text(p['band_high_ms'], ' ms')}"
        judged = State("warning", "p99 outside its band") if p["outside"] else State("ok", "in its band")
        state = State("unknown", "not known") if p["outside"] is None else judged
        if p["seen_at_us"] is not None and p["stale"]:
            state = State("stale")
        rate = number_text(p["rate_per_s"], " /s")
        rows.append([p["service"], p["environment"], *quantiles, rate, percent_text(p["error_ratio"]), band, state, age_text(p["age_s"])])
    return table(columns, rows, session.out.colour)


def show_activity(session: Session, options: Namespace) -> Document:
    """The journal, newest first."""
    if session.cockpit.journal is None:
        raise StorageError("The journal cannot be read.", hint="The problems above say why.")
    entries = session.cockpit.actions.activity(options.text, tuple(options.kind), options.limit)
    if options.csv:
        session.out.raw(session.cockpit.actions.export_activity(entries, "csv"))
    return {"entries": [msgspec.to_builtins(entry) for entry in entries]}


def text_of_activity(document: Document, session: Session) -> list[str]:
    """A row for each entry."""
    if not document["entries"]:
        return ["Nothing was done yet that fits."]
    columns = (
        Column("no.", True),
        Column("time"),
        Column("kind"),
        Column("action"),
        Column("service"),
        Column("environment"),
        Column("who", limit=36),
    )
    rows: list[list[Cell]] = [
        [str(e["seq"]), time_text(e["at_us"]), e["kind"], e["action"], e["service"], e["environment"], e["who"], _said(e["detail"])]
        for e in document["entries"]
    ]
    return table((*columns, Column("what", limit=80)), rows, session.out.colour)


def _said(detail: Document) -> str:
    shown = ("version", "state", "deployment", "message", "comment", "reason")
    words = [f"{name} {detail[name]}" for name in shown if detail.get(name)]
    return ", ".join(words) or NONE


def show_journal(session: Session, options: Namespace) -> Document:
    """`journal verify`."""
    if session.cockpit.journal is None:
        raise StorageError("The journal cannot be read.", hint="The problems above say why.")
    found = session.cockpit.actions.verify_journal()
    session.result = 0 if found.ok else 1
    return {"journal": {"ok": found.ok, "count": found.count, "head": found.head or None, "problems": list(found.problems)}}


def text_of_journal(document: Document, session: Session) -> list[str]:
    """One line, or one a problem."""
    found = document["journal"]
    if found["ok"]:
        head = f", the newest has the hash {found['head']}" if found["head"] else ""
        return [state_text("ok", f"the journal is whole: {found['count']:,} entries{head}", session.out.colour)]
    lines = [state_text("bad", f"the journal was changed ({found['count']:,} entries):", session.out.colour)]
    return lines + [f"  {plain(problem)}" for problem in found["problems"]]


def show_sources(session: Session, options: Namespace) -> Document:
    """Every connection's health; with --test one connection's test."""
    session.load("SourceControl", "CiSystem", "DeploymentApi", "MetricsApi")
    if options.test:
        return _tested(session, options.test)
    now = session.cockpit.clock_us()
    rows = []
    for health in session.cockpit.store.state.sources.values():
        row = msgspec.to_builtins(health) | {"state": health.state(now)}
        row["age_s"] = (now - health.last_success_us) / 1e6 if health.last_success_us else None
        rows.append(row)
    return {"sources": rows}


def _tested(session: Session, source_id: str) -> Document:
    # one that could not be made is no unknown name: its problem is told
    known = dict.fromkeys([*(c.id for c in session.cockpit.connections.all), *session.cockpit.settings.connections])
    if source_id not in known:
        raise unknown_name("source", source_id, list(known))
    answers: list[Outcome[Any]] = []
    session.cockpit.sync.test(source_id, answers.append)
    session.loop.run_until(lambda: bool(answers), 35.0)
    if not answers:
        raise CockpitError(f"{source_id} did not answer.", title="Not reachable")
    probe = answers[0].get()
    return {"test": {"id": source_id, "reached": probe.reached, "identity": probe.identity, "missing": list(probe.missing)}}


def text_of_sources(document: Document, session: Session) -> list[str]:
    """A row for each connection."""
    if "test" in document:
        t = document["test"]
        identity = f" as {plain(t['identity'])}" if t["identity"] else ""
        lines = [state_text("ok", f"{plain(t['id'])} reaches {plain(t['reached'])}{identity}", session.out.colour)]
        return lines + [state_text("warning", f"missing: {plain(m)}", session.out.colour) for m in t["missing"]]
    if not document["sources"]:
        return ["Nothing is connected."]
    columns = (Column("id"), Column("kind"), Column("state"), _AGE, Column("took", True), Column("problem", limit=80))
    rows: list[list[Cell]] = []
    for s in document["sources"]:
        problem = s["problem"] or {"message": ""}
        rows.append([s["id"], s["kind"], State(s["state"]), age_text(s["age_s"]), number_text(s["took_ms"], " ms"), problem["message"]])
    return table(columns, rows, session.out.colour)


def _answerable(session: Session, known: bool) -> None:
    """Fails the command where nothing at all could be answered, and something is to blame."""
    problems = session.problems()
    if not known and problems:
        raise CockpitError(problems[0]["message"], hint=problems[0]["hint"], title=problems[0]["title"])
