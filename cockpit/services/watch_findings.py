"""What speaks against a deployment that is watched, from the state of that moment, and the one word for all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cockpit.domain.facts import Fact
from cockpit.domain.judge import NO_DATA, NO_WORSE
from cockpit.domain.lines import listed
from cockpit.domain.release import Fleet
from cockpit.domain.strategy import expected_now
from cockpit.domain.watching import Finding, WatchState
from cockpit.services.alerts import SKEW_S, alerts_at
from cockpit.services.watch_run import Run

if TYPE_CHECKING:
    from cockpit.domain.judge import Verdict
    from cockpit.services.store import AppState

SETTLED_S = 5.0  # after a deployment's end nodes are asked once more before they count as odd
LASTS_S = 5.0  # what runs is often known before the deployment that brought it
GONE_S = 15.0
VERDICT_S = 30.0  # what the judge said before that is no word about now
AGAINST = ("verdict", "rule", "alert", "drift")
BLINDING = ("silence", "band")


def findings(state: AppState, run: Run, now_us: int, *, metrics: bool) -> tuple[Finding, ...]:
    """Everything that speaks against it now. `metrics`: a source of metrics is connected for the service."""
    found = [*_verdict(run), *_alerts(state, run, now_us)]
    fleet = state.fleets.get(run.at)
    if fleet is not None and not fleet.stale(now_us):
        found += [*_drift(state, run, fleet), *_unwell(run, now_us)]
    found += _silence(run, now_us, metrics)
    return (*found, *_band(state, run, now_us))


def state_of(found: tuple[Finding, ...], verdict: Verdict | None, over: bool) -> WatchState:
    """The worst of what speaks; without anything against it a watch that is over is fine only where the judge says so."""
    kinds = {finding.kind for finding in found}
    if kinds & set(AGAINST):
        return WatchState.BAD
    if kinds & set(BLINDING):
        return WatchState.BLIND
    if not over:
        return WatchState.WATCHING
    return WatchState.FINE if verdict is not None and verdict.state == NO_WORSE else WatchState.BLIND


def old(verdict: Verdict | None, now_us: int) -> str:
    """Why what the judge said last is no word about now, "" where it is."""
    if verdict is None or abs(now_us - verdict.at_us) <= VERDICT_S * 1e6:
        return ""
    return f"the judge said nothing for {abs(now_us - verdict.at_us) / 1e6:.0f} s"


def _verdict(run: Run) -> Iterator[Finding]:
    verdict = run.heard.verdict if run.heard is not None else None
    if verdict is None or not verdict.bad:
        return
    for words in verdict.broken:
        yield Finding("rule", words, verdict.since_us)
    if not verdict.broken:
        yield Finding("verdict", verdict.sentence, verdict.since_us)


def _alerts(state: AppState, run: Run, now_us: int) -> Iterator[Finding]:
    d = run.deployment
    for alert in alerts_at(state, d.service, d.environment, now_us).firing:
        if alert.critical and alert.since_us >= run.started_us - SKEW_S * 1e6:
            yield Finding("alert", f"alert {alert.name}: {alert.summary}", alert.since_us)


def _drift(state: AppState, run: Run, fleet: Fact[Fleet]) -> Iterator[Finding]:
    """Nodes that do not run what the deployment said, after its end."""
    d = run.deployment
    if not d.state.final or fleet.at_us < run.finished_us + SETTLED_S * 1e6 or _changing(state, run, fleet.value):
        run.since.pop("drift", None)
        return
    planned = expected_now(state.rollouts.values(), d.service, d.environment)
    names = {n.name for n in fleet.value.nodes}
    mine = run.nodes & names or names
    odd: dict[str, list[str]] = {}
    for node in fleet.value.nodes:
        wanted = planned.get(node.name, "") if planned else d.digest if node.name in mine else ""
        if wanted and node.digest and node.digest != wanted:
            odd.setdefault(node.version or node.digest[:12], []).append(node.name)
    if odd and fleet.at_us - run.first("drift", fleet.at_us) >= LASTS_S * 1e6:
        words = "; ".join(f"{listed(nodes)} run{'s' if len(nodes) == 1 else ''} {version}" for version, nodes in sorted(odd.items()))
        yield Finding("drift", f"not {d.version}: {words}", run.first("drift", fleet.at_us))
    elif not odd:
        run.since.pop("drift", None)


def _changing(state: AppState, run: Run, fleet: Fleet) -> bool:
    """Whether somebody changes the nodes at this moment, as far as is known here."""
    mine = (a for a in state.actions.values() if (a.service, a.environment) == (fleet.service, fleet.environment))
    # one that is not known any more holds no drift back for ever
    other = any(not a.state.final and not a.let_go and a.intended_at_us > run.started_us for a in mine)
    return fleet.active is not None or other


def look_at_nodes(run: Run, fleet: Fact[Fleet], now_us: int) -> None:
    """Remember which nodes ran it, and since when one of those does badly."""
    d = run.deployment
    run.ran |= {n.name for n in fleet.value.nodes if n.digest == d.digest and n.healthy}
    ill = {n.name: n for n in fleet.value.nodes if n.name in run.ran and n.healthy is not True and n.digest in ("", d.digest)}
    settled = d.state.final and fleet.value.active is None
    run.unwell = {name: run.unwell.get(name, now_us) for name in ill} if settled else {}


def gone(run: Run, fleet: Fact[Fleet] | None, now_us: int) -> tuple[str, ...]:
    """Nodes of it that have not answered for a while."""
    if fleet is None or fleet.stale(now_us):
        return ()
    silent = {n.name for n in fleet.value.nodes if not n.digest}
    return tuple(sorted(name for name, since_us in run.unwell.items() if name in silent and now_us - since_us > GONE_S * 1e6))


def _unwell(run: Run, now_us: int) -> Iterator[Finding]:
    ill = sorted(name for name, since_us in run.unwell.items() if now_us - since_us > GONE_S * 1e6)
    if ill:
        yield Finding("rule", f"not healthy: {listed(ill)}", min(run.unwell[name] for name in ill))


def _silence(run: Run, now_us: int, metrics: bool) -> Iterator[Finding]:
    heard = run.heard
    if not metrics:
        yield Finding("silence", "no metrics of it are connected: nobody can say how it does", run.started_us)
    elif heard is not None and heard.verdict is not None and heard.verdict.state == NO_DATA:
        yield Finding("silence", heard.verdict.sentence, run.first("no data", now_us))
    elif heard is not None and old(heard.verdict, now_us):
        yield Finding("silence", f"{old(heard.verdict, now_us)}: that is not fine", run.first("old verdict", now_us))
    elif heard is not None and heard.silent:
        run.since.pop("no data", None)
        run.since.pop("old verdict", None)
        yield Finding("silence", f"no metrics come from {listed(heard.silent)}", run.first("silent nodes", now_us))
    else:
        for name in ("no data", "old verdict", "silent nodes"):
            run.since.pop(name, None)


def _band(state: AppState, run: Run, now_us: int) -> Iterator[Finding]:
    """Where the judge cannot say more, what the quantiles of the version before say."""
    fact, verdict = state.latency.get(run.at), run.heard.verdict if run.heard is not None else None
    told = verdict is not None and (verdict.bad or verdict.state == NO_WORSE)
    if fact is None or fact.stale(now_us) or told or not run.deployment.state.final:
        run.since.pop("band", None)
        return
    point, band = fact.value.point, fact.value.band
    if not fact.value.outside or band is None or not band.version or point.p99_ms is None:
        run.since.pop("band", None)
        return
    words = f"p99 left the band of {band.version}: {point.p99_ms:.1f} ms against at most {band.high_ms:.1f} ms"
    yield Finding("band", words, run.first("band", now_us))
