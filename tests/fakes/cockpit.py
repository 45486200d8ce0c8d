"""A cockpit in memory for the tests of the window: real store, notices and domain types in a believable state; what acts is recorded."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from cockpit.domain.approvals import ApprovalRule
from cockpit.domain.errors import NotAllowed
from cockpit.domain.facts import Fact, place
from cockpit.domain.metrics import Histogram, LatencyPoint, Reading
from cockpit.domain.readiness import Readiness
from cockpit.domain.rollout import Action, ActionState, Facts, Refusal, RolloutPlan, last_good, plan
from cockpit.services import status
from cockpit.services.calendars import Calendars
from cockpit.services.latency import Columns, LatencyBook, empty_columns, series_id
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import Outcome, Runner
from cockpit.services.store import AppState, Store
from cockpit.storage.chunks import table_of
from cockpit.storage.journal import Entry
from tests.fakes.believable import LIVE, MIN, NOW_US, PEOPLE, S, believable_state, fleet, latency_point, results, sha
from tests.fakes.connecting import FakeSystems
from tests.fakes.trust import FakePolicy, FakeRollouts, FakeWords

IN_MEMORY_US = 15 * MIN  # of each series; what is older is on disk


class Verification(Struct, frozen=True):
    """What verifying the journal found."""

    ok: bool
    count: int
    problems: tuple[str, ...] = ()
    head: str = ""


class FakeHistory:
    """What is on disk: made-up points of any time, coarser for longer spans. Nothing is kept."""

    def __init__(self, made: Callable[[str, int, int, int], Iterator[LatencyPoint]]) -> None:
        self._made = made

    def save(self, parts: Sequence[tuple[str, Sequence[array[float]]]]) -> None:
        """Made up again when it is asked for."""

    def compact(self, now_us: int) -> None:
        """Coarse as it is."""

    def prune(self, older_than_us: int) -> None:
        """Nothing is kept."""

    def load(self, series: str, start_us: int, end_us: int, max_points: int = 2000) -> Any:
        made = self._made(series, start_us, end_us, max(2 * S, (end_us - start_us) // 1800 // (2 * S) * 2 * S))
        return table_of(tuple(made))


class AtOnce(Runner):
    """Work and answer at once, where it is submitted."""

    def __init__(self) -> None:
        """No threads."""

    def submit(self, lane: str, work: Callable[[], Any], done: Callable[[Outcome[Any]], None]) -> None:
        done(Outcome(work()))


class FilledBook(LatencyBook):
    """The real book: its nodes and operations come from readings, its series hold a point every two seconds, made when first asked for."""

    def __init__(self, places: Iterable[str], clock_us: Callable[[], int]) -> None:
        super().__init__(AtOnce(), FakeHistory(self._points), clock_us)
        self.empty = False
        self.loads: list[str] = []
        self._upto: dict[str, int] = {}
        for at_us in (NOW_US - 4 * S, NOW_US - 2 * S):
            self.digest.points([reading for at in places for reading in readings(at, at_us)])

    def columns(self, series: str, start_us: int, end_us: int) -> Columns:
        self._fill(series)
        return empty_columns() if self.empty else super().columns(series, start_us, end_us)

    def last(self, at: str) -> LatencyPoint | None:
        self._fill(series_id(at))
        return None if self.empty else super().last(at)

    def load(self, series: str, start_us: int, end_us: int, done: Callable[[Outcome[Columns]], None], max_points: int = 2000) -> None:
        self.loads.append(series)
        super().load(series, start_us, end_us, done, max_points)

    def span(self, series: str) -> tuple[float, float]:
        self._fill(series)
        return (math.inf, math.inf) if self.empty else super().span(series)

    def _fill(self, series: str) -> None:
        start, now = self._upto.get(series, NOW_US - IN_MEMORY_US), self._clock_us()
        if not self.empty and start <= now:
            self._upto[series] = now + 1
            self.add([(series, p) for p in self._points(series, start, now, 2 * S)])

    def _points(self, series: str, start_us: int, end_us: int, step_us: int) -> Iterator[LatencyPoint]:
        if self.empty or series not in self.digest.keys:
            return
        at, node, operation = self.digest.keys[series]
        service, environment = at.split("@")
        scale = 1.0 + 0.07 * (sum(map(ord, node + operation)) % 7 if (node, operation) != ("*", "*") else 0)
        for at_us in range(-(-start_us // step_us) * step_us, end_us + 1, step_us):
            if not NOW_US - 21 * MIN < at_us < NOW_US - 20 * MIN:  # a minute without metrics
                yield latency_point(at_us, service, environment, scale)


def readings(at: str, at_us: int) -> list[Reading]:
    """What the nodes of a place answer at one moment: more requests at each."""
    service, environment = at.split("@")
    counts = (float(at_us // S % 1_000_000),) * 2
    operations = dict.fromkeys(("cancel", "depth", "order", "quote"), Histogram((0.005, math.inf), counts))
    return [Reading(node.name, service, environment, at_us, operations) for node in fleet(service, environment).nodes]


PAST = (
    ("intent", "deploy"),
    ("outcome", "deploy"),
    ("approval", "approve"),
    ("intent", "rollback"),
    ("outcome", "rollback"),
    ("note", "start"),
)


def outcome_of(work: Callable[[], Any]) -> Outcome[Any]:
    """What the runner would hand back."""
    try:
        return Outcome(work())
    except Exception as error:  # noqa: BLE001 - as the runner does
        return Outcome(error=error)


class FakeActions:
    """Actions: plans for real, fires into the store; every call stands in `calls`."""

    def __init__(self, cockpit: FakeCockpit) -> None:
        self.cockpit = cockpit
        self.calls: list[tuple[Any, ...]] = []
        self.refuse = ""
        self.bend: Callable[[RolloutPlan | Refusal], RolloutPlan | Refusal] | None = None  # what a test wants planned instead
        self.entries: list[Entry] = [
            Entry(i, NOW_US - (40 - i) * MIN, kind, sha(f"k{i // 2}")[:32], action, PEOPLE[i % 5], "order-gateway", "production",
                  "vm:1:2", {"version": "1.6.0", "state": "done"}, sha(f"entry {i - 1}"), sha(f"entry {i}"))
            for i, (kind, action) in enumerate(PAST)
        ]  # fmt: skip

    def _check(self, *call: Any) -> None:
        self.calls.append(call)
        if self.refuse or self.cockpit.read_only:
            raise NotAllowed(self.refuse or "this cockpit is read-only", hint="Open it without --read-only.")

    def plan(self, kind: str, service: str, environment: str, version: str = "", *, emergency: bool = False) -> RolloutPlan | Refusal:
        planned = self._plan(kind, service, environment, version, emergency)
        return self.bend(planned) if self.bend is not None else planned

    def _plan(self, kind: str, service: str, environment: str, version: str, emergency: bool) -> RolloutPlan | Refusal:
        state, at = self.cockpit.store.state, place(service, environment)
        past = state.deployments.get(at)
        live = state.fleets[at].value.live if at in state.fleets else None
        if kind == "rollback" and not version and past and at in state.fleets:
            good = last_good(past.value, state.fleets[at].value)
            version = good.version if good else ""
        target = status.version_of(state, service, version) if version else None
        pair = (version, live.version if live else "")
        changes = status.changes_between(state, service, *(pair if kind == "rollback" else reversed(pair))) if version else None
        facts = Facts(
            self.cockpit.clock_us(), state.fleets.get(at), state.artifacts.get(service), past, state.versions.get(service), changes
        )
        ready = Readiness()
        if kind == "deploy" and target is not None:
            ready = status.ready(state, target, environment, self.cockpit.rules, self.cockpit.clock_us())
        may = self.cockpit.settings.me.email in self.cockpit.rules.may.get("emergency", ())
        if emergency and may:
            ready = Readiness(tuple(r for r in ready.reasons if r.place != "approvals"))
        found = plan(kind, service, environment, target, facts, ready)
        return replace(found, emergency=True) if emergency and isinstance(found, RolloutPlan) else found

    def fire(self, planned: RolloutPlan, reason: str = "", *, automatic: bool = False) -> Action:
        self._check("fire", planned, reason)
        now = self.cockpit.clock_us()
        action = Action(
            sha(f"action {len(self.calls)}")[:32], planned.kind, planned.service, planned.environment, planned.from_version,
            planned.from_digest, planned.target.name, planned.target.digest, self.cockpit.settings.me.email, ActionState.INTENDED, now
        )  # fmt: skip
        self.cockpit.store.merge("actions", {action.key: action})
        return action

    def abort(self, key: str) -> None:
        self._check("abort", key)

    def why_not_let_go(self, key: str) -> str:
        action = self.cockpit.store.state.actions.get(key)
        return "" if action is not None and action.state is ActionState.UNKNOWN else "the system answers"

    def let_go(self, key: str, reason: str) -> None:
        self._check("let_go", key, reason)

    def rerun_checks(self, run_id: str) -> None:
        self._check("rerun_checks", run_id)

    def stop_checks(self, run_id: str) -> None:
        self._check("stop_checks", run_id)

    def load_run(self, run_id: str) -> None:
        self.calls.append(("load_run", run_id))
        for fact in self.cockpit.store.state.checks.values():
            for run in fact.value:
                if run.id == run_id and run.state.final:
                    full = tuple(replace(s, tests=s.tests or results(s.name, s.passed, 0, 0, s.skipped)) for s in run.suites)
                    self.cockpit.store.merge("runs", {run_id: Fact(replace(run, suites=full), NOW_US, "ci")})
                    return

    def load_log(self, run_id: str, suite: str, done: Callable[[Outcome[str]], None]) -> None:
        self.calls.append(("load_log", run_id, suite))
        done(Outcome(f"log of {suite} in {run_id}\n\x1b[31mred\x1b[0m <b>plain</b>\n" + "collected 21 items\n" * 30))

    def activity(self, text: str = "", kinds: tuple[str, ...] = (), limit: int = 1000) -> tuple[Entry, ...]:
        found = [e for e in reversed(self.entries) if (not kinds or e.kind in kinds) and text.lower() in str(e).lower()]
        return tuple(found[:limit])

    def load_activity(self, text: str, kinds: tuple[str, ...], limit: int, done: Callable[[Outcome[Any]], None]) -> None:
        done(outcome_of(lambda: self.activity(text, kinds, limit)))

    def entries_of(self, key: str) -> tuple[Entry, ...]:
        return tuple(e for e in self.entries if e.key == key)

    def save_activity(self, entries: tuple[Entry, ...], path: str, done: Callable[[Outcome[Any]], None]) -> None:
        form = "json" if path.lower().endswith(".json") else "csv"
        done(outcome_of(lambda: Path(path).write_text(self.export_activity(entries, form), encoding="utf-8")))

    def check_journal(self, done: Callable[[Outcome[Any]], None]) -> None:
        done(outcome_of(self.verify_journal))

    def export_activity(self, entries: tuple[Entry, ...], form: str) -> str:
        self.calls.append(("export", form, len(entries)))
        return f"{form} of {len(entries)} entries"

    def verify_journal(self) -> Verification:
        return Verification(True, len(self.entries), (), self.entries[-1].hash)


class FakeSync:
    """Sync: remembers what was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def want_changes(self, service: str, base_version: str, head_version: str) -> None:
        self.calls.append(("want_changes", service, base_version, head_version))

    def refresh_now(self, source_id: str = "") -> None:
        self.calls.append(("refresh_now", source_id))

    def test(self, source_id: str, done: Callable[[Outcome[Any]], None]) -> None:
        self.calls.append(("test", source_id))
        done(Outcome(FakeProbe(f"{source_id} at 127.0.0.1", "playground")))


class FakeProbe(Struct, frozen=True):
    """What a connection test found."""

    reached: str
    identity: str = ""
    missing: tuple[str, ...] = ()


class Me(Struct, frozen=True):
    """Who acts."""

    name: str = "You"
    email: str = "you@playground.invalid"


class WindowSettings(Struct, frozen=True):
    """How the window looks."""

    theme: str = "dark"


class FakeSettings(Struct, frozen=True):
    """The part of the settings that the window reads."""

    me: Me = field(default_factory=Me)
    window: WindowSettings = field(default_factory=WindowSettings)


class FakePlayground:
    """The playground's controls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.word = "calm"

    def regime(self) -> str:
        return self.word

    def set_regime(self, word: str) -> None:
        self.word = word
        self.calls.append(word)

    def restart(self) -> None:
        self.calls.append("restart")


class FakeCockpit:
    """What `cockpit.app.build` answers, without threads, files and sockets. Move `now_us` to let time pass."""

    def __init__(self, state: AppState | None = None, *, read_only: bool = False) -> None:
        self.now_us = NOW_US
        self.store = Store(believable_state() if state is None else state)
        self.notices = Notices(self.clock_us)
        self.actions = FakeActions(self)
        self.words, self.rollouts, self.policy = FakeWords(self), FakeRollouts(self), FakePolicy()
        self.calendars, self.systems = Calendars(), FakeSystems()
        self.sync = FakeSync()
        self.latency = FilledBook(LIVE, self.clock_us)
        self.settings = FakeSettings()
        self.rules = status.Rules(("unit", "integration", "performance"), {"production": ApprovalRule(1)})
        self.read_only = read_only
        self.whole = True
        self.playground: FakePlayground | None = FakePlayground()
        self.started = self.closed = False

    def clock_us(self) -> int:
        return self.now_us

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True

    def tell_some(self) -> None:
        """A few notices, the last one loud."""
        self.notices.tell(Severity.INFO, "order-gateway 1.8.0 was released", "Its tests are running.", place="checks")
        self.notices.tell(
            Severity.WARNING, "Source is stale", "CI of the archive answered 41 s ago.", hint="Look at Sources.", key="s", place="sources"
        )
        text = "p99 of order-gateway in production is 60.1 ms against at most 5.8 ms in the time of 1.5.1."
        self.notices.tell(Severity.ERROR, "Latency left its band", text, hint="Roll back, or look at Latency.", key="band", place="latency")
