"""What each kind of connection is asked for, and where the answers go in the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from cockpit.domain.errors import AuthFailed, CockpitError, ConnectorError, NotFound, RateLimited, Unreachable
from cockpit.domain.facts import Fact, place
from cockpit.domain.metrics import LatencyPoint, Reading
from cockpit.domain.policy import Rules
from cockpit.domain.release import Node
from cockpit.services import status, ways
from cockpit.services.bands import UNSEEN_READS, Bands
from cockpit.services.connections import Connected
from cockpit.services.latency import LatencyBook
from cockpit.services.store import AppState, Store, changes_key

if TYPE_CHECKING:
    from cockpit.connectors.ports import CiSystem, DeploymentApi, MetricsApi, SourceControl
    from cockpit.services.watch import Watch

AHEAD = 12  # pending versions whose commits are read before anyone asks
SILENT_TURNS = 4
AT_A_TIME = 40  # points that are taken in without a pause
AT_ONCE = 8  # comparisons read in one poll, so that versions and commits appear step by step


class Partial(Struct):
    """What a poll brought before it ended, what does not exist, and the error that it met, if any."""

    items: list[tuple[str, str, Any]]
    missing: list[tuple[str, str]]
    error: Exception | None = None


GIVE_UP = 2  # questions without any answer, then the system counts as gone for this poll


def collect(questions: Sequence[tuple[str, str, Callable[[], Any]]], turn: int = 0) -> Partial:
    """Ask one after the other, beginning elsewhere each `turn`.

    What one thing lacks or answers wrongly must not hide the others; a system that is gone, or wants nobody, is not asked further.
    """
    answer, silent = Partial([], []), 0
    start = turn % len(questions) if questions else 0
    for kind, key, ask in (*questions[start:], *questions[:start]):
        try:
            answer.items.append((kind, key, ask()))
        except ConnectorError as error:
            answer.error = answer.error or error
            silent += isinstance(error, Unreachable)
            if isinstance(error, NotFound):
                answer.missing.append((kind, key))
            if isinstance(error, RateLimited | AuthFailed) or silent >= GIVE_UP:
                answer.error = error
                break
    return answer


class StateJob:
    """Shared by the jobs that fill dictionaries of the state with facts."""

    def __init__(self, connected: Connected, store: Store, clock_us: Callable[[], int], deadline_s: float) -> None:
        self._connected = connected
        self._store = store
        self._clock_us = clock_us
        self._deadline_s = deadline_s
        self._turn = 0
        self.changed = True  # whether the last answer brought anything new

    @property
    def _state(self) -> AppState:
        return self._store.state

    def apply(self, result: Partial) -> Exception | None:
        """Every answer becomes a fact of now."""
        now = self._clock_us()
        # after an error the next poll begins elsewhere, so that what comes first cannot keep the rest from being asked
        self._turn += 7 * (result.error is not None)
        merged: dict[str, dict[str, Any]] = {}
        for kind, key, value in result.items:
            merged.setdefault(kind, {})[key] = Fact(value, now, self._connected.title, self._deadline_s)
        before = self._state
        for kind, items in merged.items():
            self._store.merge(kind, items)
        self.changed = any(_news(getattr(before, kind), items) for kind, items in merged.items())
        return result.error

    def interval_s(self, base_s: float) -> float:
        """Always the same."""
        return base_s


def _news(before: dict[str, Any], items: dict[str, Any]) -> bool:
    return any(key not in before or before[key].value != fact.value for key, fact in items.items())


class SourceJob(StateJob):
    """Versions of each service, and the commits between what is live and what is pending or could be gone back to.

    `rules` answers the policy in force: what it declares of a way back decides whether other ways are read too.
    """

    def __init__(
        self, connected: Connected, store: Store, clock_us: Callable[[], int], deadline_s: float, rules: Callable[[], Rules] = Rules
    ) -> None:
        super().__init__(connected, store, clock_us, deadline_s)
        self._rules = rules
        self._wanted: list[tuple[str, str, str]] = []
        self._fingerprint = ""
        self._missing: set[str] = set()  # comparisons that cannot be made, until a ref changes

    def want(self, service: str, base: str, head: str) -> None:
        """Also read the commits between these two versions."""
        if (service, base, head) not in self._wanted:
            self._wanted = [*self._wanted[-20:], (service, base, head)]

    def prepare(self) -> Callable[[], Partial]:
        """Versions when a ref changed, comparisons that are not known yet."""
        # where a repository is named it is what tells: a forge beside it is asked for reviews and runs, never for other versions
        asked = [s for s in self._state.services if not s.repository or self._connected.kind == "git"]
        services = [s for s in asked if s.name in self._connected.services]
        pairs = [p for s in services for p in self._pairs(s.name)][:AT_ONCE]
        return lambda: self._read(services, pairs)

    def _read(self, services: list[Any], pairs: list[tuple[str, str, str]]) -> Partial:
        source: SourceControl = self._connected.polled
        fingerprint = source.fingerprint()
        if fingerprint != self._fingerprint:
            self._missing.clear()
        questions: list[tuple[str, str, Callable[[], Any]]] = []
        if fingerprint != self._fingerprint:
            questions += [("versions", s.name, partial(source.versions, s)) for s in services]
        by_name = {s.name: s for s in services}
        for service, base, head in pairs:
            questions.append(("changes", changes_key(service, base, head), partial(source.changes, by_name[service], base, head)))
        answer = collect(questions)
        self._missing.update(key for kind, key in answer.missing if kind == "changes")
        # read again next time where versions were cut short, so that nothing is missed
        read = sum(kind == "versions" for kind, _, _ in answer.items)
        wanted = sum(kind == "versions" for kind, _, _ in questions)
        self._fingerprint = fingerprint if read == wanted else ""
        if answer.error is not None and isinstance(answer.error, NotFound) and read == wanted:
            # a version that cannot be compared is that version's matter; the repository answers
            answer.error = None
        return answer

    def apply(self, result: Partial) -> Exception | None:
        """Facts that git did not have to be asked for again are as old as this answer."""
        error = super().apply(result)
        if error is None:
            now, mine = self._clock_us(), self._connected.services
            own = self._connected.title
            again = {
                k: Fact(f.value, now, f.source, f.deadline_s) for k, f in self._state.versions.items() if k in mine and f.source == own
            }
            self._store.merge("versions", again)
        return error

    def _pairs(self, service: str) -> list[ways.Pair]:
        state = self._state
        ahead: list[tuple[str, str]] = []
        back: list[ways.Pair] = []
        for environment in state.environments:
            live = status.live_name(state, service, environment.name)
            if live is None:
                continue
            ahead += [(live, v.name) for v in status.pending_versions(state, service, environment.name)[:AHEAD]]
            back += ways.wanted(state, self._rules(), service, environment.name)
        # what a person looks at first, then the way back, which must not wait, then what they may look at next
        asked = [(base, head) for s, base, head in self._wanted if s == service]
        pairs = dict.fromkeys((*self._named(service, asked), *back, *self._named(service, ahead)))
        return [pair for pair in pairs if pair[2] and not self._settled(pair)]

    def _named(self, service: str, names: list[tuple[str, str]]) -> Iterator[ways.Pair]:
        for base, head in names:
            commits = (status.commit_of(self._state, service, base), status.commit_of(self._state, service, head))
            if commits[0] or not base:
                yield service, *commits

    def _settled(self, pair: ways.Pair) -> bool:
        key = changes_key(*pair)
        return key in self._state.changes or key in self._missing


class CiJob(StateJob):
    """The newest test runs of each service."""

    def prepare(self) -> Callable[[], Partial]:
        """One question a service."""
        ci: CiSystem = self._connected.polled
        names = self._connected.services
        turn = self._turn
        return lambda: collect([("checks", name, partial(ci.runs, name)) for name in names], turn)

    def interval_s(self, base_s: float) -> float:
        """Twice as often while tests run."""
        facts = (self._state.checks.get(name) for name in self._connected.services)
        running = any(not r.state.final for f in facts if f for r in f.value)
        return base_s / 2 if running else base_s


class DeploymentJob(StateJob):
    """What runs where, what was deployed before, and what could be deployed."""

    def prepare(self) -> Callable[[], Partial]:
        """Fleet and history of each place, artifacts of each service."""
        api: DeploymentApi = self._connected.polled
        names, environments = self._connected.services, [e.name for e in self._state.environments]
        questions: list[tuple[str, str, Callable[[], Any]]] = []
        for s in names:
            for e in environments:
                questions.append(("fleets", place(s, e), partial(api.fleet, s, e)))
                questions.append(("deployments", place(s, e), partial(api.history, s, e)))
            questions.append(("artifacts", s, partial(api.artifacts, s)))
        turn = self._turn
        return lambda: collect(questions, turn)

    def interval_s(self, base_s: float) -> float:
        """Four times as often while something is being deployed."""
        mine = self._connected.services
        busy = any(f.value.active is not None for f in self._state.fleets.values() if f.value.service in mine)
        return max(0.5, base_s / 4) if busy else base_s


class ProbeJob:
    """For a connection that is only used, such as a venue's switch: whether it answers at all."""

    deadline_s = 120.0
    every_s = 30.0

    def __init__(self, connected: Connected) -> None:
        self._connected = connected

    def prepare(self) -> Callable[[], Any]:
        """The connection's own test."""
        probe: Callable[[], Any] = self._connected.polled.probe
        return probe

    def apply(self, result: object) -> None:
        """That it answered is all there is to know."""

    def interval_s(self, base_s: float) -> float:
        """Seldom."""
        return max(base_s, self.every_s)


class Measured(Struct, frozen=True):
    """What came of one reading of all nodes: points of series, the places (service, environment) that they are of, which node told any.

    `absent`: metrics that the settings name and no node has, by what they are for; None where no node answered.
    """

    points: Sequence[tuple[str, LatencyPoint]]
    places: Sequence[tuple[str, str]]
    told: dict[str, bool]
    absent: dict[str, str] | None = None


class MetricsJob:
    """Histograms of every node, turned into points in the worker. `post` is the main thread's."""

    def __init__(
        self,
        connected: Connected,
        store: Store,
        book: LatencyBook,
        bands: Bands,
        deadline_s: float,
        watch: Watch,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self._connected = connected
        self._store = store
        self._book = book
        self._watch = watch
        self._bands = bands
        self._deadline_s = deadline_s
        self._post = post
        self._silent: dict[str, int] = {}
        self._said: tuple[str, ...] = ()
        self._absent: dict[str, int] = {}
        self._unseen: dict[str, str] | None = None

    def prepare(self) -> Callable[[], Measured]:
        """Read the nodes that the deployment system names."""
        metrics: MetricsApi = self._connected.polled
        fleets = {at: f for at, f in self._store.state.fleets.items() if f.value.service in self._connected.services}
        nodes = tuple(n for fact in fleets.values() for n in fact.value.nodes if n.url)
        digest = self._book.digest

        def work() -> Measured:
            readings = metrics.read(nodes)
            self._watch.read(self._connected.id, readings, fleets)
            # a node's name need not tell its place
            told = {(r.node, r.service, r.environment) for r in readings}
            places = tuple(dict.fromkeys((r.service, r.environment) for r in readings))
            spoke = {_full_name(n): (n.name, n.service, n.environment) in told for n in nodes}
            return Measured(digest.points(readings), places, spoke, _absent(readings))

        return work

    def apply(self, result: Measured) -> CockpitError | None:
        """Points into their series, and a look at what they mean: in pieces, for a hundred series at once would hold up the hand."""
        parts = [result.points[start : start + AT_A_TIME] for start in range(0, len(result.points), AT_A_TIME)] or [()]
        for left, part in zip(range(len(parts), 0, -1), parts, strict=True):
            self._post(partial(self._book.add, part, left))
        for at in result.places:
            self._post(partial(self._bands.look, self._connected.title, self._deadline_s, at))
        self._silent = {name: self._silent.get(name, 0) + 1 for name, spoke in result.told.items() if not spoke}
        # a node that restarts misses a turn; one that misses several is missed by everybody who reads the chart
        silent = tuple(sorted(name for name, count in self._silent.items() if count >= SILENT_TURNS))
        if silent != self._said:
            self._said = silent
            self._bands.silence(silent, len(result.told))
        if result.absent is not None:
            self._look_for(result.absent)
        return None

    def _look_for(self, absent: dict[str, str]) -> None:
        """A metric that is named and on no page is told of: nobody would miss it."""
        self._absent = {what: self._absent.get(what, 0) + 1 for what in absent}
        unseen = {what: name for what, name in absent.items() if self._absent[what] >= UNSEEN_READS}
        if unseen != self._unseen:
            self._unseen = unseen
            self._bands.unseen(self._connected.id, unseen)

    def interval_s(self, base_s: float) -> float:
        """Always the same."""
        return base_s


def _absent(readings: Sequence[Reading]) -> dict[str, str] | None:
    """What none of them has."""
    return {what: name for what, name in readings[0].absent.items() if all(what in r.absent for r in readings)} if readings else None


def _full_name(node: Node) -> str:
    return node.name if node.service in node.name and node.environment in node.name else f"{node.name} ({node.service}, {node.environment})"
