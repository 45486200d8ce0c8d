"""What speaks against a deployment that is watched, from the state of that moment, and the one word for all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cockpit.domain.calendar import time_words
from cockpit.domain.facts import Fact
from cockpit.domain.judge import NO_DATA, NO_WORSE
from cockpit.domain.lines import listed
from cockpit.domain.release import Fleet
from cockpit.domain.strategy import expected_now
from cockpit.domain.watching import MOST_EACH, Finding, WatchState, brief, running
from cockpit.services.alerts import SKEW_S, alerts_at
from cockpit.services.watch_run import Run

if TYPE_CHECKING:
    from cockpit.domain.judge import Verdict
    from cockpit.services.connections import Connected
    from cockpit.services.judging import Heard
    from cockpit.services.store import AppState

SETTLED_S = 5.0  # after a deployment's end nodes are asked once more before they count as odd
LASTS_S = 5.0  # what runs is often known before the deployment that brought it
GONE_S = 20.0  # two blocks of the judge's hard rules
SEEN_S = 10.0  # after the watch's beginning every source was asked once
VERDICT_S = 30.0  # what the judge said before that is no word about now
PASSED = 20
AGAINST = ("verdict", "rule", "alert", "drift")
BLINDING = ("silence", "band")


def findings(state: AppState, run: Run, now_us: int, *, metrics: bool, alerts: Sequence[Connected] = ()) -> tuple[Finding, ...]:
    """Everything that speaks against it now. `metrics`: a source of metrics is connected for the service; `alerts`: of its alerts."""
    found = [*_verdict(run), *_alerts(state, run, now_us)]
    fleet = state.fleets.get(run.at)
    if fleet is not None and not fleet.stale(now_us):
        found += [*_drift(state, run, fleet), *_unwell(run, now_us)]
    found += [*_silence(run, now_us, metrics), *_unseen(run, now_us)]
    found += [*_silent_alerts(state, run, now_us, alerts), *_silent_nodes(run, fleet, now_us)]
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
    yield from ruled(verdict)
    if not verdict.broken:
        yield Finding("verdict", brief(verdict.sentence), verdict.since_us)


def ruled(verdict: Verdict) -> Iterator[Finding]:
    """The hard rules that are broken, each since it is."""
    since_us = dict(zip(verdict.broken, verdict.broken_us, strict=False))
    for words in verdict.broken:
        yield Finding("rule", brief(words, MOST_EACH), since_us.get(words, verdict.since_us))


def _alerts(state: AppState, run: Run, now_us: int) -> Iterator[Finding]:
    d = run.deployment
    for alert in alerts_at(state, d.service, d.environment, now_us).firing:
        if alert.critical and alert.since_us >= run.started_us - SKEW_S * 1e6:
            yield Finding("alert", brief(f"alert {alert.name}: {alert.summary}", MOST_EACH), alert.since_us)


def _drift(state: AppState, run: Run, fleet: Fact[Fleet]) -> Iterator[Finding]:
    """Nodes that do not run what the deployment said, after its end."""
    d = run.deployment
    if not d.state.final or fleet.at_us < run.finished_us + SETTLED_S * 1e6 or _changing(state, run, fleet.value):
        run.since.pop("drift", None)
        return
    planned = expected_now(state.rollouts.values(), d.service, d.environment)
    runs = running(fleet.value)
    mine = run.nodes & runs.keys() or runs.keys()
    odd: dict[str, list[str]] = {}
    for node in fleet.value.nodes:
        # a rollout plans digests: versions cannot be compared with those
        wanted = (planned.get(node.name, "") if node.digest else "") if planned else run.digest if node.name in mine else ""
        if wanted and runs[node.name] and runs[node.name] != wanted:
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
    runs = running(fleet.value)
    run.ran |= {n.name for n in fleet.value.nodes if run.digest and runs[n.name] == run.digest and n.healthy}
    ill = {n.name: n for n in fleet.value.nodes if n.name in run.ran and n.healthy is not True and runs[n.name] in ("", run.digest)}
    settled = run.deployment.state.final and fleet.value.active is None
    run.unwell = {name: run.unwell.get(name, now_us) for name in ill} if settled else {}


def gone(run: Run, fleet: Fact[Fleet] | None, now_us: int) -> tuple[str, ...]:
    """Nodes of it that have not answered for a while."""
    if fleet is None or fleet.stale(now_us):
        return ()
    silent = {name for name, digest in running(fleet.value).items() if not digest}
    return tuple(sorted(name for name, since_us in run.unwell.items() if name in silent and now_us - since_us > GONE_S * 1e6))


def _unwell(run: Run, now_us: int) -> Iterator[Finding]:
    ill = sorted(name for name, since_us in run.unwell.items() if now_us - since_us > GONE_S * 1e6)
    if ill:
        words = f"{len(ill)} of {max(len(run.ran), len(ill))} nodes not healthy: {listed(ill)}"
        yield Finding("rule", words, min(run.unwell[name] for name in ill))


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
        yield Finding("silence", silence_words(heard), run.first("silent nodes", now_us))
    else:
        for name in ("no data", "old verdict", "silent nodes"):
            run.since.pop(name, None)


def _unseen(run: Run, now_us: int) -> Iterator[Finding]:
    """A counter that is on no page counts nothing, which is no sign that nothing is to be counted."""
    if run.heard is not None and run.heard.unseen:
        words = f"invariants are not seen: no node of it has the metric {brief(run.heard.unseen)}"
        yield Finding("silence", words, run.first("unseen", now_us))
    else:
        run.since.pop("unseen", None)


def silence_words(heard: Heard) -> str:
    """No data from 2 of 6 nodes for 40 s."""
    return (
        f"no data from {len(heard.silent)} of {max(heard.of, len(heard.silent))} nodes for {heard.silent_s:.0f} s: {listed(heard.silent)}"
    )


def _silent_alerts(state: AppState, run: Run, now_us: int, connected: Sequence[Connected]) -> Iterator[Finding]:
    """What does not answer may hold the alert that nobody sees."""
    for source in connected:
        fact = state.alerts.get(source.id)
        if now_us - run.begun_us < SEEN_S * 1e6 or (fact is not None and not fact.stale(now_us)):
            continue
        heard_us = fact.at_us if fact is not None else 0
        words = f"was last heard at {time_words(heard_us, now_us)}" if heard_us else "has not answered"
        yield Finding("silence", f"alerts are not seen: {source.title} {words}", _since(heard_us, run, now_us))


def _since(heard_us: int, run: Run, now_us: int) -> int:
    """Since when it is not seen, as far as the watch goes."""
    return min(max(heard_us, run.started_us), now_us)


def _silent_nodes(run: Run, fleet: Fact[Fleet] | None, now_us: int) -> Iterator[Finding]:
    """What runs on the nodes is what everything else is told apart by."""
    name, ended = "what runs", run.finished_us and now_us - run.finished_us >= SETTLED_S * 1e6
    if fleet is not None and fleet.stale(now_us):
        if now_us - run.begun_us >= SEEN_S * 1e6:
            words = f"what the nodes run is not known: last heard at {time_words(fleet.at_us, now_us)}"
            yield Finding("silence", words, _since(fleet.at_us, run, now_us))
    elif not ended or (fleet is not None and run.digest and any(running(fleet.value).values())):
        run.since.pop(name, None)
    elif now_us - run.first(name, now_us) >= SEEN_S * 1e6:
        yield Finding("silence", "cannot tell which version each node runs", run.first(name, now_us))


def passed(before: Sequence[Finding], found: Sequence[Finding], past: Sequence[Finding], now_us: int) -> tuple[Finding, ...]:
    """`past` with what was found `before` and is not any more; what came again is no past. The newest are kept."""
    here = {(f.kind, f.since_us) for f in found}
    gone = {(f.kind, f.since_us): f for f in before if f.kind != "band" and (f.kind, f.since_us) not in here}
    old = [f for f in past if (f.kind, f.since_us) not in here | gone.keys()]
    return (*old, *(Finding(f.kind, f.text, f.since_us, now_us) for f in gone.values()))[-PASSED:]


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
