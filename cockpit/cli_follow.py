"""The watch over a deployment in the terminal: what `status` says of it, and `watch`, which follows it live."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import msgspec

from cockpit.cli_session import Session
from cockpit.cli_text import age_text, plain, state_text, time_text
from cockpit.domain.errors import NotAllowed
from cockpit.domain.facts import place
from cockpit.domain.judge import NO_WORSE
from cockpit.domain.watching import Watched, WatchState
from cockpit.services.watch_run import ACTION
from cockpit.services.watch_words import progress

Document = dict[str, Any]
FINE, WORSE, UNSURE = 0, 1, 3
LOOK_S = 1.0
NEWS_S = 15.0  # a sentence in which only numbers changed is printed this often
NOTES = 100
MARKS = {WatchState.WATCHING: "running", WatchState.FINE: "ok", WatchState.BAD: "bad", WatchState.BLIND: "unknown"}


def watch_document(session: Session, service: str, environment: str) -> Document | None:
    """The watch over the newest deployment there; `window` is what an open window wrote of it last, null where none did."""
    cockpit = session.cockpit
    watched: Watched | None = cockpit.store.state.watches.get(place(service, environment))
    if watched is None:
        return None
    document: Document = msgspec.to_builtins(watched)
    # numbers that are not known
    document["verdict"] = {k: None if v != v else v for k, v in document["verdict"].items()} if document["verdict"] else None
    return {**document, "window": _window(session, watched)}


def _window(session: Session, watched: Watched) -> Document | None:
    """The window has seen more: it looked before the deployment began."""
    journal = session.cockpit.journal
    notes = journal.entries(NOTES, kinds=("note",), service=watched.service) if journal is not None else ()
    about = (watched.environment, watched.version)
    for e in notes:
        mine = e.action == ACTION and (e.environment, e.detail.get("version")) == about
        if mine and "over" in e.detail and e.at_us >= watched.started_us - 60_000_000:
            verdict = str(e.detail.get("verdict", ""))
            return {"state": str(e.detail.get("said")), "verdict": verdict, "message": str(e.detail.get("message")), "at_us": e.at_us}
    return None


def look(session: Session) -> None:
    """See which deployments are watched. Nothing is ever done from here."""
    session.cockpit.watch.begin(acts=False)


def text_of_watches(document: Document, session: Session) -> list[str]:
    """A line for each deployment that is watched now."""
    return [_line(session, p["watch"]) for p in document["places"] if p.get("watch") and not p["watch"]["ended_us"]]


def _line(session: Session, w: Document) -> str:
    said, now = w["window"], session.cockpit.clock_us()
    name = f"{plain(w['service'])} {plain(w['version'])} in {plain(w['environment'])}"
    if said is None:
        words = "no window is open that judges it"
    else:
        words = (
            f"{said['state']}, {plain(said['message'], 300) or 'nothing speaks against it'} ({age_text((now - said['at_us']) / 1e6)} ago)"
        )
    word = MARKS.get(WatchState(said["state"]), "unknown") if said is not None and said["state"] in set(WatchState) else "running"
    until = f" until {time_text(w['until_us'])} at least" if w["until_us"] else ""
    return state_text(word, f"{name} is watched{until}: {words}", session.out.colour)


# -- live ----------------------------------------------------------------------------------------------------------------------


class Follower:
    """Prints what is new."""

    def __init__(self, session: Session, service: str, environment: str) -> None:
        self._session = session
        self._at = (service, environment)
        self._told: tuple[object, ...] = ()
        self._words = ""
        self._told_us = 0
        self._asked_us = 0
        self.document: Document | None = None

    def ended(self) -> bool:
        """Look once more; whether the watch is over."""
        now = self._session.cockpit.clock_us()
        if now - self._asked_us < LOOK_S * 1e6 and self.document is not None:
            return bool(self.document["ended_us"])
        self._asked_us = now
        document = watch_document(self._session, *self._at)
        if self.document is not None and document is not None and _other(self.document, document):
            self._superseded(document, now)
            return True
        self.document = document
        watched: Watched | None = self._session.cockpit.store.state.watches.get(place(*self._at))
        if self.document is not None and watched is not None:
            self._print(watched, self.document["window"], now)
        return self.document is not None and bool(self.document["ended_us"])

    def _superseded(self, document: Document, now_us: int) -> None:
        """Another deployment began: what is said of that is no word about this one."""
        before = self.document or {}
        state = WatchState.BAD if before["state"] == WatchState.BAD else WatchState.STOPPED
        self.document = {**before, "state": str(state), "ended_us": now_us, "verdict": None, "window": None}
        words = f"{state}: a {plain(document['kind'], 20)} of {plain(document['version'], 100)} began"
        if not self._session.out.as_json:
            mark = MARKS.get(state, "unknown")
            self._session.out.line(f"{time_text(now_us)}  {state_text(mark, words, self._session.out.colour)}")

    def _print(self, watched: Watched, said: Document | None, now_us: int) -> None:
        verdict = watched.found
        kinds = tuple(f.kind for f in watched.findings)
        sign = (watched.state, verdict.state if verdict else "", kinds, said and (said["state"], said["verdict"]))
        words = _sentence(watched, said)
        news = words != self._words and now_us - self._told_us > NEWS_S * 1e6
        if sign == self._told and not news:
            return
        self._told, self._words, self._told_us = sign, words, now_us
        worse = said is not None and said["state"] == WatchState.BAD
        word = "bad" if worse else MARKS.get(watched.state, "unknown")
        if not self._session.out.as_json:
            self._session.out.line(f"{time_text(now_us)}  {state_text(word, plain(words, 500), self._session.out.colour)}")


def _other(one: Document, other: Document) -> bool:
    return any(one[name] != other[name] for name in ("deployment", "version", "kind"))


def _sentence(watched: Watched, said: Document | None) -> str:
    found = "; ".join(f.text for f in watched.findings)
    own = found or (watched.found.sentence if watched.found is not None else "nothing of it was seen yet")
    window = f"; the window says: {said['state']}{', ' + said['message'] if said['message'] else ''}" if said is not None else ""
    return f"{watched.state}: {own}; {progress(watched)}{window}"


def follow(session: Session, options: Namespace) -> Document:
    """Follow the watch to its end, or for so long."""
    session.load("DeploymentApi", "MetricsApi", "AlertsApi")
    (service,), (environment,) = session.services(options.service), session.environments(options.environment)
    look(session)
    if place(service, environment) not in session.cockpit.store.state.watches:
        words = f"No deployment of {plain(service)} in {plain(environment)} is watched."
        raise NotAllowed(words, hint="One is from its beginning until some minutes after its end: [environments.NAME.watch] minutes.")
    follower = Follower(session, service, environment)
    session.loop.run_until(follower.ended, options.seconds)
    document = follower.document or {}
    session.result = _result(document)
    return {"watch": document}


def _result(w: Document) -> int:
    """0 where it is fine, 1 where it is worse, 3 where nobody can tell."""
    said, verdict = w.get("window") or {}, w.get("verdict") or {}
    if WatchState.BAD in (w.get("state"), said.get("state")):
        return WORSE
    fine = w.get("state") == WatchState.FINE or said.get("state") == WatchState.FINE
    quiet = w.get("state") == WatchState.WATCHING or said.get("state") == WatchState.WATCHING
    return FINE if fine or (quiet and NO_WORSE in (verdict.get("state"), said.get("verdict"))) else UNSURE


def text_of_follow(document: Document, session: Session) -> list[str]:
    """The last word."""
    w = document["watch"]
    words = {FINE: "no worse than the version before", WORSE: "worse than the version before", UNSURE: "nobody can tell"}[session.result]
    mark = {FINE: "ok", WORSE: "bad", UNSURE: "unknown"}[session.result]
    return [state_text(mark, f"{plain(w['service'])} {plain(w['version'])} in {plain(w['environment'])}: {words}", session.out.colour)]


COMMANDS = {"watch": (follow, text_of_follow)}
