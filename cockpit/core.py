"""The running core: one object that holds what asks, decides, acts and tells, and joins them."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cockpit.domain.errors import CockpitError, ConfigError, StorageError
from cockpit.paths import Paths
from cockpit.policy_rules import rules_of
from cockpit.services import status
from cockpit.services.notices import Notices, Severity
from cockpit.services.snapshot import Keeper
from cockpit.services.store import Store
from cockpit.storage.database import Database
from cockpit.storage.history import History
from cockpit.storage.lock import DataLock
from cockpit.storage.settings import Settings, load_lenient

if TYPE_CHECKING:
    # imported where they are used: the first paint does not wait for what asks and acts
    from cockpit.connect import Systems
    from cockpit.connecting import Made
    from cockpit.playground_control import Playground, PlaygroundControl
    from cockpit.policy import PolicyKeeper
    from cockpit.policy_force import Start
    from cockpit.reading import Reader
    from cockpit.services.actions import Actions
    from cockpit.services.bands import Bands
    from cockpit.services.connections import Connected, Connections
    from cockpit.services.decisions import Keeper as WordKeeper
    from cockpit.services.execution import Execution, Pace
    from cockpit.services.latency import LatencyBook
    from cockpit.services.runtime import MainThread, Outcome, Runner
    from cockpit.services.sync import Job, Sync
    from cockpit.services.watch import Watch
    from cockpit.storage.journal import Journal
    from cockpit.storage.secrets import Secrets
    from cockpit.trust import Trust

log = logging.getLogger("cockpit")

SNAPSHOT_S = 60.0  # what is known is asked again at the next start; writing megabytes more often wears the disk and the patience
DECISIONS_S = 2.0  # what a colleague approves or rejects elsewhere is seen here within this time
RECOVER_S = 30.0
POLICY_S = 30.0
LOCKS_S = 5.0  # who holds an environment is asked a remote; the card must know before a click


class Cockpit:
    """Everything a view or a command needs. Main thread only.

    Until `complete` there is only what shows yesterday: store, notices, settings, rules.
    """

    runner: Runner
    connections: Connections
    journal: Journal | None
    latency: LatencyBook
    sync: Sync
    secrets: Secrets
    execution: Execution | None
    actions: Actions
    bands: Bands
    watch: Watch
    trust: Trust
    systems: Systems

    def __init__(self, paths: Paths, main: MainThread, database: Database | None, read_only: str, clock_us: Callable[[], int]) -> None:
        self.paths = paths
        self.read_only = read_only
        self.clock_us = clock_us
        self.main = main
        self.store = Store()
        self.notices = Notices(clock_us)
        self.history = History(database) if database else None
        self.settings = Settings()
        self.rules = status.Rules()
        self.playground: PlaygroundControl | None = None
        self.whole = False
        self.ready = False
        self.apart = False  # whether polling lives in a process of its own; a command is over before that pays
        self._reader: Reader | None = None
        self.lock: DataLock | None = None
        self.home = paths.config.parent  # the folder of the settings in use
        self.policy_start: Start | None = None  # what was in force at the start; None: the playground's settings
        self.database = database
        self.keeper = Keeper(self.history, self.store)
        self._asked: deque[tuple[str, str, str]] = deque(maxlen=24)
        self._ends: list[Callable[[], None]] = []
        self._retired: tuple[Connected, ...] = ()

    def complete(self, pace: Pace | None = None) -> None:
        """Add what asks and acts, and the rest of what was known. Once, at the latest before `start`."""
        from cockpit.connect import Systems
        from cockpit.services.actions import Actions
        from cockpit.services.connections import Connections
        from cockpit.services.latency import LatencyBook
        from cockpit.services.runtime import Runner
        from cockpit.services.sync import Sync
        from cockpit.storage.history_heat import HeatHistory
        from cockpit.storage.journal import Journal
        from cockpit.storage.owner import process_owner
        from cockpit.storage.secrets import Secrets
        from cockpit.trust import Trust

        self.runner = Runner(self.main)
        self.connections = Connections()
        self.journal = Journal(self.database, process_owner(), self.clock_us) if self.database else None
        stores = (None, None) if self.read_only or self.database is None else (self.history, HeatHistory(self.database))
        self.latency = LatencyBook(self.runner, stores[0], self.clock_us, stores[1])
        self.sync = Sync(self.main, self.runner, self.store, self.notices, self.clock_us)
        self.secrets = Secrets(os.environ)
        self.notices.hide = self.secrets.hide
        self.execution = self._execution(self.journal, pace) if self.journal and not self.read_only else None
        self.actions = Actions(self.store, self.runner, self.journal, self.connections, self.notices, self.execution, self.clock_us)
        self.actions.read_only = self.read_only
        self.actions.refresh = self.sync.refresh_kind
        self.trust = Trust(self)
        self.words, self.requests, self.rollouts = self.trust.words, self.trust.requests, self.trust.rollouts
        self.locks, self.calendars = self.trust.locks, self.trust.calendars
        self.nodes, self.gates, self.bands, self.watch = self.trust.nodes, self.trust.gates, self.trust.bands, self.trust.watch
        self.policy = self._policy_keeper()
        self.systems = Systems(self)
        self.whole = True
        self._instruct()
        self._restore_rest()

    def _execution(self, journal: Journal, pace: Pace | None) -> Execution:
        from cockpit.services.execution import Execution, Pace

        parts = (self.store, self.runner, self.main, journal, self.connections, self.notices, self.clock_us, pace or Pace())
        return Execution(*parts)

    def _policy_keeper(self) -> PolicyKeeper | None:
        """Who lets a change of the settings wait for a person's word; nobody does for the playground's own file."""
        from cockpit.policy import PolicyKeeper

        if self.policy_start is None:
            return None
        parts = (self.paths.config, self.paths.policy, self.policy_start, self.journal, self.notices, self._use_policy, self.clock_us)
        return PolicyKeeper(*parts, self.read_only)

    def _use_policy(self, settings: Settings) -> None:
        """A policy came into force."""
        before = self.settings
        self.configure(settings)
        asked = ("services", "connections", "poll", "approvals", "policy", "me")
        if self.ready and any(getattr(before, name) != getattr(settings, name) for name in asked):
            self.connect()

    def configure(self, settings: Settings) -> None:
        """Take these settings into use: services and environments at once, connections by `connect`."""
        self.settings = settings
        self.rules = rules_of(settings)
        if self.whole:
            self._instruct()
        self.store.apply(services=settings.domain_services(), environments=settings.domain_environments())

    def _instruct(self) -> None:
        """Tell the actions who acts and by which rules."""
        from cockpit.services.actions import Person

        self.actions.rules = self.rules
        self.actions.me = Person(self.settings.me.name, self.settings.me.email)
        self.trust.instruct(self.actions.me, self.read_only)

    def start(self, launcher: Playground | None = None) -> None:
        """Begin to ask the systems; with a launcher the playground is started first. Call it after the first paint."""
        if launcher is not None:
            self._start_playground(launcher)
        else:
            self.connect()
        self._every(DECISIONS_S, self.actions.decisions.poll)
        self._every(LOCKS_S, self.locks.poll)
        self._every(SNAPSHOT_S, self.save)
        self.watch.begin(acts=not self.read_only)
        if self.policy is not None:
            self._look_at_policy()
            self._every(POLICY_S, self._look_at_policy)
        if not self.read_only:
            self.requests.begin()
            self.trust.telling.begin()
            self._recover()
            self._every(RECOVER_S, self._recover)

    def _recover(self) -> None:
        self.actions.recover()
        self.rollouts.recover()
        self.trust.recover()

    def _look_at_policy(self) -> None:
        if self.policy is not None:
            self.runner.submit("policy", self.policy.look, self.policy.done)

    def connect(self) -> None:
        """Make the connectors in the background, then poll them."""
        from cockpit.connecting import make_connections, token, token_variables

        if self.apart and self._reader is None:
            from cockpit.reading import Reader

            hidden = partial(token_variables, lambda: self.settings)
            self._reader = Reader(lambda source_id: token(self.settings, self.secrets, source_id), hidden=hidden)
        parts = (self.settings, self.store.state.services, self.secrets, self._reader, self.home)
        work = partial(make_connections, *parts)
        self.runner.submit("connect", work, self._connected)

    def _connected(self, outcome: Outcome[Made]) -> None:
        if outcome.value is None:
            self.notices.error(outcome.error or CockpitError("No connection could be made."), key="connect", place="sources")
            return
        from cockpit.services.jobs import SourceJob

        connected = outcome.value.connected
        self.notices.over("connect")
        self.notices.stand("connection", outcome.value.problems, "sources")
        # those before may be about to be asked by what is under way: they live until the next ones come
        for old in self._retired:
            old.connector.close_all()
        self._retired = self.connections.all
        self.connections.replace(connected)
        keepers = {keeper.id: keeper for keeper in self.trust.use(connected, outcome.value.lock)}
        deadline_s = self.settings.poll.deadline_s
        jobs: dict[str, Job] = {c.id: self._job(c, keepers.get(c.id), deadline_s) for c in connected}
        sources = [job for job in jobs.values() if isinstance(job, SourceJob)]

        def demand(service: str, base: str, head: str) -> None:
            if (service, base, head) in self._asked:
                self._asked.remove((service, base, head))
            self._asked.append((service, base, head))
            for job in sources:
                job.want(service, base, head)

        self.sync.demand = demand
        self.sync.begin(self.connections, jobs, self.settings.poll.interval_s, deadline_s)
        if self._reader is not None:
            self._reader.keep(c.id for c in connected)
        self.ready = True

    def renew(self, source_id: str) -> None:
        """Make the connections anew, that one also where only its token is another."""
        if self._reader is not None:
            self._reader.forget(source_id)
        self.connect()

    def move_in(self) -> None:
        """A settings file was made while the playground was shown: it is what counts from now on. The playground's processes go on."""
        from cockpit.policy_force import in_force

        self.playground, self.home = None, self.paths.config.parent
        self.policy_start = in_force(self.paths.config, self.paths.policy)
        self.policy = self._policy_keeper()
        self.configure(self.policy_start.settings)
        self.store.apply(starting="")
        self._look_at_policy()
        self._every(POLICY_S, self._look_at_policy)

    def _job(self, connected: Connected, keeper: WordKeeper | None, deadline_s: float) -> Job:
        """What the connection is asked for: a job for each of its ports that is polled."""
        from cockpit.services.calendars import CalendarJob
        from cockpit.services.decisions import WordsJob
        from cockpit.services.jobs import CiJob, DeploymentJob, MetricsJob, ProbeJob, SourceJob
        from cockpit.services.joined import Joined
        from cockpit.services.polled import AlertsJob, GatesJob, TrafficJob
        from cockpit.services.reviews import ReviewsJob

        deadline_s = connected.tempo(self.settings.poll.interval_s, deadline_s).deadline_s
        asked = (connected, self.store, self.clock_us, deadline_s)
        makers: dict[str, Callable[[], Job]] = {
            "SourceControl": lambda: SourceJob(*asked, lambda: self.rules),
            "CiSystem": lambda: CiJob(*asked),
            "DeploymentApi": lambda: DeploymentJob(*asked),
            "MetricsApi": lambda: MetricsJob(connected, self.store, self.latency, self.bands, deadline_s, self.watch, self.main.post),
            "Calendar": lambda: CalendarJob(connected, self.store, self.clock_us),
            "Reviews": lambda: ReviewsJob(*asked),
            "AlertsApi": lambda: AlertsJob(*asked),
            "Gates": lambda: GatesJob(*asked),
            "Drain": lambda: TrafficJob(*asked) if "Traffic" in connected.ports else ProbeJob(connected),
        }
        if keeper is not None:
            return WordsJob(keeper, self.actions.decisions)
        jobs = tuple(make() for port, make in makers.items() if port in connected.ports)
        return jobs[0] if len(jobs) == 1 else Joined(jobs) if jobs else ProbeJob(connected)

    def _start_playground(self, launcher: Playground) -> None:
        from cockpit.playground_control import PlaygroundControl

        directory = self.paths.playground
        again = partial(self._start_playground, launcher)
        self.playground = self.playground or PlaygroundControl(launcher, directory, self.runner, self.notices, again)
        self.store.apply(starting="Starting the playground...")

        def progress(words: str) -> None:
            self.main.post(lambda: self.store.apply(starting=words))

        self.runner.submit("playground", partial(launcher.start, directory, progress), self._playground_up)

    def _playground_up(self, outcome: Outcome[Any]) -> None:
        self.store.apply(starting="")
        if self.policy is not None:
            return  # a settings file was made meanwhile
        if outcome.error is not None:
            title = getattr(outcome.error, "title", "The playground did not start")
            hint = getattr(outcome.error, "hint", "") or "`release-cockpit playground status` says what is down."
            words = getattr(outcome.error, "message", str(outcome.error))
            self.notices.tell(Severity.ERROR, title, words, hint=hint, key="playground-start")
            return
        self.notices.over("playground-start")
        self.home = self.paths.playground
        self._use(self.home / "cockpit.toml")
        self.connect()

    def _use(self, config: Path) -> None:
        settings, mistakes = load_lenient(config)
        self.configure(settings)
        if mistakes is not None:
            tell_mistakes(self.notices, mistakes)

    def _every(self, seconds: float, step: Callable[[], None]) -> None:
        """Call `step` again and again until `close`."""
        number = len(self._ends)

        def run() -> None:
            step()
            self._ends[number] = self.main.call_later(seconds, run)

        self._ends.append(self.main.call_later(seconds, run))

    def save(self) -> None:
        """Forget what nobody needs any more, and keep what is known for the next start, in the background."""
        from cockpit.services.bounds import pruned

        fields = pruned(self.store.state, self._asked)
        if fields:
            self.store.apply(**fields)
        if self.history is None or self.read_only or not self.store.state.services:
            return
        self.runner.submit("history", partial(self.keeper.save, self.store.state, self.clock_us()), self._saved)
        self.latency.flush()

    def _saved(self, outcome: Outcome[bool]) -> None:
        if outcome.error is not None:
            self.notices.error(outcome.error, key="snapshot")
        else:
            self.notices.over("snapshot")

    def restore(self) -> None:
        """Show what was known when this was last open, each value with its age: what the overview shows; the rest by `complete`."""
        self.keeper.restore()

    def _restore_rest(self) -> None:
        self.keeper.restore_rest()
        try:
            self.actions.decisions.read()
        except StorageError as error:
            self.notices.error(error)

    def close(self) -> None:
        """Stop asking, keep what is known, let go of the data directory."""
        if self.whole:
            self._stop()
        if self.database is not None:
            self.database.close()
        if self.lock is not None:
            self.lock.release()

    def _stop(self) -> None:
        self.sync.close()
        for end in self._ends:
            end()
        self.trust.close()
        if self.execution is not None:
            self.execution.close()
        self.secrets.close()  # who waits for the keyring's prompt holds nothing up
        if self._reader is not None:
            # before the runner, which waits for what is under way: a system that does not answer must not hold the window open
            self._reader.close()
        self.runner.close()
        for connected in (*self._retired, *self.connections.all):
            connected.connector.close_all()
        if self.history is not None and not self.read_only and self.store.state.services:
            try:
                self.latency.drain()
                self.keeper.save(self.store.state, self.clock_us(), always=True)
            except StorageError as error:
                log.info("the last state could not be kept: %s", error)


def tell_mistakes(notices: Notices, mistakes: ConfigError) -> None:
    """All mistakes of a settings file, at once."""
    words = "\n".join(mistakes.problems) or mistakes.message
    notices.tell(Severity.ERROR, mistakes.title, words, hint=mistakes.hint, key="settings")
