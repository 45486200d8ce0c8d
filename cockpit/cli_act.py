"""The commands that act: deploy, rollback. Through the same plans and refusals as the window; followed to the end."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from cockpit import cli_documents as documents
from cockpit.cli_session import Session
from cockpit.cli_text import Column as Col
from cockpit.cli_text import age_text, counted, names, number_text, plain, state_text, table
from cockpit.domain.errors import NotAllowed, OutcomeUnknown
from cockpit.domain.rollout import Action, ActionState, Refusal, RolloutPlan
from cockpit.services import status
from cockpit.services.locks import lane_of

Document = dict[str, Any]
InSteps = Callable[[Session, Namespace, tuple[str, str, str]], Document]

DONE, FAILED, REFUSED, UNKNOWN = 0, 1, 2, 3
RESULTS = {ActionState.DONE: DONE, ActionState.REFUSED: REFUSED}
REASON = "A reason is needed"
OUTCOMES = {DONE: "done", FAILED: "failed", REFUSED: "refused", UNKNOWN: "unknown"}
LOOK = "Look at it with `release-cockpit status` and `release-cockpit activity`, or in the window."
WRITE_S = 10.0
NEEDED = ("DeploymentApi", "SourceControl")
TOLD = ("CiSystem", "Calendar")
TOLD_S = 3.0  # a rollback tells what tests and calendars say, and does not wait for a system that hangs
ASKED = (*NEEDED, *TOLD)  # what a plan stands on


class Refused(NotAllowed):
    """A plan that may not be carried out, with what is known of it."""

    def __init__(self, refusal: Refusal, document: Document) -> None:
        reasons = tuple(r.text for r in refusal.reasons)
        super().__init__("; ".join(reasons), hint="Nothing was sent.", reasons=reasons)
        self.document = document


# -- deploy and roll back ----------------------------------------------------------------------------------------------------


def act(session: Session, options: Namespace, in_steps: InSteps | None = None) -> Document:
    """Deploy or roll back: what was left unfinished first, then the card, the confirmation, the call, and following it.

    `in_steps` begins a deployment (service, environment, version) that the policy wants done in steps.
    """
    kind = options.command
    session.load(*NEEDED)
    _be_told(session, kind)
    (service,), (environment,) = session.services(options.service), session.environments(options.environment)
    version = session.version(service, options.version).name if options.version else ""
    recovered = recover(session, options.timeout, only_look=options.dry_run)
    same = next((a for a in recovered if is_asked_for(a, kind, service, environment, version)), None)
    if same is not None:
        session.out.line("That is what was asked for: nothing more is started.")
        return _ended(session, same, recovered)
    emergency = kind == "deploy" and options.emergency
    planned = card(session, kind, service, environment, version, emergency=emergency)
    if in_steps is not None and isinstance(planned, RolloutPlan) and session.cockpit.rules.why_in_steps(planned):
        return _in_steps(session, options, planned, recovered, in_steps)
    document = documents.plan_document(planned, session.cockpit.clock_us())
    for line in text_of_card(document, session):
        session.out.line(line)
    if isinstance(planned, Refusal):
        raise Refused(planned, document)
    if options.dry_run:
        session.out.line("Nothing was sent: this was a dry run.")
        return {"plan": document, "action": None, "outcome": "dry run", "recovered": _all(session, recovered)}
    if planned.insists and not options.reason.strip():
        raise NotAllowed("; ".join(planned.insists), hint="It can be insisted on: say why with --reason. Nothing was sent.", title=REASON)
    if not options.yes:
        confirm(session, environment)
        # a person takes their time: what the plan stands on is asked again, and `fire` refuses where it changed
        session.refresh(*NEEDED)
        _be_told(session, kind)
    action = session.cockpit.actions.fire(planned, options.reason)
    follow(session, [action.key], options.timeout)
    session.told("journal", "holds", lane_of(environment))
    return {"plan": document, **_ended(session, session.cockpit.store.state.actions[action.key], recovered)}


def _be_told(session: Session, kind: str) -> None:
    """What tests, calendars and people say; a rollback waits a few seconds for it, whatever hangs."""
    if kind == "rollback":
        session.refresh(*TOLD, timeout_s=TOLD_S)
        session.hear(TOLD_S)
    else:
        session.refresh(*TOLD)
        session.hear()


def _in_steps(session: Session, options: Namespace, planned: RolloutPlan, recovered: list[Action], begin: InSteps) -> Document:
    """The policy wants it done in steps: the same as `rollout start`."""
    document = documents.plan_document(planned, session.cockpit.clock_us())
    for line in text_of_card(document, session):
        session.out.line(line)
    session.out.line(session.cockpit.rules.why_in_steps(planned))
    if planned.insists and not options.reason.strip() and not options.dry_run:
        raise NotAllowed("; ".join(planned.insists), hint="It can be insisted on: say why with --reason. Nothing was sent.", title=REASON)
    begun = begin(session, options, (planned.service, planned.environment, planned.target.name))
    return {"plan": document, "action": None, **begun, "recovered": _all(session, recovered)}


def is_asked_for(action: Action, kind: str, service: str, environment: str, version: str) -> bool:
    """Whether an action that was taken up is the one this command asks for: then a second one would go one version too far."""
    if action.state is ActionState.NOT_SENT:
        return False
    named = version in ("", action.version)
    return named and (action.kind, action.service, action.environment) == (kind, service, environment)


def recover(session: Session, timeout_s: float, *, only_look: bool = False) -> list[Action]:
    """Take up what an earlier process left unfinished, and follow it to its end; the rollouts of others are shown, and wait for a person.

    `only_look`: only the rollouts, for a plan tells of them.
    """
    cockpit = session.cockpit
    before = set(cockpit.store.state.actions)
    if not only_look:
        cockpit.actions.recover()
        cockpit.trust.recover()
    cockpit.rollouts.recover()
    session.barrier("journal")
    taken = [key for key in cockpit.store.state.actions if key not in before]
    for key in taken:
        action = cockpit.store.state.actions[key]
        session.out.line(f"Taken up where it was interrupted, nothing is sent again: {_name(action)}")
    if taken:
        follow(session, taken, timeout_s)
        session.refresh("DeploymentApi")
    return [cockpit.store.state.actions[key] for key in taken]


def card(session: Session, kind: str, service: str, environment: str, version: str, *, emergency: bool = False) -> RolloutPlan | Refusal:
    """The plan, with the commits that come or leave read for it."""
    actions, state = session.cockpit.actions, session.cockpit.store.state
    planned = actions.plan(kind, service, environment, version, emergency=emergency)
    live = status.live_name(state, service, environment)
    if planned.target is None or live is None:
        return planned
    ends = (planned.target.name, live) if kind == "rollback" else (live, planned.target.name)
    session.changes([(service, *ends)])
    session.refresh("DeploymentApi")
    return actions.plan(kind, service, environment, version, emergency=emergency)


def text_of_card(document: Document, session: Session) -> list[str]:
    """The card for a person."""
    colour = session.out.colour
    going_back = document["kind"] == "rollback"
    title = "Roll back" if going_back else "Deploy"
    lines = [f"{title} {plain(document['service'])} in {plain(document['environment'])}"]
    target = document["target"]
    to = f"{plain(target['version'])} (artifact {(target['digest'] or 'not known')[:12]})" if target else "not known"
    lines += [f"  from      {plain(document['from_version'] or 'not known')}", f"  to        {to}"]
    changes = document["changes"]
    verb = "leave" if going_back else "come"
    if changes["commits_total"] is not None:
        lines.append(f"  commits   {counted(changes['commits_total'], 'commit')} {verb}, by {names(changes['authors'])}")
    if document["nodes"] is not None:
        lines.append(f"  nodes     {plain(', '.join(document['nodes']), 200)}")
        expected = document["expected_s"]
        lines.append(f"  takes     {f'about {number_text(expected)} s (p90 of the past)' if expected is not None else 'not known'}")
    lines.append("  preflight")
    for line in document["preflight"]:
        insist = ", a reason passes it" if line["insist"] and line["state"] in ("blocked", "unknown") else ""
        lines.append(f"    {state_text(line['state'], line['text'], colour)} ({_ago(line['age_s'])}{insist})")
    if document["emergency"]:
        lines.append(state_text("warning", "emergency: you act alone, and a second person looks at it afterwards", colour))
    return lines


def _ago(age_s: float | None) -> str:
    return "never seen" if age_s is None else f"seen {age_text(age_s)} ago"


def confirm(session: Session, environment: str) -> None:
    """Have the environment's name typed; NotAllowed for anything else, and where nobody can type."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise NotAllowed(
            "Nobody is here to confirm it.", hint="Add --yes to do it without asking. Nothing was sent.", title="Not confirmed"
        )
    session.out.tell(f"Type {plain(environment)} to go on: ", end="")
    try:
        typed = sys.stdin.readline().strip()
    except KeyboardInterrupt:
        typed = ""
        session.out.tell("")
    if typed != environment:
        raise NotAllowed("What was typed is not the environment's name.", hint="Nothing was sent.", title="Not confirmed")


# -- following ---------------------------------------------------------------------------------------------------------------


class Narrator:
    """Says each step of the actions it follows once."""

    def __init__(self, session: Session, keys: list[str]) -> None:
        self._session = session
        self._keys = keys
        self._said: dict[tuple[str, str], str] = {}

    def look(self, _change: object = None) -> None:
        """Say what is new."""
        for key in self._keys:
            action = self._session.cockpit.store.state.actions[key]
            self._say(action, "", str(action.state), action.message if not action.state.final else "")
            for step in action.deployment.steps if action.deployment else ():
                self._say(action, step.node, step.state, step.message)

    def _say(self, action: Action, node: str, word: str, message: str) -> None:
        if self._said.get((action.key, node)) == word:
            return
        self._said[(action.key, node)] = word
        if node and word == "pending":
            return
        since_s = (self._session.cockpit.clock_us() - action.intended_at_us) / 1e6
        words = f"{plain(node)} {word}" if node else word
        more = f": {plain(message, 200)}" if message else ""
        self._session.out.line(f"  {since_s:6.1f} s  {state_text(word, words + more, self._session.out.colour)}")


def follow(session: Session, keys: list[str], timeout_s: float) -> None:
    """Say each step until all are final; OutcomeUnknown when time runs out or a person presses Ctrl+C: the actions go on by themselves."""
    cockpit, journal = session.cockpit, session.cockpit.journal
    narrator = Narrator(session, keys)

    def settled() -> bool:
        return all(cockpit.store.state.actions[k].state.final for k in keys)

    def recorded() -> bool:
        return journal is None or all(any(e.kind == "outcome" for e in journal.progress_of(k)) for k in keys)

    end = cockpit.store.subscribe(narrator.look)
    try:
        narrator.look()
        if not session.loop.run_until(settled, timeout_s):
            raise Unsettled(session, keys, f"It is not settled after {timeout_s:g} s; it goes on.")
        session.loop.run_until(recorded, WRITE_S)
    except KeyboardInterrupt:
        if not settled():
            raise Unsettled(session, keys, "You stopped following it; it goes on.") from None
    except Exception as error:
        if isinstance(error, Unsettled):
            raise
        # it was sent: whatever broke here says nothing about it
        raise Unsettled(session, keys, f"Following it broke off ({error}); it goes on.") from error
    finally:
        end()


class Unsettled(OutcomeUnknown):
    """Actions that are still under way, as they stand."""

    def __init__(self, session: Session, keys: list[str], message: str) -> None:
        super().__init__(message, hint=LOOK)
        now = session.cockpit.clock_us()
        actions = [session.cockpit.store.state.actions[key] for key in keys]
        self.document = {"actions": [documents.action_document(a, now) for a in actions], "outcome": OUTCOMES[UNKNOWN]}


def _ended(session: Session, action: Action, recovered: list[Action]) -> Document:
    session.result = RESULTS.get(action.state, FAILED)
    document = documents.action_document(action, session.cockpit.clock_us())
    return {"action": document, "outcome": OUTCOMES[session.result], "recovered": _all(session, recovered)}


def _all(session: Session, actions: list[Action]) -> list[Document]:
    return [documents.action_document(a, session.cockpit.clock_us()) for a in actions]


def text_of_act(document: Document, session: Session) -> list[str]:
    """The proof, or what became of it and the way out."""
    action, colour = document["action"], session.out.colour
    if action is None:
        return []
    lines = [state_text(action["state"], f"{action['state']}: {plain(action['message'], 300)}", colour)]
    if action["proof"]:
        lines += table((Col("proof", limit=100),), [[f"{state_text(p['state'], p['text'])}"] for p in action["proof"]], indent="  ")
    hints = [n.hint for n in session.cockpit.notices.history if n.place == "activity" and n.hint and not n.over]
    if document["outcome"] != "done" and hints:
        lines.append(plain(hints[0]))
    return lines


def _name(action: Action) -> str:
    return plain(f"{action.kind} of {action.service} in {action.environment} to {action.version}")
