"""What an automatic rollback may follow from: the judge's verdict, alerts or drift, as far as the policy names them and they last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from cockpit.domain.judge import WORSE, Verdict
from cockpit.domain.watching import MOST_EACH, TRIGGERS, brief
from cockpit.services.alerts import SKEW_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cockpit.domain.alerts import Alert
    from cockpit.domain.watching import Finding, Watched
    from cockpit.services.store import AppState
    from cockpit.services.watch_run import Run

LASTS_S = 20.0  # two blocks of the hard rules: what passes sooner is nobody's reason to act
NO_VERDICT = Verdict("nothing was judged yet", "", 0)
FOUND = {"verdict": "verdict", "rule": "verdict", "alert": "alerts", "drift": "drift"}  # the trigger of each kind of finding


def look_at_alerts(state: AppState, run: Run, now_us: int) -> None:
    """Remember since when each alert fires that may be acted on: critical, of exactly this place, newer than the deployment, not silenced.

    An alert whose source is silent now is no reason to act, though it stays one to worry.
    """
    told = [alert for fact in state.alerts.values() if not fact.stale(now_us) for alert in fact.value]
    mine = {a.id: a for a in told if _concerns(a, run)}
    run.firing = {ident: (run.firing[ident][0] if ident in run.firing else now_us, alert) for ident, alert in mine.items()}


def _concerns(alert: Alert, run: Run) -> bool:
    d = run.deployment
    here = (alert.service, alert.environment) == (d.service, d.environment)
    begun = alert.since_us >= run.started_us - SKEW_S * 1e6
    return here and begun and alert.critical and alert.state == "active"


def cause(run: Run, watched: Watched, now_us: int) -> Verdict:
    """The first of the policy's reasons to go back that holds, as a verdict; where none does, what the judge says against that."""
    named, verdict = run.rule.rollback_on, watched.found
    if "verdict" in named and verdict is not None and verdict.bad:
        return replace(verdict, sentence=brief(verdict.sentence))
    alerts = [alert for since_us, alert in run.firing.values() if now_us - since_us >= LASTS_S * 1e6]
    if "alerts" in named and alerts:
        words = "; ".join(brief(f"alert {a.name}: {a.summary}", MOST_EACH) for a in sorted(alerts, key=lambda a: (a.since_us, a.name)))
        return Verdict(WORSE, brief(words), now_us, since_us=min(a.since_us for a in alerts))
    drift = [f for f in watched.findings if f.kind == "drift" and now_us - f.since_us >= LASTS_S * 1e6]
    if "drift" in named and drift:
        return Verdict(WORSE, brief("; ".join(f.text for f in drift)), now_us, since_us=min(f.since_us for f in drift))
    return NO_VERDICT if verdict is None or verdict.bad else verdict


def not_named(run: Run, found: Sequence[Finding]) -> str:
    """Why what speaks against it is no reason to go back by itself; "" where nothing does, or some of it is."""
    speak = {FOUND[f.kind] for f in found if f.kind in FOUND}
    if not speak or speak & set(run.rule.rollback_on):
        return ""
    wanted = [name for name in TRIGGERS if name in run.rule.rollback_on]
    return f"the policy goes back by itself on {' and '.join(wanted)} only"
