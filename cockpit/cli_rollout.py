"""Rollouts of several steps from the terminal: planned, rehearsed, begun, sent on, taken back, stopped; followed until they wait or end."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import msgspec

from cockpit import cli_act
from cockpit.cli_act import DONE, FAILED, UNKNOWN, Refused, confirm
from cockpit.cli_arguments_rollout import PLACED
from cockpit.cli_documents import plan_document
from cockpit.cli_session import Session
from cockpit.cli_text import counted, number_text, plain, state_text, time_text
from cockpit.core import LOCKS_S
from cockpit.domain.errors import NotAllowed, OutcomeUnknown
from cockpit.domain.rollout import Refusal
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepState
from cockpit.services.locks import lane_of

Document = dict[str, Any]
MARKS = {"waiting": "pending", "undone": "done", "skipped": "held", "back": "done", "going back": "running", "paused": "held"}


# -- the commands ------------------------------------------------------------------------------------------------------------


def rollout(session: Session, options: Namespace) -> Document:
    """The command `rollout`."""
    if options.what == "status":
        return _status(session, options)
    return _placed(session, options) if options.what in PLACED else _told(session, options)


def _placed(session: Session, options: Namespace) -> Document:
    if len(options.words) not in (2, 3):
        raise NotAllowed(
            "SERVICE and ENVIRONMENT are needed.", hint=f"release-cockpit rollout {options.what} SERVICE ENVIRONMENT [VERSION]"
        )
    _ask_everything(session)
    (service,), (environment,) = session.services(options.words[0]), session.environments(options.words[1])
    version = session.version(service, options.words[2]).name if options.words[2:] else ""
    cli_act.card(session, "deploy", service, environment, version)
    planned = session.cockpit.rollouts.draft(service, environment, version)
    if options.what == "start":
        return _begin(session, options, planned)
    shown = _card(session, planned)
    return _rehearse(session, shown) if options.what == "rehearse" else _answer(session, shown, "plan")


def rollback_set(session: Session, options: Namespace) -> Document:
    """The command `rollback-set`."""
    _ask_everything(session)
    targets: dict[str, str] = {}
    for word in options.to:
        service, equals, version = word.partition("=")
        if not equals or not version:
            raise NotAllowed(f"“{plain(word, 80)}” is no SERVICE=VERSION.", hint="Such as --to risk-engine=3.3.0")
        targets[session.services(service)[0]] = session.version(service, version).name
    (environment,) = session.environments(options.environment)
    known = session.cockpit.rules.sets.get(options.name)
    services = known.services if known is not None else ()
    cards = [cli_act.card(session, "rollback", service, environment, targets.get(service, "")) for service in services]
    plans = [plan_document(card, session.cockpit.clock_us()) for card in cards]
    for line in _lines_of_set(plans, session):
        session.out.line(line)
    try:
        return {**_set(session, options, session.cockpit.rollouts.plan_set(options.name, environment, targets)), "plans": plans}
    except Refused as refused:
        refused.document = {"plan": refused.document, "plans": plans}
        raise


def _set(session: Session, options: Namespace, planned: Rollout | Refusal) -> Document:
    if options.rehearse:
        return _rehearse(session, _card(session, planned))
    if options.dry_run:
        return _answer(session, _card(session, planned), "dry run")
    return _begin(session, options, planned)


def _lines_of_set(plans: list[Document], session: Session) -> list[str]:
    """Each service with what is not ok before it goes back, and what going back passes over."""
    lines = []
    for found in plans:
        target = plain(found["target"]["version"]) if found["target"] else "not known"
        lines.append(f"{plain(found['service'])} {plain(found['from_version'] or 'not known')} → {target}")
        told = [line for line in found["preflight"] if line["state"] != "ok"]
        lines += [f"  {state_text(line['state'], plain(line['text'], 300), session.out.colour)}" for line in told]
        lines += [f"  a reason passes over: {plain(words, 300)}" for words in found["insists"]]
        lines += [] if told else [f"  {state_text('ok', 'nothing speaks against it', session.out.colour)}"]
    return lines


def _status(session: Session, options: Namespace) -> Document:
    session.load("DeploymentApi")
    _take_up(session)
    known = sorted(session.cockpit.store.state.rollouts.values(), key=lambda r: -r.started_at_us)
    return {"rollouts": [rollout_document(session, r) for r in known if not r.state.final]}


def _told(session: Session, options: Namespace) -> Document:
    _ask_everything(session, hear=options.what != "stop")  # nothing that was said keeps a person from stopping
    key = _key(session, options.words[0] if options.words else "")
    rollouts = session.cockpit.rollouts
    say: Callable[[str, str], None] = {"go-on": rollouts.go_on, "back": rollouts.back, "stop": rollouts.stop}[options.what]
    shown = session.cockpit.store.state.rollouts[key]
    if not options.yes and options.what != "stop":
        _show(session, shown)
        _confirm(session, shown)
    say(key, options.reason)
    session.barrier("journal")
    wanted = {"go-on": RolloutState.DONE, "back": RolloutState.BACK, "stop": RolloutState.ABORTED}[options.what]
    return _followed(session, key, options.timeout, wanted)


def _ask_everything(session: Session, *, hear: bool = True) -> None:
    """What a step stands on, what people said, and what was left unfinished."""
    session.load(*cli_act.ASKED)
    if hear:
        session.hear()
    _take_up(session)


def _confirm(session: Session, shown: Rollout) -> None:
    confirm(session, shown.places[0][1])
    # a person takes their time: what the steps stand on is asked again
    session.refresh(*cli_act.ASKED)
    session.hear()


def _take_up(session: Session) -> None:
    """What processes that are gone left unfinished: their actions are asked about, their rollouts wait for a word."""
    session.cockpit.actions.recover()
    session.cockpit.rollouts.recover()
    session.barrier("journal")


def _key(session: Session, beginning: str) -> str:
    known = [
        k for k, r in session.cockpit.store.state.rollouts.items() if not r.state.final and not r.rehearsal and k.startswith(beginning)
    ]
    if len(known) == 1:
        return known[0]
    words = f"{len(known)} rollouts begin so" if known else f"no rollout{' begins so' if beginning else ''} is under way"
    raise NotAllowed(f"{words[:1].upper()}{words[1:]}.", hint="`release-cockpit rollout status` lists them with their keys.")


# -- carrying out --------------------------------------------------------------------------------------------------------------


def _card(session: Session, planned: Rollout | Refusal) -> Rollout:
    if isinstance(planned, Refusal):
        raise Refused(planned, plan_document(planned, session.cockpit.clock_us()))
    return planned


def _begin(session: Session, options: Namespace, planned: Rollout | Refusal) -> Document:
    shown = _card(session, planned)
    _show(session, shown)
    if not options.yes:
        _confirm(session, shown)
    begun = session.cockpit.rollouts.begin(shown, options.reason)
    return _followed(session, begun.key, options.timeout, RolloutState.DONE)


def deploy(session: Session, options: Namespace) -> Document:
    """The command `deploy`: all at once, or by the steps that the policy wants."""
    return cli_act.act(session, options, _in_steps)


def text_of_deploy(document: Document, session: Session) -> list[str]:
    """What became of it."""
    return text_of_rollout(document, session) if "rollout" in document else cli_act.text_of_act(document, session)


def _in_steps(session: Session, options: Namespace, target: tuple[str, str, str]) -> Document:
    """Begin (service, environment, version)."""
    planned = session.cockpit.rollouts.draft(*target)
    if not options.dry_run:
        return _begin(session, options, planned)
    shown = _card(session, planned)
    _show(session, shown)
    return _answer(session, shown, "dry run")


def _rehearse(session: Session, shown: Rollout) -> Document:
    begun = session.cockpit.rollouts.rehearse(shown)
    state = _follow(session, begun.key, 120.0)
    session.result = DONE if state.state is RolloutState.DONE else FAILED if state.state.final else UNKNOWN
    return _answer(session, state, str(state.state))


def _followed(session: Session, key: str, timeout_s: float, wanted: RolloutState) -> Document:
    try:
        ended = _follow(session, key, timeout_s)
    except KeyboardInterrupt:
        raise _left(session, key, "You stopped following it.") from None
    outcome = _outcome(ended)
    session.result = DONE if ended.state is wanted else FAILED if ended.state.final else UNKNOWN
    if not _settled(session, key):
        raise _left(session, key, f"It has not ended after {timeout_s:g} s.")
    return _answer(session, ended, outcome)


def _left(session: Session, key: str, words: str) -> OutcomeUnknown:
    error = OutcomeUnknown(
        f"{words} What is under way goes on; nothing more begins by itself.",
        hint=f"Go on with `release-cockpit rollout go-on {key[:8]}`, or back, or stop.",
        title="Not ended",
    )
    error.document = {"rollout": rollout_document(session, session.cockpit.store.state.rollouts[key])}  # type: ignore[attr-defined]
    return error


def _follow(session: Session, key: str, timeout_s: float) -> Rollout:
    """Say each step until it has ended or waits for a person."""
    store, said = session.cockpit.store, dict[int, StepState]()

    def look(_change: object = None) -> None:
        now = store.state.rollouts[key]
        for number, run in enumerate(now.steps):
            if said.get(number, StepState.WAITING) is not run.state:
                said[number] = run.state
                since_s = (session.cockpit.clock_us() - now.started_at_us) / 1e6
                more = f": {plain(run.message, 200)}" if run.message else ""
                words = f"{number + 1}. {step_words(run.step)}: {run.state}{more}"
                session.out.line(f"  {since_s:6.1f} s  {_mark(str(run.state), words, session)}")

    ends = (store.subscribe(look), _listen(session))
    try:
        look()
        session.loop.run_until(lambda: _settled(session, key), timeout_s)
    finally:
        for end in ends:
            end()
    state = store.state.rollouts[key]
    session.told("journal", "holds", *dict.fromkeys(lane_of(environment) for _, environment in state.places))
    return store.state.rollouts[key]


def _settled(session: Session, key: str) -> bool:
    """Whether it has ended or waits for a person: one that was just told something does not, whatever it was before."""
    state = session.cockpit.store.state.rollouts[key]
    return state.state.final or (waits(state) != "no" and not session.cockpit.rollouts.heeding(key))


def _listen(session: Session) -> Callable[[], None]:
    """Ask again and again what people say and who holds the locks, for a later step stands on that too; answers a function that ends it."""
    ends: list[Callable[[], None]] = []

    def run() -> None:
        session.cockpit.actions.decisions.poll()
        session.cockpit.locks.poll()
        ends[:] = [session.loop.call_later(LOCKS_S, run)]

    def end() -> None:
        ends[0]()

    run()
    return end


def waits(state: Rollout) -> str:
    """Whether a person is waited for: no, held or paused."""
    if state.state is RolloutState.PAUSED:
        return "paused"
    held = state.state is RolloutState.RUNNING and any(run.state is StepState.HELD for run in state.steps)
    return "held" if held else "no"


def _outcome(state: Rollout) -> str:
    if not state.state.final:
        return waits(state)
    return {RolloutState.ABORTED: "stopped"}.get(state.state, str(state.state))


# -- what is answered ------------------------------------------------------------------------------------------------------------


def _answer(session: Session, state: Rollout, outcome: str) -> Document:
    return {"rollout": rollout_document(session, state), "outcome": outcome}


def rollout_document(session: Session, state: Rollout) -> Document:
    """A rollout as it stands."""
    fields = ("key", "kind", "title", "message", "who", "reason", "on_failure", "rehearsal", "going_back", "started_at_us", "ended_at_us")
    steps = []
    for run in state.steps:
        step: Document = msgspec.to_builtins(run.step)
        steps.append({**step, "state": str(run.state), "message": run.message, "action": run.action or None})
    measured_s = session.cockpit.rollouts.measured(state.title, state.places[0][1]) if state.places else None
    return {
        **{name: getattr(state, name) for name in fields},
        "state": str(state.state) if state.key else "planned",
        "waits": waits(state),
        "measured_s": measured_s,
        "measured_at_us": session.cockpit.rollouts.measured_at(state.title, state.places[0][1]) or None if state.places else None,
        "steps": steps,
    }


def step_words(step: Step) -> str:
    """What a step does, in a line."""
    nodes = plain(", ".join(step.nodes), 120) if len(step.nodes) < 4 else counted(len(step.nodes), "node")
    return {
        "deploy": f"{plain(step.service)} {plain(step.from_version or 'nothing')} → {plain(step.version)} on {nodes}",
        "bake": f"bake {step.seconds:g} s",
        "hold": "hold until a person says go on",
        "gate": f"gate: {', '.join(step.ask)}",
        "weight": f"{step.percent} % of the traffic to {nodes}",
        "mode": f"venue to {plain(step.mode)}",
    }.get(step.do, plain(step.do))


def _mark(word: str, words: str, session: Session) -> str:
    return state_text(MARKS.get(word, word), words, session.out.colour)


def _show(session: Session, shown: Rollout) -> None:
    for line in _text(rollout_document(session, shown), session):
        session.out.line(line)


def _text(document: Document, session: Session) -> list[str]:
    environment = document["steps"][0]["environment"] if document["steps"] else ""
    key = f" ({document['key'][:8]})" if document["key"] else ""
    lines = [f"{plain(document['title'])} in {plain(environment)}{key}: {_mark(document['state'], document['state'], session)}"]
    if document["message"]:
        lines.append(f"  {plain(document['message'], 400)}")
    for number, found in enumerate(document["steps"], 1):
        step = msgspec.convert({name: found[name] for name in Step.__struct_fields__}, Step)
        planned = document["state"] == "planned" or found["state"] == "waiting"
        lines.append(f"  {_mark(found['state'], f'{number}. {step_words(step)}' + ('' if planned else ': ' + found['state']), session)}")
        if found["message"]:
            lines.append(f"       {plain(found['message'], 300)}")
        if found["undo"] and planned:
            lines.append(f"       undo: {plain(found['undo'], 200)}")
    rule = "what was done is undone, in reverse order" if document["on_failure"] == "back" else "it stops where it stands"
    lines.append(f"  if a step fails: {rule}")
    measured = document["measured_s"]
    when = time_text(document["measured_at_us"] or 0)
    lines.append(f"  takes about {number_text(measured)} s (rehearsed {when})" if measured is not None else "  not rehearsed yet")
    return lines


def text_of_rollout(document: Document, session: Session) -> list[str]:
    """The rollouts under way, or the one that was asked for, with what to do next."""
    if "rollouts" in document:
        lines = [line for found in document["rollouts"] for line in _text(found, session)]
        return lines or ["No rollout is under way."]
    lines = _text(document["rollout"], session)
    key = document["rollout"]["key"][:8]
    if document["outcome"] in ("held", "paused"):
        lines.append(f"It waits for a person: `release-cockpit rollout go-on {key}`, or back, or stop.")
    if document["outcome"] in ("plan", "dry run") or document["rollout"]["rehearsal"]:
        lines.append("Nothing was sent.")
    return lines


COMMANDS: dict[str, tuple[Callable[[Session, Namespace], Document], Callable[[Document, Session], list[str]]]] = {
    "deploy": (deploy, text_of_deploy),
    "rollout": (rollout, text_of_rollout),
    "rollback-set": (rollback_set, text_of_rollout),
}
