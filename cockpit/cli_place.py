"""The commands that need no settings: `open` for anybody's repository, and the playground."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from cockpit import app
from cockpit import cli_documents as documents
from cockpit.cli_arguments import Usage
from cockpit.cli_read import text_of_commits
from cockpit.cli_session import READ_S, Session, unknown_name
from cockpit.cli_text import NONE, Cell, Column, Out, State, counted, names, plain, state_text, table, time_text
from cockpit.connecting import services_in
from cockpit.domain.errors import CockpitError, NotAllowed
from cockpit.domain.release import Service
from cockpit.paths import Paths
from cockpit.services import status
from cockpit.services.runtime import LoopMainThread
from cockpit.storage.new_settings import write_first
from cockpit.storage.settings import PollSettings, ServiceSettings, Settings

Document = dict[str, Any]


# -- open --------------------------------------------------------------------------------------------------------------------


def open_repository(paths: Paths, out: Out, options: Namespace) -> Document:
    """Versions in order, and what is pending against the version that a person names. Writes nothing into the repository."""
    found = services_in(options.path)
    chosen = _chosen(found, options)
    if chosen is None:
        return {"repository": found[0].repository, "services": [_named(s) for s in found], "service": None, "versions": [], "pending": None}
    settings = Settings(
        services={chosen.name: ServiceSettings(chosen.repository, chosen.tag_pattern, chosen.path, options.live)},
        poll=PollSettings(interval_s=0.5),
    )
    loop = LoopMainThread()
    cockpit = app.build_on(paths, loop, settings)
    try:
        document, saved = _look(Session(cockpit, loop, out), chosen, options), None
        if options.save:
            live = document["pending"]["live"] if document["pending"] else ""
            write_first(paths.config, replace(chosen, live_version=live))
            saved = str(paths.config)
        return {"repository": chosen.repository, "services": [_named(s) for s in found], **document, "saved": saved}
    finally:
        cockpit.close()


def _chosen(found: tuple[Service, ...], options: Namespace) -> Service | None:
    known = [s.name for s in found]
    if options.service:
        if options.service not in known:
            raise unknown_name("service", options.service, known)
        return next(s for s in found if s.name == options.service)
    if len(found) == 1:
        return found[0]
    if options.live or options.save:
        shown = ", ".join(plain(n, 60) for n in known[:10])
        raise NotAllowed(f"This repository holds {len(found)} services.", hint=f"Name one with --service: {shown}.", title="Which service?")
    return None


def _named(service: Service) -> Document:
    return {"name": service.name, "tag_pattern": service.tag_pattern, "path": service.path}


def _look(session: Session, service: Service, options: Namespace) -> Document:
    cockpit = session.cockpit
    session.load("SourceControl", timeout_s=READ_S)
    fact = cockpit.store.state.versions.get(service.name)
    if fact is None:
        problem = (session.problems() or [{"title": "No answer", "message": "git did not answer.", "hint": "Try again."}])[0]
        raise CockpitError(problem["message"], hint=problem["hint"], title=problem["title"])
    versions = status.versions(cockpit.store.state, service.name)
    pending = None
    if options.live:
        live = session.version(service.name, options.live)
        cockpit.store.apply(services=(replace(service, live_version=live.name),))
        waiting = status.pending_versions(cockpit.store.state, service.name, "")[: options.limit]
        session.changes((service.name, live.name, v.name) for v in waiting)
        pending = documents.pending_document(cockpit, service.name, "", options.limit)
    shown = versions[: options.limit]
    return {
        "service": _named(service),
        "versions_total": len(versions),
        "versions": [documents.version_document(v) for v in shown],
        "pending": pending,
        "problems": session.problems(),
    }


def text_of_open(document: Document, out: Out) -> list[str]:
    """The services, or one service's versions and what is pending."""
    lines = [f"{plain(document['repository'])}"]
    if document["service"] is None:
        rows = [[s["name"], s["tag_pattern"] or "any"] for s in document["services"]]
        lines += [f"{len(rows)} services; choose one with --service NAME:", *table((Column("service"), Column("tags")), rows, indent="  ")]
        return lines
    name, total = document["service"]["name"], document["versions_total"]
    if not total:
        return [
            *lines,
            f"{plain(name)}: no version yet.",
            "A version is a tag such as v1.2.3, 1.2.3-rc1, name/1.2.3 or 2026-11-22: git tag v0.1.0",
        ]
    pending = document["pending"]
    if pending is None:
        columns = (Column("version"), Column("released"), Column("tag"), Column("commit"))
        rows = [[v["version"], time_text(v["released_at_us"] or 0), v["tag"], v["commit"][:12]] for v in document["versions"]]
        lines += [f"{plain(name)}: {counted(total, 'version')}, newest first", *table(columns, rows, indent="  "), *_more(total, len(rows))]
        one = plain(document["versions"][-1]["version"])
        lines.append(f"Which of them is live? Name it to see what is pending: --live {one}")
    else:
        lines += _pending_lines(name, pending)
    if document.get("saved"):
        lines.append(
            state_text("ok", f"written to {plain(document['saved'])}: the window and every command now show this service", out.colour)
        )
    return lines


def _pending_lines(name: str, pending: Document) -> list[str]:
    total, live = pending["pending_total"], plain(pending["live"])
    if not total:
        return [f"{plain(name)}: nothing is pending, {live} is the newest version"]
    columns = (Column("version"), Column("released"), Column("commits", True), Column("authors", limit=48), Column("reviewers", limit=48))
    rows = []
    for v in pending["versions"]:
        commits = NONE if v["commits_total"] is None else f"{v['commits_total']:,}"
        rows.append([v["version"], time_text(v["released_at_us"] or 0), commits, names(v["authors"] or ()), names(v["reviewers"] or ())])
    lines = [f"{plain(name)}: {counted(total, 'version')} pending against {live}, newest first", *table(columns, rows, indent="  ")]
    return [*lines, *_more(total, len(rows)), "", *text_of_commits(pending["versions"][0])]


def _more(total: int, shown: int) -> list[str]:
    return [f"  … {total - shown:,} more: --limit {total} shows all"] if total > shown else []


# -- playground --------------------------------------------------------------------------------------------------------------


# the form of the words after it, and how it is told; nothing else takes words
_FORMS = {
    "traffic": (r"(calm|volatile|crash)?", "traffic calm|volatile|crash"),
    "drift": (r"\S+( on| off)?", "drift NODE [on|off]"),
    "freeze": (r"\d{1,4}", "freeze MINUTES (0 ends it)"),
    "automatic": (r"\S+ \S+ (on|off)", "automatic SERVICE ENVIRONMENT on|off"),
}


def check_playground(options: Namespace) -> None:
    """Usage where the words do not belong to what is asked."""
    form, told = _FORMS.get(options.what, ("", options.what))
    words = " ".join(options.words)
    if re.fullmatch(form, words):
        return
    if re.fullmatch(_FORMS["traffic"][0], words) and words:
        raise Usage(f"{words} is for traffic.", hint=f"release-cockpit playground traffic {words}")
    what = f"“{plain(words, 100)}” does not belong to {options.what}." if words else f"{options.what} needs more words."
    raise Usage(what, hint=f"release-cockpit playground {told}")


def playground(paths: Paths, out: Out, options: Namespace) -> Document:
    """start, stop, status, reset, traffic, drift, automatic, freeze."""
    launcher, directory, word, words = app.playground_launcher(), paths.playground, options.what, options.words
    if word == "traffic":
        if words:
            return {"playground": {"traffic": launcher.set_regime(directory, words[0])}}
        return {"playground": {"traffic": launcher.regime(directory)}}
    if word == "drift":
        return {"playground": {"said": launcher.drift(directory, words[0], words[1:] != ["off"])}}
    if word == "automatic":
        return {"playground": {"said": launcher.automatic(directory, words[0], words[1], words[2] == "on")}}
    if word == "freeze":
        return {"playground": {"said": launcher.freeze(directory, float(words[0]))}}
    if word in ("stop", "reset"):
        end: Callable[..., None] = launcher.stop if word == "stop" else launcher.reset
        end(directory)
    answer = launcher.start(directory, lambda words: out.tell(plain(words, 200))) if word == "start" else launcher.status(directory)
    return {"playground": msgspec.to_builtins(answer)}


def text_of_playground(document: Document, out: Out) -> list[str]:
    """The traffic, what was switched, or what runs."""
    p = document["playground"]
    if "traffic" in p:
        return [f"The traffic is {plain(p['traffic'])}."]
    if "said" in p:
        return [f"{plain(p['said'], 300)}."]
    if not p["started"]:
        return ["The playground does not run. Start it: release-cockpit playground start"]
    programs: list[list[Cell]] = [
        [x["name"], _health(x["healthy"], x["alive"]), str(x["pid"] or NONE), str(x["port"] or NONE)] for x in p["processes"]
    ]
    lines = table((Column("program"), Column("state"), Column("process", True), Column("port", True)), programs, out.colour)
    nodes: list[list[Cell]] = [
        [x["name"], x["service"], x["environment"], x["version"], _health(x["healthy"], True), x["url"]] for x in p["nodes"]
    ]
    columns = tuple(Column(title) for title in ("node", "service", "environment", "version", "state", "address"))
    lines += ["", *table(columns, nodes, out.colour)] if nodes else []
    lines += [state_text("bad", plain(problem, 300), out.colour) for problem in p["problems"]]
    return lines if p["problems"] else [*lines, state_text("ok", "all is well: release-cockpit opens the window on it", out.colour)]


def _health(healthy: bool, alive: bool) -> State:
    return State("ok") if healthy else State("bad", "does not answer" if alive else "does not run")
