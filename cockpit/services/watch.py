"""Watches every deployment for a while after it: what the judge, alerts and nodes say becomes one state, one notice, and one way out.

A watch is over when its time has passed and enough of the new version's requests were seen. Without a person's word it acts only where
the policy says so, see `watch_auto`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cockpit.domain.errors import NotAllowed
from cockpit.domain.facts import place
from cockpit.domain.judge import NO_DATA, NO_WORSE, Verdict
from cockpit.domain.policy import Rules
from cockpit.domain.watching import Watched, WatchState
from cockpit.services import watch_words as words
from cockpit.services.judging import SILENT_S, Heard, Trial
from cockpit.services.watch_auto import Automatic
from cockpit.services.watch_feed import SETTLED_S, WARM_S, Feed
from cockpit.services.watch_findings import findings, gone, look_at_nodes, state_of
from cockpit.services.watch_run import Run, newest_of, rollout_of, wanted

if TYPE_CHECKING:
    from cockpit.domain.facts import Fact
    from cockpit.domain.metrics import Reading
    from cockpit.domain.release import Deployment, Fleet
    from cockpit.services.actions import Actions
    from cockpit.services.connections import Connections
    from cockpit.services.notices import Notices
    from cockpit.services.runtime import MainThread, Outcome, Runner
    from cockpit.services.store import Change, Store
    from cockpit.storage.journal import Journal

TICK_S = 1.0
JUDGE_S = 2.0
FIRST_S = WARM_S + SETTLED_S + SILENT_S + 10.0  # so long after a deployment's end something must have been seen of it
LONGEST_S = 86_400.0  # nobody looks longer, whatever was not seen


class Watch:
    """Main thread only, but for `read`; the judges work in lanes of their own.

    Set from outside: `rules`.
    """

    def __init__(
        self,
        store: Store,
        runner: Runner,
        main: MainThread,
        journal: Journal | None,
        connections: Connections,
        notices: Notices,
        actions: Actions,
        clock_us: Callable[[], int],
    ) -> None:
        self._store, self._runner, self._main = store, runner, main
        self._connections, self._notices, self._actions = connections, notices, actions
        self._clock_us = clock_us
        self.rules = Rules()
        self.feed = Feed()
        self._auto = Automatic(store, actions, runner, journal, clock_us)
        self._auto.show = self._show
        self._runs: dict[str, Run] = {}
        self._judged_us = 0
        self._end: Callable[[], None] | None = None
        self._ends: list[Callable[[], None]] = []

    def begin(self, *, acts: bool) -> None:
        """Look at every deployment from now on. `acts`: this process may announce and fire; one that only shows may not."""
        self._auto.acts = acts and not self._actions.read_only
        if self._end is None:
            self._ends = [self._store.subscribe(self._changed)]
            self._tick()

    def close(self) -> None:
        """Look no more. What was announced is not fired."""
        for end in (self._end, *self._ends):
            if end is not None:
                end()
        self._ends = []
        self._auto.acts = False

    def _changed(self, change: Change) -> None:
        """What is told of alerts and latency is told at once."""
        for at, run in tuple(self._runs.items()):
            if change.touches("alerts") or (change.touches("latency") and at in change.ids):
                self._look(run, self._clock_us())

    def read(self, source: str, readings: Sequence[Reading], fleets: Mapping[str, Fact[Fleet]]) -> None:
        """What a source of metrics answered, and what was known of the nodes when it was asked. In that source's lane."""
        self.feed.add(source, readings, fleets, self._clock_us())

    # -- a person's word ---------------------------------------------------------------------------------------------------------

    def why_not_stop(self, service: str, environment: str) -> str:
        """Why there is nothing that a person here may stop; "" where there is."""
        watched = self._store.state.watches.get(place(service, environment))
        if watched is None or watched.countdown is None:
            return "no automatic rollback is announced there"
        if self._actions.read_only:
            return self._actions.read_only
        return "" if self._actions.me.who else "it is not known who you are: set name and email under [me]"

    def stop(self, service: str, environment: str, reason: str = "") -> None:
        """Call the announced rollback off for good: it does not begin again for this deployment. NotAllowed where there is none."""
        why = self.why_not_stop(service, environment)
        at = place(service, environment)
        run = self._runs.get(at)
        if why or run is None:
            why = why or "no automatic rollback is announced there"
            raise NotAllowed(f"{why[:1].upper()}{why[1:]}.", hint="Nothing was changed.", reasons=(why,))
        who = self._actions.me.signature
        run.stopped_by = f"{who}: {reason.strip()}" if reason.strip() else who
        self._auto.note(run, "stopped", run.stopped_by, who, reason=reason.strip())
        watched = self._store.state.watches[at]
        self._show(run, replace(watched, countdown=None, stopped_by=run.stopped_by, why_not=f"it was stopped by {run.stopped_by}"))

    # -- which deployments -------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_us = self._clock_us()
        judge = now_us - self._judged_us >= JUDGE_S * 1e6
        self._judged_us = now_us if judge else self._judged_us
        for at in tuple({**self._store.state.deployments, **self._store.state.fleets}):
            self._follow(at, now_us)
        for run in tuple(self._runs.values()):
            if judge:
                self._judge(run, now_us)
            self._look(run, now_us)
        self._end = self._main.call_later(TICK_S, self._tick)

    def _follow(self, at: str, now_us: int) -> None:
        """Begin, go on with or end the watch of a place, by its newest deployment."""
        state = self._store.state
        newest = newest_of(state.deployments.get(at), state.fleets.get(at), now_us)
        if newest is None:
            return
        run, watched = self._runs.get(at), state.watches.get(at)
        if run is not None and newest.kind == "deploy" and newest.digest == run.deployment.digest:
            # the steps of one rollout, or the same version once more
            run.take(newest, now_us)
            return
        if run is not None and newest.started_at_us and newest.started_at_us < run.deployment.started_at_us:
            return  # an older answer
        if run is not None:
            self._end_early(run, now_us)
        rule = self.rules.watch(newest.environment)
        rollout = rollout_of(state, newest)
        ident = rollout.key if rollout is not None else newest.id
        if watched is not None and watched.over and watched.deployment == ident:
            return
        if wanted(state, newest, rule, now_us):
            self._begin(Run(ident, newest, rule, min(newest.started_at_us or now_us, now_us)), now_us)
        elif run is None and watched is not None:
            self._notices.over(words.notice_key(watched))

    def _begin(self, run: Run, now_us: int) -> None:
        d = run.deployment
        before = self._store.state.watches.get(run.at)
        if before is not None:
            self._notices.over(words.notice_key(before))
        run.take(d, now_us)
        run.trial = Trial(self.feed, run.at, d.digest, d.from_digest, run.rule, run.started_us)
        self._runs[run.at] = run
        rule = run.rule
        made = Watched(d.service, d.environment, run.ident, d.kind, d.version, d.from_version, run.started_us, wanted=rule.requests)
        self._show(run, replace(made, automatic=rule.automatic))
        self._auto.read(run)

    def _end_early(self, run: Run, now_us: int) -> None:
        """Another deployment began: whatever was found is its past."""
        watched: Watched = self._store.state.watches[run.at]
        if watched.countdown is not None:
            self._auto.note(run, "called off", "another deployment began")
        ended = replace(watched, state=WatchState.STOPPED, countdown=None, ended_us=now_us, why_not="another deployment began")
        del self._runs[run.at]
        self._show(run, ended)
        words.over(self._notices, ended)

    # -- what is found -----------------------------------------------------------------------------------------------------------

    def _judge(self, run: Run, now_us: int) -> None:
        """Let the judge take in what came, in the background."""
        trial, d = run.trial, run.deployment
        if run.judging or trial is None:
            return
        run.judging = True
        fleet = self._store.state.fleets.get(run.at)
        nodes = tuple(n.name for n in fleet.value.nodes if n.digest == d.digest) if fleet is not None else ()
        due_us = run.finished_us + round(FIRST_S * 1e6) if run.finished_us else 0
        work = partial(trial.step, now_us, due_us, nodes, gone(run, fleet, now_us))

        def done(outcome: Outcome[Heard]) -> None:
            run.judging = False
            if outcome.value is None:
                failed = Verdict(NO_DATA, f"the judge failed: {outcome.error}: that is not fine", self._clock_us())
                outcome = replace(outcome, value=replace(run.heard or Heard(), verdict=failed))
            run.heard = outcome.value
            if self._runs.get(run.at) is run:
                self._look(run, self._clock_us())

        self._runner.submit(f"judge:{run.at}", work, done)

    def _look(self, run: Run, now_us: int) -> None:
        """Put together what is known now, show it, and act on it."""
        state, d, rule, heard = self._store.state, run.deployment, run.rule, run.heard or Heard()
        fleet = state.fleets.get(run.at)
        if fleet is not None and not fleet.stale(now_us):
            look_at_nodes(run, fleet, now_us)
        watched: Watched = replace(
            state.watches[run.at],
            version=d.version,
            finished_us=run.finished_us,
            until_us=run.finished_us + round(rule.minutes * 60e6) if run.finished_us else 0,
            requests=heard.requests,
            looked_us=heard.looked_us,
            verdict=heard.verdict,
            findings=findings(state, run, now_us, metrics=self._metrics(d)),
            stopped_by=run.stopped_by,
        )
        watched = replace(watched, state=state_of(watched.findings, heard.verdict, over=False))
        watched = self._auto.consider(run, watched, now_us)
        if self._is_over(run, watched, now_us):
            over = state_of(watched.findings, heard.verdict, over=True)
            watched = replace(watched, state=over, ended_us=now_us)
            del self._runs[run.at]
        self._show(run, watched)

    def _is_over(self, run: Run, watched: Watched, now_us: int) -> bool:
        """Its time has passed and real load was seen; not in the middle of something."""
        if not run.finished_us or now_us < watched.until_us or watched.countdown is not None or run.asking:
            return False
        rollout = rollout_of(self._store.state, run.deployment)
        if rollout is not None and not rollout.state.final:
            return False
        seen = watched.requests >= watched.wanted and watched.verdict is not None
        return seen or not self._metrics(run.deployment) or now_us - run.finished_us > LONGEST_S * 1e6

    def _metrics(self, deployment: Deployment) -> bool:
        return self._connections.metrics(deployment.service) is not None

    # -- what is shown -----------------------------------------------------------------------------------------------------------

    def _show(self, run: Run, watched: Watched) -> None:
        """Into the state, the place's notice and, where its state is another one, the journal."""
        if self._store.state.watches.get(run.at) != watched:
            self._store.merge("watches", {run.at: watched})
        judged = watched.verdict.state if watched.verdict is not None else ""
        news = (watched.state, watched.over, judged == NO_WORSE)
        if news not in run.noted:
            run.noted.add(news)
            told = "; ".join(f.text for f in watched.findings) or (watched.verdict.sentence if watched.verdict is not None else "")
            self._auto.note(run, str(watched.state), told, over=watched.over, requests=watched.requests, verdict=judged)
        if watched.state is WatchState.STOPPED:
            return
        told_now = words.words_of(watched, self._clock_us(), metrics=self._metrics(run.deployment))
        if told_now is None:
            if run.told and not watched.over:
                words.over(self._notices, watched)
                run.told = ()
            elif run.told:
                words.over(self._notices, watched)
        elif told_now.sign != run.told:
            run.told = told_now.sign
            words.tell(self._notices, watched, told_now)
