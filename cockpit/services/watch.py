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
from cockpit.domain.watching import Watched, WatchState, brief, running
from cockpit.services import watch_words as words
from cockpit.services.judging import SILENT_S, Heard, Trial
from cockpit.services.watch_auto import Automatic
from cockpit.services.watch_cause import look_at_alerts
from cockpit.services.watch_feed import SETTLED_S, WARM_S, Feed
from cockpit.services.watch_findings import findings, gone, look_at_nodes, old, passed, state_of
from cockpit.services.watch_left import Left
from cockpit.services.watch_run import Run, newest_of, rollout_of, wanted

if TYPE_CHECKING:
    from cockpit.domain.facts import Fact
    from cockpit.domain.metrics import Reading
    from cockpit.domain.release import Deployment, Fleet
    from cockpit.services.actions import Actions
    from cockpit.services.connections import Connected, Connections
    from cockpit.services.notices import Notices
    from cockpit.services.runtime import MainThread, Outcome, Runner
    from cockpit.services.store import Change, Store
    from cockpit.storage.journal import Journal

TICK_S = 1.0
JUDGE_S = 2.0
FIRST_S = WARM_S + SETTLED_S + SILENT_S + 10.0  # so long after a deployment's end something must have been seen of it
JUMP_S = 5.0  # between two looks: the machine slept, or the clock was set
AGAIN_S = 60.0  # what was written once of a watch is written again so long after the last word
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
        self._left = Left(runner, journal, clock_us)
        self._auto.unwritten = self._left.unwritten = partial(notices.error, key="watch-journal", place="activity")
        self._runs: dict[str, Run] = {}
        self._judged_us = self._seen_us = 0
        self._newest: dict[str, tuple[str, int, int]] = {}  # by place: the deployment's id, when it was told of last, and the one before
        self._ended: dict[str, int] = {}  # by place: when the deployment began whose watch is over
        self._end: Callable[[], None] | None = None
        self._ends: list[Callable[[], None]] = []

    def begin(self, *, acts: bool) -> None:
        """Look at every deployment from now on. `acts`: this process may announce and fire; one that only shows may not."""
        self._auto.acts = acts and not self._actions.read_only
        if self._auto.acts:
            self._left.read()
        if self._end is None:
            self._ends = [self._store.subscribe(self._changed)]
            self._tick()

    def close(self) -> None:
        """Look no more. What was announced is not fired."""
        for run in tuple(self._runs.values()):
            self._auto.call_off(run, "the window was closed")
            # a terminal that reads what the window said last must not take it for fine
            self._auto.note(run, str(WatchState.BLIND), "the window was closed: nobody judges it now", over=False, verdict="")
        for end in (self._end, *self._ends):
            if end is not None:
                end()
        self._ends = []
        self._auto.acts = False

    def _changed(self, change: Change) -> None:
        """What is told of alerts and latency is told at once."""
        runs = [run for at, run in self._runs.items() if change.touches("alerts") or (change.touches("latency") and at in change.ids)]
        now_us = self._now() if runs else 0
        for run in runs:
            self._safely(run.at, partial(self._look, run, now_us))

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
        who, reason = self._actions.me.signature, brief(reason)
        run.stopped_by = f"{who}: {reason}" if reason else who
        self._auto.note(run, "stopped", run.stopped_by, who, reason=reason)
        watched = self._store.state.watches[at]
        self._show(run, replace(watched, countdown=None, stopped_by=run.stopped_by, why_not=f"it was stopped by {run.stopped_by}"))

    # -- which deployments -------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        # first of all: whatever goes wrong below, there is a next look
        self._end = self._main.call_later(TICK_S, self._tick)
        now_us = self._now()
        judge = now_us - self._judged_us >= JUDGE_S * 1e6
        self._judged_us = now_us if judge else self._judged_us
        for at in tuple({**self._store.state.deployments, **self._store.state.fleets}):
            self._safely(at, partial(self._follow, at, now_us))
        for at, run in tuple(self._runs.items()):
            if judge:
                self._safely(at, partial(self._judge, run, now_us))
            self._safely(at, partial(self._look, run, now_us))

    def _safely(self, at: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a defect in one place must not leave the others without anybody
            self._notices.error(error, key=f"watch-defect:{at}", place="latency")
            run, watched = self._runs.get(at), self._store.state.watches.get(at)
            if run is not None and watched is not None and watched.countdown is not None:
                why = f"a defect: {error}"
                self._auto.note(run, "called off", why)
                self._store.merge("watches", {at: replace(watched, countdown=None, why_not=why)})

    def _now(self) -> int:
        """The time, after a look at whether the clock went on as it should: what nobody could see was neither watched nor announced."""
        now_us = self._clock_us()
        moved_us = now_us - self._seen_us if self._seen_us else 0
        self._seen_us = now_us
        if abs(moved_us) <= JUMP_S * 1e6:
            return now_us
        if moved_us < 0:
            self.feed.forget()
            self._newest.clear()
            self._judged_us = 0
        for run in tuple(self._runs.values()):
            run.slept_us += max(0, moved_us)
            if moved_us < 0:
                run.set_back(now_us)
                run.trial = self._trial(run)
            self._auto.call_off(run, f"the clock moved by {moved_us / 1e6:+.0f} s: the machine slept or the clock was set")
        return now_us

    def _follow(self, at: str, now_us: int) -> None:
        """Begin, go on with or end the watch of a place, by its newest deployment; also one that another window left."""
        state = self._store.state
        newest = newest_of(state.deployments.get(at), state.fleets.get(at), now_us)
        if newest is None:
            return
        self._go_on(at, newest, now_us)
        run = self._runs.get(at)
        unseen = self._left.settle(at, run)
        if run is not None and unseen is not None:
            watched: Watched = self._store.state.watches[at]
            self._show(run, replace(watched, passed=(unseen, *watched.passed)))

    def _go_on(self, at: str, newest: Deployment, now_us: int) -> None:
        state = self._store.state
        run, watched = self._runs.get(at), state.watches.get(at)
        after_us = self._after(at, newest, now_us)
        if run is not None and run.same(newest):
            run.take(newest, now_us)
            return
        if run is not None and newest.started_at_us and newest.started_at_us < run.deployment.started_at_us:
            return  # an older answer
        if run is not None:
            self._end_early(run, now_us)
        rule = self.rules.watch(newest.environment)
        rollout = rollout_of(state, newest)
        ident = rollout.key if rollout is not None else newest.id
        same = rollout is not None or self._ended.get(at, newest.started_at_us) == newest.started_at_us
        if watched is not None and watched.over and (watched.deployment, watched.version) == (ident, newest.version) and same:
            return
        if wanted(state, newest, rule, now_us):
            self._begin(Run(ident, newest, rule, max(min(newest.started_at_us or now_us, now_us), after_us)), now_us)
        elif run is None and watched is not None:
            self._notices.over(words.notice_key(watched))

    def _after(self, at: str, newest: Deployment, now_us: int) -> int:
        """When the deployment before it was the newest still: it began after that, whatever its system's clock says. 0 = not seen."""
        facts = (self._store.state.deployments.get(at), self._store.state.fleets.get(at))
        told_us = min(fact.at_us for fact in facts if fact is not None and not fact.stale(now_us))
        ident, last_us, before_us = self._newest.get(at, ("", 0, 0))
        before_us = before_us if ident == newest.id else last_us
        self._newest[at] = (newest.id, told_us, before_us)
        return before_us

    def _trial(self, run: Run) -> Trial:
        return Trial(self.feed, run.at, run.digest, run.old, run.rule, run.started_us, back=run.deployment.kind == "rollback")

    def _begin(self, run: Run, now_us: int) -> None:
        d = run.deployment
        before = self._store.state.watches.get(run.at)
        if before is not None:
            self._notices.over(words.notice_key(before))
        run.take(d, now_us)
        run.begun_us = now_us
        fleet = self._store.state.fleets.get(run.at)
        run.learn(fleet.value if fleet is not None and not fleet.stale(now_us) else None)
        run.trial = self._trial(run)
        self._runs[run.at] = run
        rule = run.rule
        made = Watched(d.service, d.environment, run.ident, d.kind, d.version, d.from_version, run.started_us, wanted=rule.requests)
        self._show(run, replace(made, automatic=rule.automatic, rollback_on=rule.rollback_on))
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
        trial = run.trial
        if run.judging or trial is None:
            return
        run.judging = True
        fleet = self._store.state.fleets.get(run.at)
        runs = running(fleet.value) if fleet is not None else {}
        nodes = tuple(name for name, digest in runs.items() if digest and digest == run.digest)
        due_us = run.finished_us + round(FIRST_S * 1e6) if run.finished_us else 0
        work = partial(trial.step, now_us, due_us, nodes, gone(run, fleet, now_us))

        def done(outcome: Outcome[Heard]) -> None:
            if run.trial is not trial:
                return  # the clock was set back meanwhile
            run.judging = False
            if outcome.value is None:
                failed = Verdict(NO_DATA, f"the judge failed: {outcome.error}: that is not fine", self._clock_us())
                outcome = replace(outcome, value=replace(run.heard or Heard(), verdict=failed))
            run.heard = outcome.value
            if self._runs.get(run.at) is run:
                self._safely(run.at, partial(self._look, run, self._now()))

        self._runner.submit(f"judge:{run.at}", work, done)

    def _look(self, run: Run, now_us: int) -> None:
        """Put together what is known now, show it, and act on it."""
        # the settings of now, also where they changed in the middle
        run.rule = rule = self.rules.watch(run.deployment.environment)
        state, d, heard = self._store.state, run.deployment, run.heard or Heard()
        fleet = state.fleets.get(run.at)
        if fleet is not None and not fleet.stale(now_us):
            if run.learn(fleet.value):
                run.trial, run.judging = self._trial(run), False
            look_at_nodes(run, fleet, now_us)
        look_at_alerts(state, run, now_us)
        before: Watched = state.watches[run.at]
        found = findings(state, run, now_us, metrics=self._metrics(d), alerts=self._alerts(d))
        watched = replace(
            before,
            version=d.version,
            started_us=run.started_us,
            finished_us=run.finished_us,
            until_us=run.finished_us + run.slept_us + round(rule.minutes * 60e6) if run.finished_us else 0,
            requests=heard.requests,
            wanted=rule.requests,
            automatic=rule.automatic,
            rollback_on=rule.rollback_on,
            looked_us=heard.looked_us,
            verdict=heard.verdict,
            findings=found,
            passed=passed(before.findings, found, before.passed, now_us),
            stopped_by=run.stopped_by,
        )
        self._auto.note_passed(run, watched.passed, before.passed)
        watched = replace(watched, state=state_of(found, heard.verdict, over=False))
        watched = self._auto.consider(run, watched, now_us)
        if self._is_over(run, watched, now_us):
            over = state_of(found, heard.verdict, over=True)
            watched = replace(watched, state=over, ended_us=now_us)
            del self._runs[run.at]
            self._ended[run.at] = d.started_at_us
        self._show(run, watched)

    def _is_over(self, run: Run, watched: Watched, now_us: int) -> bool:
        """Its time has passed and real load was seen; not in the middle of something."""
        if not run.finished_us or now_us < watched.until_us or watched.countdown is not None or run.asking:
            return False
        rollout = rollout_of(self._store.state, run.deployment)
        if rollout is not None and not rollout.state.final:
            return False
        seen = watched.requests >= watched.wanted and watched.verdict is not None and not old(watched.found, now_us)
        return seen or not self._metrics(run.deployment) or now_us - run.finished_us > LONGEST_S * 1e6

    def _metrics(self, deployment: Deployment) -> bool:
        return self._connections.metrics(deployment.service) is not None

    def _alerts(self, deployment: Deployment) -> tuple[Connected, ...]:
        return tuple(c for c in self._connections.alerts() if deployment.service in c.services)

    # -- what is shown -----------------------------------------------------------------------------------------------------------

    def _show(self, run: Run, watched: Watched) -> None:
        """Into the state, the place's notice and, where its state is another one, the journal."""
        if self._store.state.watches.get(run.at) != watched:
            self._store.merge("watches", {run.at: watched})
        judged = watched.verdict.state if watched.verdict is not None else ""
        news = (watched.state, watched.over, judged == NO_WORSE)
        now_us = self._clock_us()
        last_us = run.noted.get(run.news, 0)
        if news not in run.noted or (news != run.news and now_us - last_us > AGAIN_S * 1e6):
            run.news, run.noted[news] = news, now_us
            told = "; ".join(f.text for f in watched.findings) or (watched.verdict.sentence if watched.verdict is not None else "")
            self._auto.note(run, str(watched.state), told, over=watched.over, requests=watched.requests, verdict=judged)
        if watched.state is WatchState.STOPPED:
            return
        served = any(e.production for e in self._store.state.environments if e.name == watched.environment)
        known = {"metrics": self._metrics(run.deployment), "production": served, "told": bool(run.told)}
        told_now = words.words_of(watched, self._clock_us(), **known)
        if told_now is None:
            if run.told and not watched.over:
                words.over(self._notices, watched)
                run.told = ()
            elif run.told:
                words.over(self._notices, watched)
        elif told_now.sign != run.told:
            run.told = told_now.sign
            words.tell(self._notices, watched, told_now)
