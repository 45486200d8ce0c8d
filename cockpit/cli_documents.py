"""What a command answers, as plain dictionaries: the JSON of `--json`, and what the text is made from.

Times are integer microseconds UTC (`*_at_us`), ages and durations seconds, latencies milliseconds; null means not known.
Fields are added, never renamed or removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from cockpit.app import Cockpit
from cockpit.cli_session import people
from cockpit.domain.checks import CheckRun
from cockpit.domain.facts import Fact, place
from cockpit.domain.release import Changes, Commit, Version
from cockpit.domain.rollout import Action, Line, Refusal, RolloutPlan
from cockpit.services import status

Document = dict[str, Any]


def seen(fact: Fact[Any] | None, now_us: int) -> Document:
    """When a thing was seen, and whether that is too long ago."""
    if fact is None:
        return {"seen_at_us": None, "age_s": None, "stale": True, "source": None}
    return {"seen_at_us": fact.at_us, "age_s": fact.age_s(now_us), "stale": fact.stale(now_us), "source": fact.source}


def place_document(cockpit: Cockpit, service: str, environment: str) -> Document:
    """One service in one environment."""
    state, now = cockpit.store.state, cockpit.clock_us()
    fleet = state.fleets.get(place(service, environment))
    live = fleet.value.live if fleet else None
    agree, total = fleet.value.agreement if fleet else (None, None)
    condition = status.condition(state, service, environment, now)
    waiting = status.pending_versions(state, service, environment) if service in state.versions else None
    return {
        "service": service,
        "environment": environment,
        "version": status.live_name(state, service, environment),
        "digest": live.digest if live else None,
        "nodes": total,
        "nodes_agree": agree,
        "state": condition.word,
        "words": condition.words,
        "pending": None if waiting is None else len(waiting),
        "p99_ms": _p99(cockpit, service, environment),
        **seen(fleet, now),
    }


def _p99(cockpit: Cockpit, service: str, environment: str) -> float | None:
    known = cockpit.store.state.latency.get(place(service, environment))
    return known.value.point.p99_ms if known is not None and not known.stale(cockpit.clock_us()) else None


def commit_document(commit: Commit) -> Document:
    """One commit."""
    return {
        "id": commit.id,
        "author": commit.author,
        "email": commit.email,
        "at_us": commit.at_us,
        "subject": commit.subject,
        "reviewers": list(commit.reviewers),
        "co_authors": list(commit.co_authors),
        "files": list(commit.files),
    }


def changes_document(changes: Changes | None) -> Document:
    """What comes in and what is not in it; null for all while that is not read."""
    if changes is None:
        return {"commits_total": None, "missing_total": None, "authors": None, "reviewers": None, "commits": None, "missing": None}
    return {
        "commits_total": changes.total_in,
        "missing_total": changes.total_out,
        "authors": people(changes.commits, "author"),
        "reviewers": people(changes.commits, "reviewers"),
        "commits": [commit_document(c) for c in changes.commits],
        "missing": [commit_document(c) for c in changes.missing],
    }


def version_document(version: Version) -> Document:
    """One version."""
    return {
        "version": version.name,
        "tag": version.tag,
        "commit": version.commit,
        "digest": version.digest or None,
        "released_at_us": version.released_at_us or None,
    }


def pending_document(cockpit: Cockpit, service: str, environment: str, limit: int) -> Document:
    """What waits for one place, newest first; at most `limit` versions in detail."""
    state, now = cockpit.store.state, cockpit.clock_us()
    live = status.live_name(state, service, environment)
    waiting = status.pending_versions(state, service, environment)
    return {
        "service": service,
        "environment": environment,
        "live": live,
        "pending_total": len(waiting) if service in state.versions else None,
        "versions": [_waiting(cockpit, v, environment, live) for v in waiting[:limit]],
        **seen(state.versions.get(service), now),
    }


def _waiting(cockpit: Cockpit, version: Version, environment: str, live: str | None) -> Document:
    state, now = cockpit.store.state, cockpit.clock_us()
    decision = status.decision(state, version, environment, cockpit.rules, now)
    ready = status.ready(state, version, environment, cockpit.rules, now, calendars=cockpit.actions.calendars)
    held = status.held(state, version.service, environment, version.digest)
    changes = status.changes_between(state, version.service, live, version.name) if live is not None else None
    return {
        **version_document(version),
        "checks": status.checks_word(state, version, cockpit.rules) if version.service in state.checks else None,
        "approvals_given": decision.given,
        "approvals_required": decision.required,
        "held": held is not None,
        "ready": ready.ok,
        "reasons": [{"place": r.place, "text": r.text} for r in ready.reasons],
        **changes_document(changes),
    }


def run_document(run: CheckRun | None) -> Document | None:
    """One run of the tests with its suites and failures."""
    if run is None:
        return None
    suites = [
        {
            **{name: getattr(s, name) for name in ("name", "total", "passed", "failed", "errors", "skipped", "duration_s")},
            "state": str(s.state),
            "started_at_us": s.started_at_us or None,
        }
        for s in run.suites
    ]
    failures = [{"suite": suite, "test": t.name, "outcome": t.outcome, "message": t.message} for suite, t in run.failures]
    return {
        "run": run.id,
        "version": run.version,
        "commit": run.commit,
        "state": str(run.state),
        "started_at_us": run.started_at_us or None,
        "finished_at_us": run.finished_at_us or None,
        "url": run.url,
        "suites": suites,
        "failures": failures,
    }


def checks_document(cockpit: Cockpit, service: str, versions: Iterable[Version]) -> Document:
    """The newest run of each of these versions."""
    state = cockpit.store.state
    rows = []
    for version in versions:
        summary = status.checks(state, version, cockpit.rules)
        word = status.checks_word(state, version, cockpit.rules)
        run = run_document(status.run_of(state, version))
        rows.append({"version": version.name, "commit": version.commit, "state": word, "reasons": list(summary.reasons), "run": run})
    return {"service": service, "versions": rows, **seen(state.checks.get(service), cockpit.clock_us())}


def latency_document(cockpit: Cockpit, service: str, environment: str) -> Document:
    """The newest latency of one place, and the band it is compared with."""
    known = cockpit.store.state.latency.get(place(service, environment))
    point, band = (known.value.point, known.value.band) if known else (None, None)
    return {
        "service": service,
        "environment": environment,
        **{name: getattr(point, name, None) for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "rate_per_s", "error_ratio")},
        "band_low_ms": band.low_ms if band else None,
        "band_high_ms": band.high_ms if band else None,
        "band_version": band.version if band else None,
        "outside": known.value.outside if known else None,
        **seen(known, cockpit.clock_us()),
    }


def line_document(line: Line, now_us: int) -> Document:
    """One line of a preflight or proof."""
    age_s = (now_us - line.at_us) / 1e6 if line.at_us else None
    seen = {"seen_at_us": line.at_us or None, "age_s": age_s}
    return {"state": str(line.state), "text": line.text, **seen, "place": line.place, "insist": line.insist}


def plan_document(planned: RolloutPlan | Refusal, now_us: int) -> Document:
    """The card: all that a person must know before the click."""
    target = planned.target
    refused = isinstance(planned, Refusal)
    return {
        "kind": planned.kind,
        "service": planned.service,
        "environment": planned.environment,
        "from_version": planned.from_version or None,
        "from_digest": None if isinstance(planned, Refusal) else planned.from_digest,
        "target": version_document(target) if target else None,
        "nodes": None if isinstance(planned, Refusal) else list(planned.nodes),
        "changes": changes_document(None if isinstance(planned, Refusal) else planned.changes),
        "expected_s": None if isinstance(planned, Refusal) else planned.expected_s,
        "preflight": [line_document(line, now_us) for line in planned.preflight],
        "emergency": isinstance(planned, RolloutPlan) and planned.emergency,
        "insists": list(planned.insists) if isinstance(planned, RolloutPlan) else [],
        "refused": refused,
        "reasons": [{"place": r.place, "text": r.text} for r in planned.reasons] if isinstance(planned, Refusal) else [],
    }


def action_document(action: Action, now_us: int) -> Document:
    """A deployment or rollback as it stands."""
    steps = action.deployment.steps if action.deployment else ()
    fields = ("key", "kind", "service", "environment", "from_version", "version", "digest", "who", "message", "intended_at_us")
    return {
        **{name: getattr(action, name) for name in fields},
        "state": str(action.state),
        "final": action.state.final,
        "let_go": action.let_go or None,
        "accepted_at_us": action.accepted_at_us or None,
        "ended_at_us": action.ended_at_us or None,
        "deployment": action.deployment.id if action.deployment else None,
        "steps": [msgspec.to_builtins(step) for step in steps],
        "proof": [line_document(line, now_us) for line in action.proof],
    }
