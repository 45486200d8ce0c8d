"""The commands by which a person gives their word: approve, reject, hold, clear, override, sign off, withdraw; and what stands of these."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from cockpit import cli_documents as documents
from cockpit.cli_act import ASKED
from cockpit.cli_session import Session
from cockpit.cli_text import counted, plain, state_text
from cockpit.domain.errors import CockpitError, NotAllowed
from cockpit.domain.lines import moment
from cockpit.domain.release import Version
from cockpit.domain.rollout import Refusal
from cockpit.domain.statements import Debt, Hold, Override, Statement, debts, holds, overrides, requests
from cockpit.services import status
from cockpit.services.notices import Severity

Document = dict[str, Any]

SHARED_S = 90.0  # a word may be signed and pushed; git is ended after half a minute a question


def _known(session: Session, options: Namespace) -> tuple[Version, str]:
    """The version and the environment that were typed, with what is known of them."""
    session.load("DeploymentApi", "SourceControl")
    session.hear()
    (service,), (environment,) = session.services(options.service), session.environments(options.environment)
    version = session.version(service, options.version)
    live = status.live_name(session.cockpit.store.state, service, environment)
    if live is not None:
        session.changes([(service, live, version.name)])
    return session.version(service, version.name), environment


def recorded(session: Session, stands: Callable[[], bool]) -> None:
    """Wait until the word stands; CockpitError with what the cockpit said where it does not."""
    notices = session.cockpit.notices
    before = len(notices.history)

    def failed() -> bool:
        loud = (Severity.ERROR, Severity.WARNING)
        return any(n.severity in loud and n.place == "approvals" for n in notices.history[: len(notices.history) - before])

    session.loop.run_until(lambda: stands() or failed(), SHARED_S)
    session.barrier("journal")
    session.barrier("holds")
    if not stands():
        newest = notices.newest
        message, hint = (newest.message, newest.hint) if newest else (f"No answer came in {SHARED_S:.0f} s.", "Try again.")
        raise CockpitError(message, hint=hint, title="Not recorded")


# -- approvals ---------------------------------------------------------------------------------------------------------------


def approve(session: Session, options: Namespace) -> Document:
    """Approve or reject exactly this commit and digest."""
    version, environment = _known(session, options)
    cockpit, before = session.cockpit, len(session.cockpit.store.state.approvals)
    say = cockpit.words.reject if options.reject else cockpit.words.approve
    say(version, environment, options.comment)
    recorded(session, lambda: len(cockpit.store.state.approvals) > before)
    decision = status.decision(cockpit.store.state, version, environment, cockpit.rules, cockpit.clock_us())
    return {
        "approval": {
            **documents.version_document(version),
            "service": version.service,
            "environment": environment,
            "approved": not options.reject,
            "who": cockpit.actions.me.who,
            "given": decision.given,
            "required": decision.required,
            "reasons": list(decision.reasons),
        }
    }


def text_of_approve(document: Document, session: Session) -> list[str]:
    """What was recorded, and what is still missing."""
    a = document["approval"]
    word = "approved" if a["approved"] else "rejected"
    what = f"{plain(a['service'])} {plain(a['version'])} {word} for {plain(a['environment'])}"
    lines = [state_text(word, f"{what}: commit {a['commit'][:12]}, artifact {(a['digest'] or 'not known')[:12]}", session.out.colour)]
    given = f"{a['given']} of {counted(a['required'], 'approval')} given"
    return [*lines, f"  {given}", *(f"  {plain(r)}" for r in a["reasons"] if not r.startswith(f"{a['given']} of"))]


# -- holds -------------------------------------------------------------------------------------------------------------------


def hold(session: Session, options: Namespace) -> Document:
    """Hold a version in an environment."""
    version, environment = _known(session, options)
    session.cockpit.words.hold(version, environment, options.reason)
    recorded(session, lambda: _held(session, version, environment) is not None)
    found = _held(session, version, environment)
    return {"hold": msgspec.to_builtins(found)}


def clear(session: Session, options: Namespace) -> Document:
    """Clear the hold of a version."""
    version, environment = _known(session, options)
    found = _held(session, version, environment)
    if found is None:
        raise NotAllowed(f"{plain(version.name)} is not held in {plain(environment)}.", hint="See `release-cockpit holds`.")
    session.cockpit.words.clear(found, options.reason)
    recorded(session, lambda: _held(session, version, environment) is None)
    return {"cleared": msgspec.to_builtins(found)}


def _held(session: Session, version: Version, environment: str) -> Hold | None:
    return status.held(session.cockpit.store.state, version.service, environment, version.digest)


def show_holds(session: Session, options: Namespace) -> Document:
    """What nobody may deploy."""
    session.load()
    session.hear()
    services, environments = session.services(options.service), session.environments(options.environment)
    standing = holds(session.cockpit.store.state.statements)
    return {"holds": [msgspec.to_builtins(h) for h in standing if h.service in services and h.environment in environments]}


def text_of_hold(document: Document, session: Session) -> list[str]:
    """A hold that was set or cleared."""
    held = "hold" in document
    h = document["hold" if held else "cleared"]
    what = f"{plain(h['service'])} {plain(h['version'])} in {plain(h['environment'])}"
    words = f"{what} is held: nobody deploys it there until it is cleared" if held else f"{what} is held no more"
    return [state_text("held" if held else "ok", words, session.out.colour)]


def text_of_holds(document: Document, session: Session) -> list[str]:
    """One line for each."""
    lines = []
    for h in document["holds"]:
        what = f"{plain(h['service'])} {plain(h['version'])} in {plain(h['environment'])} ({h['digest'][:12]})"
        lines.append(state_text("held", f"{what}: {plain(h['reason'], 300)}", session.out.colour))
        lines.append(f"    by {plain(h['who'])} since {moment(h['at_us'])}")
    return lines or ["Nothing is held."]


# -- freezes and emergencies -------------------------------------------------------------------------------------------------


def override(session: Session, options: Namespace) -> Document:
    """Pass the freezes of an environment for a while."""
    session.load()
    session.hear()
    (environment,) = session.environments(options.environment)
    service = session.services(options.service)[0] if options.service else ""
    cockpit, now = session.cockpit, session.cockpit.clock_us()
    cockpit.words.override(environment, service, options.reason, now + options.minutes * 60_000_000)

    def mine() -> list[Override]:
        standing = overrides(cockpit.store.state.statements, cockpit.clock_us())
        return [
            o for o in standing if (o.environment, o.service, o.who) == (environment, service, cockpit.actions.me.who) and o.at_us >= now
        ]

    recorded(session, lambda: bool(mine()))
    return {"override": msgspec.to_builtins(mine()[-1])}


def text_of_override(document: Document, session: Session) -> list[str]:
    """Until when what is passed."""
    o = document["override"]
    what = f"freezes of {plain(o['service']) or 'every service'} in {plain(o['environment'])} are passed until {moment(o['until_us'])}"
    return [state_text("warning", f"{what}; a hard freeze is passed by nobody", session.out.colour)]


def end_override(session: Session, options: Namespace) -> Document:
    """The freezes of an environment hold again, whoever passed them."""
    session.load()
    session.hear()
    (environment,) = session.environments(options.environment)
    service = session.services(options.service)[0] if options.service else ""
    cockpit = session.cockpit

    def standing() -> list[Override]:
        every = overrides(cockpit.store.state.statements, cockpit.clock_us())
        return [o for o in every if o.environment == environment and service in ("", o.service)]

    found = standing()
    if not found:
        raise NotAllowed(f"No freeze of {plain(service) or 'any service'} in {plain(environment)} is passed now: there is nothing to end.")
    for one in found:
        cockpit.words.end_override(one, options.reason)
        recorded(session, partial(_gone, standing, one.id))
    return {"ended": [msgspec.to_builtins(o) for o in found]}


def _gone(standing: Callable[[], list[Any]], word_id: str) -> bool:
    return all(word.id != word_id for word in standing())


def text_of_end_override(document: Document, session: Session) -> list[str]:
    """What holds again."""
    lines = []
    for o in document["ended"]:
        what = f"freezes of {plain(o['service']) or 'every service'} in {plain(o['environment'])} hold again"
        lines.append(state_text("ok", f"{what}: {plain(o['who'])} passed them until {moment(o['until_us'])}", session.out.colour))
    return lines


def show_debts(session: Session, options: Namespace) -> Document:
    """Emergencies that nobody has looked at since."""
    session.load()
    session.hear()
    return {"debts": [msgspec.to_builtins(d) for d in debts(session.cockpit.store.state.statements)]}


def sign_off(session: Session, options: Namespace) -> Document:
    """Sign off what one person did alone."""
    session.load()
    session.hear()
    cockpit = session.cockpit
    found = [d for d in debts(cockpit.store.state.statements) if d.about.startswith(options.key)]
    if len(found) != 1:
        words = f"{len(found)} debts begin with {plain(options.key, 80)}." if found else f"There is no debt of {plain(options.key, 80)}."
        raise NotAllowed(words, hint="See `release-cockpit debts`.")
    debt: Debt = found[0]
    cockpit.words.sign_off(debt, options.comment)
    recorded(session, lambda: all(d.about != debt.about for d in debts(cockpit.store.state.statements)))
    return {"signed_off": msgspec.to_builtins(debt)}


def text_of_sign_off(document: Document, session: Session) -> list[str]:
    """What was signed off."""
    return [state_text("ok", f"signed off: {_debt(document['signed_off'])}", session.out.colour)]


def text_of_debts(document: Document, session: Session) -> list[str]:
    """One line for each."""
    lines = []
    for d in document["debts"]:
        lines.append(state_text("warning", f"{_debt(d)}: {plain(d['reason'], 300)}", session.out.colour))
        lines.append(f"    at {moment(d['at_us'])}; key {plain(d['about'])}")
    return lines or ["No review is owed."]


def _debt(d: Document) -> str:
    return f"{plain(d['who'])} deployed {plain(d['service'])} {plain(d['version'])} to {plain(d['environment'])} alone"


# -- requests ----------------------------------------------------------------------------------------------------------------


def show_requests(session: Session, options: Namespace) -> Document:
    """What is to be deployed as soon as nothing speaks against it, and what still does."""
    session.load(*ASKED)
    session.hear()
    services, environments = session.services(options.service), session.environments(options.environment)
    found = [r for r in _requests(session) if r.service in services and r.environment in environments]
    state = session.cockpit.store.state
    lives = {(r.service, r.environment): status.live_name(state, r.service, r.environment) for r in found}
    session.changes((r.service, live, r.version) for r in found if (live := lives[r.service, r.environment]) is not None)
    return {"requests": [{**_request(r), "waits_for": _against(session, r)} for r in found]}


def _requests(session: Session) -> list[Statement]:
    return list(requests(session.cockpit.store.state.statements, session.cockpit.clock_us()))


def _request(request: Statement) -> Document:
    fields = ("id", "service", "environment", "version", "commit", "digest", "who", "name", "reason", "at_us", "until_us")
    return {name: getattr(request, name) for name in fields}


def _against(session: Session, request: Statement) -> list[str]:
    planned = session.cockpit.actions.plan("deploy", request.service, request.environment, request.version, automatic=True)
    return [r.text for r in planned.reasons] if isinstance(planned, Refusal) else list(planned.insists)


def withdraw(session: Session, options: Namespace) -> Document:
    """Take a request back: the one whose id begins so, or the one for that version there."""
    if len(options.words) not in (1, 3):
        raise NotAllowed("An ID, or SERVICE VERSION ENVIRONMENT is needed.", hint="`release-cockpit requests` lists both.")
    session.load("SourceControl")
    session.hear()
    found = _meant(session, options.words)
    if len(found) != 1:
        what = " ".join(plain(word, 80) for word in options.words)
        ids = ", ".join(r.id[:8] for r in found)
        words = f"{len(found)} requests stand for {what}: {ids}." if found else f"No request stands for {what}."
        raise NotAllowed(words, hint="`release-cockpit requests` lists those that stand, with their ids.")
    request = found[0]
    session.cockpit.words.withdraw(request, options.reason)
    recorded(session, lambda: _gone(lambda: _requests(session), request.id))
    return {"withdrawn": _request(request)}


def _meant(session: Session, words: list[str]) -> list[Statement]:
    if len(words) == 1:
        return [r for r in _requests(session) if r.id.startswith(words[0])]
    (service,), (environment,) = session.services(words[0]), session.environments(words[2])
    # what was asked for may be a tag that is gone by now, so its name alone counts, too
    tagged = next((v.name for v in status.versions(session.cockpit.store.state, service) if v.tag == words[1]), words[1])
    return [r for r in _requests(session) if (r.service, r.environment) == (service, environment) and r.version in (words[1], tagged)]


def text_of_requests(document: Document, session: Session) -> list[str]:
    """One request after the other, with what it waits for."""
    lines = []
    for r in document["requests"]:
        words = f"{_asked(r)} ({plain(r['id'][:8])}), until {moment(r['until_us'])}"
        lines.append(state_text("pending", words, session.out.colour))
        why = f": {plain(r['reason'], 300)}" if r["reason"] else ""
        lines.append(f"    by {plain(r['who'])} at {moment(r['at_us'])}{why}")
        lines += [f"    waits for: {plain(text, 300)}" for text in r["waits_for"]]
    return [*lines, "The window that made a request watches it, and only while it is open."] if lines else ["Nothing is requested."]


def text_of_withdraw(document: Document, session: Session) -> list[str]:
    """What does not go by itself any more."""
    return [state_text("ok", f"withdrawn: {_asked(document['withdrawn'])}; nothing goes by itself", session.out.colour)]


def _asked(r: Document) -> str:
    return f"{plain(r['service'])} {plain(r['version'])} to {plain(r['environment'])}"


COMMANDS: dict[str, tuple[Callable[[Session, Namespace], Document], Callable[[Document, Session], list[str]]]] = {
    "approve": (approve, text_of_approve),
    "hold": (hold, text_of_hold),
    "clear": (clear, text_of_hold),
    "holds": (show_holds, text_of_holds),
    "override": (override, text_of_override),
    "end-override": (end_override, text_of_end_override),
    "requests": (show_requests, text_of_requests),
    "withdraw": (withdraw, text_of_withdraw),
    "sign-off": (sign_off, text_of_sign_off),
    "debts": (show_debts, text_of_debts),
}
