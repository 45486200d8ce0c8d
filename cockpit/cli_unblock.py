"""The commands that set an environment free: a lock that nobody gives back is broken, an action that nobody answers for is let go."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

from cockpit import cli_documents as documents
from cockpit.cli_session import HEAR_S, Session
from cockpit.cli_text import plain, state_text
from cockpit.connectors.ports import Lock, LockHeld
from cockpit.domain.errors import CockpitError, ConnectorError, NotAllowed, OutcomeUnknown, Unreachable
from cockpit.domain.rollout import Action
from cockpit.services.actions import LET_GO_S
from cockpit.services.locks import lane_of as lock_lane
from cockpit.services.locks import words_of
from cockpit.services.outcomes import lane_of, let_go_of
from cockpit.services.runtime import Outcome

Document = dict[str, Any]

LANE = "locks"  # behind what breaks it
SETTLE_S = 20.0  # a system that answers has said for a while that it never received it


def break_lock(session: Session, options: Namespace) -> Document:
    """Take away the holding that is there now; who did it and why stands in the journal."""
    session.load()
    (environment,) = session.environments(options.environment)
    cockpit = session.cockpit
    if not cockpit.actions.me.who:
        raise NotAllowed("It is not known who you are.", hint="Set name and email under [me] in the settings.")
    lock = cockpit.locks.lock
    if lock is None:
        raise NotAllowed("There is no lock to break here.", hint="Name a policy repository under [policy].")
    held = _holder(session, lock, environment)
    if held is None:
        raise NotAllowed(f"The lock of {plain(environment)} is free: there is nothing to break.")
    cockpit.locks.break_(environment, cockpit.actions.me.signature, options.reason)
    try:
        after = _holder(session, lock, environment)
    except ConnectorError as error:
        words = f"Whether the lock was broken is not known: {error.message}"
        raise OutcomeUnknown(words, hint="Once git answers, do it again: what is free is not broken twice.") from error
    if after is not None and after.token == held.token:
        message, hint = _said(session)
        raise CockpitError(message or "It is held as before.", hint=hint, title="Not broken")
    if cockpit.journal is None or not cockpit.journal.progress_of(f"lock:{held.token}"):
        words = f"{plain(held.who)} gave it back meanwhile, so another holding may have been broken."
        raise OutcomeUnknown(words, hint="`release-cockpit activity --text lock` tells which one.", title="It changed hands")
    fields = {"holder": held.who, "holding": held.reason, "since_us": held.at_us or None, "reason": options.reason.strip()}
    return {"lock": {"environment": environment, **fields}}


def _holder(session: Session, lock: Lock, environment: str) -> LockHeld | None:
    """Who holds it, asked where it is kept, behind what this process does to it. Raises what the lock raises."""
    answers: list[Outcome[LockHeld | None]] = []
    session.cockpit.runner.submit(LANE, partial(lock.holder, environment), answers.append)
    if not session.loop.run_until(lambda: bool(answers), HEAR_S * 2):
        raise Unreachable(f"git did not answer in {HEAR_S * 2:.0f} s.", hint="Nothing is known of the lock.")
    if answers[0].error is not None:
        raise answers[0].error
    return answers[0].value


def _said(session: Session) -> tuple[str, str]:
    newest = session.cockpit.notices.newest
    return (newest.message, newest.hint) if newest is not None else ("", "")


def text_of_break_lock(document: Document, session: Session) -> list[str]:
    """Whose lock it was."""
    found = document["lock"]
    held = LockHeld(found["environment"], found["holder"], found["holding"], found["since_us"] or 0, "")
    words = f"the lock of {plain(held.environment)} is broken; it was held by {plain(words_of(held), 300)}"
    return [state_text("ok", words, session.out.colour), "  What its holder began may still be under way: look before you act."]


def let_go(session: Session, options: Namespace) -> Document:
    """Wait no more for an action that this machine began and whose system stays silent."""
    session.load("DeploymentApi")
    cockpit = session.cockpit
    cockpit.actions.recover()
    session.barrier("journal")
    action = _meant(session, options.key)
    _ask(session, action)
    cockpit.actions.let_go(action.key, options.reason)
    for lane in (lane_of(action), lock_lane(action.environment)):
        session.barrier(lane)
    journal = cockpit.journal
    if journal is None or not let_go_of(journal.progress_of(action.key)):
        message, hint = _said(session)
        raise CockpitError(message or "It could not be written into the journal.", hint=hint, title="Not recorded")
    return {"action": documents.action_document(cockpit.store.state.actions[action.key], cockpit.clock_us())}


def _meant(session: Session, beginning: str) -> Action:
    """The action of that key that was taken up here; NotAllowed where it is none, or another process follows it."""
    known = [a for a in session.cockpit.store.state.actions.values() if a.key.startswith(beginning) and not a.state.final]
    if len(known) == 1:
        return known[0]
    hint = "`release-cockpit status` lists what has no outcome yet, with the keys."
    if known:
        raise NotAllowed(f"{len(known)} actions begin with {plain(beginning, 80)}.", hint=hint)
    journal = session.cockpit.journal
    if journal is not None and any(e.key.startswith(beginning) and e.action in ("deploy", "rollback") for e in journal.unfinished()):
        raise NotAllowed("The process that began it still runs and follows it.", hint="Let it go there: in its window, on its card.")
    raise NotAllowed(f"No action that begins with {plain(beginning, 80)} is without an outcome.", hint=hint)


def _ask(session: Session, action: Action) -> None:
    """Hear what its system says of it: one that answers is not silent."""
    cockpit = session.cockpit
    session.barrier(lane_of(action))
    since_s = (cockpit.clock_us() - action.intended_at_us) / 1e6
    systems = [c.id for c in cockpit.connections.all if "DeploymentApi" in c.ports and action.service in c.services]
    if since_s < LET_GO_S or not systems or any(cockpit.sync.health(i).problem for i in systems):
        return
    session.loop.run_until(lambda: bool(cockpit.actions.why_not_let_go(action.key)), SETTLE_S)
    session.barrier(lane_of(action))


def text_of_let_go(document: Document, session: Session) -> list[str]:
    """What is waited for no more."""
    a = document["action"]
    what = plain(f"{a['kind']} of {a['service']} in {a['environment']} to {a['version']}")
    words = f"{what} is waited for no more; its outcome stays unknown, {plain(a['environment'])} is free again"
    return [state_text("unknown", words, session.out.colour)]


COMMANDS: dict[str, tuple[Callable[[Session, Namespace], Document], Callable[[Document, Session], list[str]]]] = {
    "break-lock": (break_lock, text_of_break_lock),
    "let-go": (let_go, text_of_let_go),
}
