"""The commands that watch and act beside deployments: alerts, drain and ready, gates and gate."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import msgspec

from cockpit.cli_act import confirm
from cockpit.cli_session import Session
from cockpit.cli_text import Cell, Column, State, age_text, plain, state_text, table
from cockpit.domain.alerts import Alert
from cockpit.domain.deeds import Deed, DeedState
from cockpit.domain.errors import CockpitError, NotAllowed, OutcomeUnknown
from cockpit.domain.facts import Fact
from cockpit.domain.gates import Gate
from cockpit.services.deeds import lane_of
from cockpit.services.gates import gate_key, gates_of

Document = dict[str, Any]
SETTLE_S = 40.0  # so long a deed is waited for
FAILED, REFUSED = 1, 2
ANYWHERE = "every environment"


# -- alerts ------------------------------------------------------------------------------------------------------------------


def show_alerts(session: Session, options: Namespace) -> Document:
    """What fires, and how old that word is."""
    session.load("AlertsApi")
    state, now = session.cockpit.store.state, session.cockpit.clock_us()
    if not state.alerts:
        raise NotAllowed("No alerting system is connected.", hint="Add one: `release-cockpit connect alertmanager alerts --set url=...`.")
    (service,) = session.services(options.service) if options.service else ("",)
    environment = session.environments(options.environment)[0] if options.environment else ""
    rows = [
        {**_alert_document(alert, now), "source": source_id}
        for source_id, fact in state.alerts.items()
        for alert in fact.value
        if _asked_for(alert, service, environment)
    ]
    sources = [_source_document(i, fact, now) for i, fact in state.alerts.items()]
    if all(fact.stale(now) for fact in state.alerts.values()):
        session.result = FAILED
    return {
        "alerts": sorted(rows, key=lambda r: (r["state"] == "suppressed", r["severity"] != "critical", -r["since_us"])),
        "sources": sources,
    }


def _source_document(source_id: str, fact: Fact[Any], now_us: int) -> Document:
    seen = {"seen_at_us": fact.at_us, "age_s": fact.age_s(now_us)} if fact.at_us else {"seen_at_us": None, "age_s": None}
    return {"id": source_id, "source": fact.source, **seen, "stale": fact.stale(now_us)}


def _asked_for(alert: Alert, service: str, environment: str) -> bool:
    return (not service or alert.service in ("", service)) and (not environment or alert.environment in ("", environment))


def _alert_document(alert: Alert, now_us: int) -> Document:
    fields = ("id", "name", "severity", "service", "environment", "state", "silenced_by", "inhibited_by", "since_us", "summary", "url")
    return {**{name: getattr(alert, name) for name in fields}, "age_s": max(0.0, (now_us - alert.since_us) / 1e6)}


def text_of_alerts(document: Document, session: Session) -> list[str]:
    """A row an alert; what is stale is never said to be none."""
    columns = (Column("state"), Column("severity"), Column("alert"), Column("service"), Column("environment"), Column("age", True))
    rows: list[list[Cell]] = []
    for a in document["alerts"]:
        quiet = a["state"] == "suppressed"
        word = "silenced" if a["silenced_by"] else "inhibited" if quiet else "firing"
        state = State("held" if quiet else "bad" if a["severity"] == "critical" else "warning", word)
        rows.append([state, a["severity"], a["name"], a["service"] or "–", a["environment"] or "–", age_text(a["age_s"]), a["summary"]])
    lines = table((*columns, Column("summary", limit=80)), rows, session.out.colour) if rows else []
    late = [s for s in document["sources"] if s["stale"]]
    for s in late:
        heard = f"answered {age_text(s['age_s'])} ago" if s["seen_at_us"] else "has not answered"
        lines.append(state_text("stale", f"{plain(s['source'])} {heard}: what fires now is not known", session.out.colour))
    return lines or [state_text("ok", "nothing fires", session.out.colour)]


# -- nodes -------------------------------------------------------------------------------------------------------------------


def act_on_node(session: Session, options: Namespace) -> Document:
    """Take one node out, or bring it back."""
    session.load("Drain", "DeploymentApi")
    _take_up(session)
    (service,), (environment,) = session.services(options.service), session.environments(options.environment)
    nodes, kind = session.cockpit.nodes, options.command
    reasons = nodes.why_not(kind, service, environment, options.node)
    if reasons:
        raise NotAllowed("; ".join(reasons), hint="Nothing was sent.", reasons=reasons)
    if not options.yes:
        what = "Take" if kind == "drain" else "Bring"
        where = "out of" if kind == "drain" else "back into"
        session.out.line(f"{what} {plain(options.node)} {where} the traffic of {plain(service)} in {plain(environment)}")
        confirm(session, environment)
        # a person takes their time: how the traffic is shared is asked again
        session.refresh("Drain")
    act = nodes.take_out if kind == "drain" else nodes.bring_back
    return _settled(session, act(service, environment, options.node, options.reason))


# -- gates -------------------------------------------------------------------------------------------------------------------


def show_gates(session: Session, options: Namespace) -> Document:
    """What waits for a person elsewhere."""
    session.load("Gates")
    (service,) = session.services(options.service) if options.service else ("",)
    state, now = session.cockpit.store.state, session.cockpit.clock_us()
    asked = [(c, s) for c in session.cockpit.connections.all if "Gates" in c.ports for s in c.services if service in ("", s)]
    if not asked:
        raise NotAllowed("No system in which steps wait for a person is connected.", hint="`release-cockpit connect --list` names them.")
    facts = [(c.id, c.title, s, state.gates.get(gate_key(s, c.id))) for c, s in asked]
    late = [{"id": i, "source": title, "service": s} for i, title, s, fact in facts if fact is None or fact.stale(now)]
    if len(late) == len(facts):
        session.result = FAILED
    rows = []
    for source_id, gate in gates_of(state, service):
        fact = state.gates[gate_key(gate.service, source_id)]
        age_s = (now - gate.asked_at_us) / 1e6 if gate.asked_at_us else None
        rows.append({**msgspec.to_builtins(gate), "connection": source_id, "age_s": age_s, "stale": fact.stale(now)})
    return {"gates": rows, "late": late}


def text_of_gates(document: Document, session: Session) -> list[str]:
    """A row a step that waits; what nobody told is never said to be nothing."""
    names = ("id", "connection", "service", "environment", "version", "waits", "since", "who may", "you")
    columns = tuple(Column(name, name == "since") for name in names)
    mine = {True: "yes", False: "no", None: "not known"}
    rows: list[list[Cell]] = [
        [
            *(g["id"], g["connection"], g["service"], g["environment"] or ANYWHERE, g["version"]),
            *(g["title"], age_text(g["age_s"]) if g["age_s"] is not None else "–", ", ".join(g["who"]) or "–"),
            State("stale", "heard too long ago") if g["stale"] else mine[g["mine"]],
        ]
        for g in document["gates"]
    ]
    lines = table(columns, rows, session.out.colour) if rows else []
    for system in document["late"]:
        words = f"{plain(system['source'])} does not answer: what waits there for {plain(system['service'])} is not known"
        lines.append(state_text("stale", words, session.out.colour))
    return lines or [state_text("ok", "nothing waits elsewhere", session.out.colour)]


def answer_gate(session: Session, options: Namespace) -> Document:
    """Approve or reject it."""
    session.load("Gates")
    _take_up(session)
    source_id, gate = _meant(session, options.gate)
    gates, approve = session.cockpit.gates, options.what == "approve"
    reasons = gates.why_not(source_id, gate, approve)
    if reasons:
        raise NotAllowed("; ".join(reasons), hint="Nothing was sent.", reasons=reasons)
    if not options.yes:
        session.out.line(f"{options.what.capitalize()} in {plain(source_id)}: {plain(gate.title)} {plain(gate.version)}")
        confirm(session, gate.environment or gate.service)
        session.refresh("Gates")
    return _settled(session, gates.decide(source_id, gate, approve, options.comment))


def _meant(session: Session, beginning: str) -> tuple[str, Gate]:
    waiting = gates_of(session.cockpit.store.state)
    found = [f for f in waiting if f[1].id == beginning] or [f for f in waiting if f[1].id.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} steps that wait begin with" if found else "No step that waits begins with"
    raise NotAllowed(f"{what} {plain(beginning, 80)}.", hint="`release-cockpit gates` lists what waits.")


# -- both --------------------------------------------------------------------------------------------------------------------


def _take_up(session: Session) -> None:
    """What an earlier process left without an outcome stands in the way of the same again."""
    session.cockpit.trust.deeds.recover()
    session.barrier("journal")


def _settled(session: Session, deed: Deed) -> Document:
    """Wait for the deed's outcome; OutcomeUnknown where none came in time."""
    store = session.cockpit.store
    session.loop.run_until(lambda: store.state.deeds[deed.key].state.final, SETTLE_S)
    session.barrier(lane_of(deed))
    now = store.state.deeds[deed.key]
    if not now.state.final:
        error = OutcomeUnknown(now.message or "No answer came.", hint="The next start looks again; look yourself before you do it again.")
        error.document = {"deed": msgspec.to_builtins(now)}  # type: ignore[attr-defined]
        raise error
    session.result = {DeedState.DONE: 0, DeedState.REFUSED: REFUSED}.get(now.state, FAILED)
    if now.state is DeedState.REFUSED:
        raise NotAllowed(now.message, hint="The system refused it.", title="Refused")
    if now.state is not DeedState.DONE:
        raise CockpitError(now.message, hint="Nothing was done.", title="Not sent")
    return {"deed": msgspec.to_builtins(now)}


def text_of_deed(document: Document, session: Session) -> list[str]:
    """What became of it."""
    deed = document["deed"]
    return [state_text(deed["state"], f"{deed['state']}: {plain(deed['message'], 300)}", session.out.colour)]


COMMANDS: dict[str, tuple[Callable[[Session, Namespace], Document], Callable[[Document, Session], list[str]]]] = {
    "alerts": (show_alerts, text_of_alerts),
    "drain": (act_on_node, text_of_deed),
    "ready": (act_on_node, text_of_deed),
    "gates": (show_gates, text_of_gates),
    "gate": (answer_gate, text_of_deed),
}
