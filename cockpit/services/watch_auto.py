"""The rollback that nobody clicks: announced, stopped by any person, then fired as a person's would be, once.

Its key comes from the deployment that it undoes, so that two cockpits, or one that was killed in between, ask for the same thing: the
deployment system begins it once. What became of it is never asked for by doing it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.errors import CockpitError, NotAllowed
from cockpit.domain.judge import why_not_act
from cockpit.domain.lines import listed
from cockpit.domain.readiness import why_frozen
from cockpit.domain.release import Version, version_key
from cockpit.domain.rollout import ActionState, Refusal, RolloutPlan
from cockpit.domain.watching import AUTOMATIC, Countdown, Finding, Watched, brief, under_watch
from cockpit.services import status
from cockpit.services.judging import guards_of
from cockpit.services.watch_cause import cause, not_named
from cockpit.services.watch_findings import old
from cockpit.services.watch_run import ACTION, Run

if TYPE_CHECKING:
    from cockpit.services.actions import Actions
    from cockpit.services.runtime import Outcome, Runner
    from cockpit.services.store import Store
    from cockpit.storage.journal import Entry, Journal

LANE = "journal"
AGAIN_S = 30.0  # after trouble with the journal
LATE_S = 10.0  # a countdown that ended so long ago ran while the machine slept: nobody could stop it
NOTED_S = 60.0  # from one note of what has passed to the next of its kind
LOOK_BACK = 200  # intents of the service


class Past(Struct, frozen=True):
    """What the journal says: when robots acted here, and whether this very action was begun; who stopped it."""

    acted_us: tuple[int, ...] = ()
    begun: bool = False
    stopped_by: str = ""


def key_of(run: Run) -> str:
    """The idempotency key of the rollback of this deployment, the same wherever it is computed."""
    # loads OpenSSL
    from hashlib import sha256

    d = run.deployment
    # a system that begins anew counts its deployments anew, too
    return sha256(f"{d.service}\n{d.environment}\n{d.id}\n{d.digest}".encode()).hexdigest()[:32]


class Automatic:
    """Main thread only; the journal is read and written in its lane. `acts`: whether this process may act at all."""

    def __init__(self, store: Store, actions: Actions, runner: Runner, journal: Journal | None, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._actions = actions
        self._runner = runner
        self._journal = journal
        self._clock_us = clock_us
        self.acts = False
        self.show: Callable[[Run, Watched], None] = lambda run, watched: None
        self.unwritten: Callable[[Exception], object] = lambda error: None

    # -- what the journal knows ------------------------------------------------------------------------------------------------

    def read(self, run: Run) -> None:
        """Ask the journal what was done here before, once, when a watch begins."""
        key = key_of(run)

        def done(outcome: Outcome[Past]) -> None:
            self._take(run, outcome)
            run.read = outcome.error is None

        self._runner.submit(LANE, lambda: self._past(run, key), done)

    def _past(self, run: Run, key: str) -> Past:
        """In a worker."""
        if self._journal is None:
            return Past()
        d = run.deployment
        intents = self._journal.entries(LOOK_BACK, kinds=("intent",), service=d.service)
        acted = tuple(e.at_us for e in intents if e.environment == d.environment and _by_itself(e))
        notes = (*self._journal.progress_of(run.key), *self._journal.entries(LOOK_BACK, kinds=("note",), service=d.service))
        # a rollout's watch has another key than its deployments' own; a system that begins anew has ids anew
        mine = (e for e in notes if e.action == ACTION and (e.key == run.key or e.detail.get("deployment") == d.id))
        here = (e for e in mine if (e.environment, e.detail.get("version")) == (d.environment, d.version))
        stopped = next((e for e in here if e.detail.get("said") == "stopped"), None)
        words = str(stopped.detail.get("message", "")) if stopped is not None else ""
        return Past(acted, bool(self._journal.progress_of(key)), words)

    def _take(self, run: Run, outcome: Outcome[Past]) -> bool:
        """Remember what was found; False where nothing could be read."""
        found = outcome.value
        if found is None:
            words = outcome.error.message if isinstance(outcome.error, CockpitError) else str(outcome.error)
            run.trouble, run.trouble_us = f"the journal does not take it: {words}", self._clock_us()
            return False
        run.trouble = ""
        run.acted_us = found.acted_us
        run.stopped_by = run.stopped_by or found.stopped_by
        if found.begun:
            run.action = key_of(run)
        return True

    def note(self, run: Run, said: str, words: str, who: str = "", **more: Any) -> None:
        """A line about the watch in the journal, in the background."""
        journal, d = self._journal, run.deployment
        if journal is None or not self.acts:
            return
        detail = {"said": said, "message": brief(words), "deployment": d.id, "version": d.version, **more}
        work = lambda: journal.append("note", run.key, ACTION, who, d.service, d.environment, detail)  # noqa: E731 - one line of work

        def done(outcome: Outcome[Any]) -> None:
            if outcome.error is not None:
                self.unwritten(outcome.error)

        self._runner.submit(LANE, work, done)

    def note_passed(self, run: Run, now: tuple[Finding, ...], before: tuple[Finding, ...]) -> None:
        """What spoke against it and passed, with its times; what comes and goes is not written each time."""
        for finding in now:
            name, last_us = ("passed", finding.kind), run.noted.get(("passed", finding.kind), 0)
            if finding not in before and finding.until_us - last_us > NOTED_S * 1e6:
                run.noted[name] = finding.until_us
                self.note(run, "passed", finding.text, since_us=finding.since_us, until_us=finding.until_us)

    # -- may it? -----------------------------------------------------------------------------------------------------------------

    def why_not(self, run: Run, watched: Watched, now_us: int) -> str:
        """Why no automatic rollback follows now; "" where one does."""
        d = run.deployment
        if not self._actions.rules.watch(d.environment).automatic:
            return "the settings do not want it any more"
        if d.kind == "deploy" and not d.digest:
            return "its deployment system tells no digest of it: a person decides"
        reason = cause(run, watched, now_us)
        history = self._store.state.deployments.get(run.at)
        theirs = [x.started_at_us for x in history.value if _is_ours(x.kind, x.reason)] if history is not None else []
        why = why_not_act(
            guards_of(run.rule),
            now_us,
            kind=d.kind,
            finished_at_us=run.finished_us,
            verdict=reason,
            automatic_at_us=(*run.acted_us, *theirs),
            state=str(d.state),
        )
        if why:
            return why if reason.bad else not_named(run, watched.findings) or why
        if old(reason, now_us):
            return f"{old(reason, now_us)}: that is no word about now"
        if d.from_version and version_key(d.version) < version_key(d.from_version):
            # not every deployment system calls that a rollback
            return f"it went back from {d.from_version} to {d.version}: a person decides"
        if not self.acts:
            return self._actions.read_only or "only an open window acts by itself"
        if run.stopped_by:
            return f"it was stopped by {run.stopped_by}"
        if run.trouble:
            return run.trouble
        if not run.read:
            return "what was done here before is being read"
        planned = self.plan(run)
        if isinstance(planned, str):
            return planned
        return self._frozen(run, planned.target, now_us)

    def plan(self, run: Run) -> RolloutPlan | str:
        """The plan that would be fired, or why there is none that may be."""
        d = run.deployment
        planned = self._actions.plan("rollback", d.service, d.environment, automatic=True)
        if isinstance(planned, RolloutPlan) and planned.target.digest == d.digest and d.from_version:
            # a person makes a mixed fleet whole with what most of its nodes run: that is what was judged
            planned = self._actions.plan("rollback", d.service, d.environment, d.from_version, automatic=True)
        if isinstance(planned, Refusal):
            return "; ".join(reason.text for reason in planned.reasons)
        if planned.insists:
            return f"only a person may pass this: {'; '.join(planned.insists)}"
        others = self._others(run, planned.target)
        if others:
            return others
        if planned.target.digest == d.digest:
            return "no earlier good version is known here"
        if version_key(planned.target.name) > version_key(d.version):
            # who put an older version there went back already
            return f"the way leads forward, from {d.version} to {planned.target.name}: a person decides"
        return planned

    def _others(self, run: Run, target: Version) -> str:
        """Why what runs is not what was judged: nobody's version but that one is ever undone."""
        fact, d = self._store.state.fleets.get(run.at), run.deployment
        nodes = fact.value.nodes if fact is not None else ()
        speak = {n.digest: n.version or n.digest[:12] for n in nodes if n.digest}
        strange = sorted(name for digest, name in speak.items() if digest not in (d.digest, d.from_digest, target.digest))
        if strange:
            return f"{listed(strange)} runs there, too: a person decides"
        silent = any(not n.digest for n in nodes)
        return "" if d.digest in speak or silent else f"no node runs {d.version} any more"

    def _frozen(self, run: Run, target: Version, now_us: int) -> str:
        """A person's rollback is exempt from freezes; one that no person stands behind is not."""
        at = (run.deployment.environment, self._actions.rules, now_us)
        found = status.gates(self._store.state, target, *at, automatic=True, calendars=self._actions.calendars).freezes
        if found is None:
            return ""
        hard = next((f.name for f in found.now if f.hard), "")
        if hard or found.closed:
            return f"a hard freeze: {hard or ', '.join(found.closed)}; only a person goes back in it"
        return "" if run.rule.in_freeze else why_frozen(found, None)

    # -- announce, stop, fire --------------------------------------------------------------------------------------------------

    def consider(self, run: Run, watched: Watched, now_us: int) -> Watched:
        """What follows from what was found, once a second."""
        if not run.rule.automatic:
            if watched.countdown is not None:
                self.note(run, "called off", "the settings do not want it any more")
            return replace(watched, countdown=None, why_not="")
        if run.action:
            return replace(watched, action=run.action, countdown=None, why_not=self._became(run.action))
        if run.trouble and now_us - run.trouble_us > AGAIN_S * 1e6:
            run.trouble = ""
            if not run.read:
                self.read(run)
        why = self.why_not(run, watched, now_us)
        countdown = watched.countdown
        if why and countdown is not None:
            self.note(run, "called off", why)
        if why:
            return replace(watched, countdown=None, why_not=why)
        if countdown is None:
            self._announce(run, watched)
        elif now_us - countdown.at_us > LATE_S * 1e6:
            self.note(run, "called off", "it was not carried out in time: it is announced anew")
            return replace(watched, countdown=None, why_not="")
        elif now_us >= countdown.at_us:
            self._fire(run)
        return replace(watched, why_not="")

    def call_off(self, run: Run, why: str) -> None:
        """Whatever is announced is not done; where everything still speaks for it, it is announced anew."""
        watched = self._now(run)
        if watched is not None and watched.countdown is not None:
            self.note(run, "called off", why)
            self.show(run, replace(watched, countdown=None, why_not=why))

    def _became(self, key: str) -> str:
        """What became of the action; "" where it went as it should, or is under way."""
        action = self._store.state.actions.get(key)
        if action is None:
            return "it was begun already; Activity has what became of it"
        if action.state in (ActionState.DONE, ActionState.UNKNOWN) or not action.state.final:
            return ""
        return f"the automatic rollback was {action.state}: {action.message}; a person decides now"

    def _announce(self, run: Run, watched: Watched) -> None:
        """Write down that it is going to happen, then begin to count."""
        planned, verdict = self.plan(run), cause(run, watched, self._clock_us())
        if run.asking or isinstance(planned, str):
            return
        run.asking = True
        key, d, journal = key_of(run), run.deployment, self._journal
        detail = {"said": "announced", "deployment": d.id, "version": d.version, "to": planned.target.name, "message": verdict.sentence}
        detail |= {"countdown_s": f"{run.rule.countdown_s:g}", "rollback": key}

        def work() -> Past:
            found = self._past(run, key)
            if journal is not None and not (found.begun or found.stopped_by):
                journal.append("note", run.key, ACTION, "", d.service, d.environment, detail)
            return found

        def done(outcome: Outcome[Past]) -> None:
            run.asking = False
            now = self._now(run)
            if not self._take(run, outcome) or now is None or run.action or self.why_not(run, now, self._clock_us()):
                return
            now_us = self._clock_us()
            at_us = now_us + round(run.rule.countdown_s * 1e6)
            countdown = Countdown(planned.target.name, planned.target.digest, now_us, at_us, verdict.sentence)
            self.show(run, replace(now, countdown=countdown, why_not=""))

        self._runner.submit(LANE, work, done)

    def _now(self, run: Run) -> Watched | None:
        """What is shown of this watch now; None where it is over."""
        watched = under_watch(self._store.state.watches, run.at)
        mine = (run.ident, run.deployment.version, run.deployment.kind)
        return watched if watched is not None and (watched.deployment, watched.version, watched.kind) == mine else None

    def _fire(self, run: Run) -> None:
        """The time is over: look into the journal once more, then fire, exactly what was announced."""
        if run.asking:
            return
        run.asking = True
        key = key_of(run)

        def done(outcome: Outcome[Past]) -> None:
            run.asking = False
            now = self._now(run)
            if not self._take(run, outcome) or now is None or now.countdown is None or run.action:
                return
            why = self.why_not(run, now, self._clock_us()) or self._send(run, now, key)
            if why:
                self.note(run, "called off", why)
                self.show(run, replace(now, countdown=None, why_not=why))
            else:
                run.action = key
                self.show(run, replace(now, countdown=None, why_not="", action=key))

        self._runner.submit(LANE, lambda: self._past(run, key), done)

    def _send(self, run: Run, watched: Watched, key: str) -> str:
        """Fire it; why not, "" where it was."""
        planned = self.plan(run)
        if isinstance(planned, str):
            return planned
        if watched.countdown is None or planned.target.digest != watched.countdown.digest:
            return "the version to go back to is another one by now"
        why = cause(run, watched, self._clock_us()).sentence
        try:
            self._actions.fire(planned, f"{AUTOMATIC}{why}", automatic=True, key=key)
        except CockpitError as error:
            reasons = error.reasons if isinstance(error, NotAllowed) else ()
            return "; ".join(reasons) or error.message
        return ""


def _by_itself(entry: Entry) -> bool:
    return _is_ours(entry.action, str(entry.detail.get("reason", "")))


def _is_ours(kind: str, reason: str) -> bool:
    return kind == "rollback" and reason.startswith(AUTOMATIC)
