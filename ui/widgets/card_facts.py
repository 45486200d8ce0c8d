"""What the action card knows besides the plan: what came before, what stands on the version, and which other ways there are."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from cockpit.domain.errors import CockpitError
from cockpit.domain.facts import place
from cockpit.domain.release import DeployState, Version
from cockpit.domain.rollout import Action, ActionState, Refusal, RolloutPlan, expected_s
from cockpit.domain.statements import Hold, Statement, holds, requests
from cockpit.domain.strategy import Rollout, Step
from cockpit.domain.strategy_plan import weights_words
from ui.models.text import duration_text, ms_text, plain, plural, time_text
from ui.models.trust import NAME
from ui.widgets.arming import Followed
from ui.widgets.texts import RowContent

# what may still come by itself: a request waits for it. Anything else does not pass with time.
COMES = frozenset({"approvals", "checks", "freezes"})


class Way(Struct, frozen=True):
    """Another way than the one button: its name for the program, its words for people."""

    name: str
    words: str


class CardFacts:
    """Questions to the state for one card; nothing here changes anything."""

    def __init__(self, cockpit: Any) -> None:
        self._cockpit = cockpit
        self._journal: dict[str, int] = {}
        self._standing: tuple[object, tuple[Hold, ...]] = (None, ())

    # ---- durations

    def past(self, service: str, environment: str) -> int:
        """How many past deployments an expectation rests on."""
        fact = self._cockpit.store.state.deployments.get(place(service, environment))
        return sum(d.state is DeployState.SUCCEEDED and d.duration_s is not None for d in fact.value) if fact else 0

    def expected(self, service: str, environment: str) -> float | None:
        """p90 of past deployments there, in seconds."""
        fact = self._cockpit.store.state.deployments.get(place(service, environment))
        return expected_s(fact.value) if fact else None

    def step_times(self, steps: tuple[Step, ...]) -> dict[int, float | None]:
        """Seconds that each step takes by what is known: of a deployment the share of its nodes."""
        return {number: self._step_time(step) for number, step in enumerate(steps)}

    def _step_time(self, step: Step) -> float | None:
        if step.do == "bake":
            return step.seconds
        if step.do != "deploy":
            return None
        whole = self.expected(step.service, step.environment)
        fleet = self._cockpit.store.state.fleets.get(place(step.service, step.environment))
        count = len(fleet.value.nodes) if fleet else 0
        return whole * len(step.nodes) / count if whole is not None and count and step.nodes else whole

    # ---- what is under way

    def followed(self, service: str, environment: str) -> Followed | None:
        """What the card follows there: an action or rollout under way, else the newest; an action of a rollout is the rollout's."""
        state, here = self._cockpit.store.state, (service, environment)
        rollouts = [r for r in state.rollouts.values() if any((s.step.service, s.step.environment) == here for s in r.steps)]
        children = {run.action for r in state.rollouts.values() for run in r.steps if run.action}
        actions = [a for a in state.actions.values() if (a.service, a.environment) == here and a.key not in children]
        things: list[Followed] = [*actions, *rollouts]
        return max(things, key=_newest, default=None)

    # ---- holds, requests, rehearsals

    def held(self, service: str, environment: str, digest: str) -> Hold | None:
        """The hold on that artifact there."""
        return next((h for h in self._holds(service, environment) if h.digest == digest), None)

    def _holds(self, service: str, environment: str) -> list[Hold]:
        statements = self._cockpit.store.state.statements
        if self._standing[0] is not statements:
            self._standing = (statements, holds(statements))
        return [h for h in self._standing[1] if (h.service, h.environment) == (service, environment)]

    def asked(self, version: Version, environment: str) -> Statement | None:
        """The request that stands for that version there."""
        state, now_us = self._cockpit.store.state, self._cockpit.clock_us()
        here = (version.service, environment, version.name, version.digest)
        found = [s for s in requests(state.statements, now_us) if (s.service, s.environment, s.version, s.digest) == here]
        return found[-1] if found else None

    def rehearsed(self, title: str, environment: str) -> tuple[str, str]:
        """State and words of the last rehearsal of that rollout: how long it took and when."""
        rollouts = self._cockpit.store.state.rollouts.values()
        past = [r for r in rollouts if r.rehearsal and r.state.final and r.title == title and _in(r, environment)]
        last = max(past, key=lambda r: r.ended_at_us, default=None)
        measured, at_us = self._cockpit.rollouts.measured(title, environment), self._cockpit.rollouts.measured_at(title, environment)
        if last is not None and str(last.state) != "done" and last.ended_at_us >= at_us:
            return "warning", f"The rehearsal of {time_text(last.ended_at_us)} {last.state}: {plain(last.message, 300) or 'no word why'}"
        if not at_us:
            return "unknown", "Not rehearsed yet: how long it takes was never measured"
        took = duration_text(measured) if measured is not None else "how long it takes is not known"
        return "ok", f"Rehearsed {time_text(at_us)}: {took}"

    # ---- the other ways

    def ways(self, kind: str, plan: Any, service: str, version: str, alone: bool) -> list[Way]:
        """What may be done besides the one button. `alone`: acting alone in an emergency is possible."""
        found = []
        if kind == "rollback" and not version:
            sets = getattr(self._cockpit.rules, "sets", {})
            mine = ((name, s) for name, s in sets.items() if service in s.services)
            found += [Way(f"set:{name}", f"Back together: {plain(name, NAME)} ({len(s.services)})…") for name, s in mine]
        if not isinstance(plan, Refusal) or plan.target is None:
            return found
        lock = self._cockpit.store.state.locks.get(plan.environment)
        if lock is not None and lock.value and getattr(self._cockpit, "locks", None) is not None:
            found.append(Way("break", "Break the lock…"))
        if kind != "deploy":
            return found
        held = self.held(service, plan.environment, plan.target.digest) is not None
        if held:
            found.append(Way("clear", "Clear the hold…"))
        if self.asked(plan.target, plan.environment) is not None:
            found.append(Way("withdraw", "Withdraw the request…"))
        elif not held and plan.reasons and all(reason.place in COMES for reason in plan.reasons):
            found.append(Way("request", "Deploy when approved…"))
        if alone:
            found.append(Way("emergency", "Emergency: deploy alone…"))
        return found

    def ways_of(self, action: Action) -> list[Way]:
        """What may be done with an action whose outcome nobody tells."""
        if action.state.final or self._cockpit.actions.why_not_let_go(action.key):
            return []
        return [Way("let go", "Wait no more for it…")]

    # ---- afterwards

    def after_rows(self, action: Action) -> list[RowContent]:
        """What stands below the proof: the latency now, whether what left is held, the journal's number."""
        if not action.state.final:
            return []
        rows: list[RowContent] = []
        if action.state is ActionState.DONE and all(line.place != "latency" for line in action.proof):
            rows.append(self._latency_row(action))
        if action.kind == "rollback" and action.state is ActionState.DONE and action.from_digest:
            rows.append(self._held_row(action))
        if left := weights_words(self._cockpit.store.state.rollouts.values(), action.service, action.environment):
            rows.append(("warning", left.replace(f"{action.service}-{action.environment}-", f"{action.environment}-"), "", "nodes"))
        rows += self._alert_rows(action)
        number = self._journal_number(action)
        if number:
            rows.append(("", f"journal no. {number:,}", "", "activity"))
        return rows

    def _held_row(self, action: Action) -> RowContent:
        here = self._holds(action.service, action.environment)
        if action.from_digest == action.digest:
            # the nodes differed, and most of them ran it already: what left is what is held since then
            found = [h for h in here if h.at_us >= action.intended_at_us and h.digest != action.digest]
            left = ", ".join(plain(h.version, NAME) for h in found) or "what left"
        else:
            found = [h for h in here if h.digest == action.from_digest]
            left = plain(action.from_version, NAME) or "what left"
        if found:
            return ("held", f"{left} is held: nobody deploys it here until a named person clears it", "", "approvals")
        return ("unknown", f"{left} is not held yet: whether it may come back is not known", "", "approvals")

    def _latency_row(self, action: Action) -> RowContent:
        fact = self._cockpit.store.state.latency.get(place(action.service, action.environment))
        if fact is None or fact.stale(self._cockpit.clock_us()) or fact.value.outside is None:
            return ("unknown", "whether p99 is in its band is not known yet", "", "latency")
        now = ms_text(fact.value.point.p99_ms)
        state, words = ("warning", "above its band") if fact.value.outside else ("ok", "in its band")
        return (state, f"p99 {now}, {words}", "", "latency")

    def _alert_rows(self, action: Action) -> list[RowContent]:
        """What fires there now; nothing where no alerting system is connected."""
        facts, now_us = self._cockpit.store.state.alerts.values(), self._cockpit.clock_us()
        if not facts:
            return []
        here = [a for f in facts for a in f.value if a.fires and a.concerns(action.service, action.environment)]
        names = ", ".join(dict.fromkeys(plain(a.name, 60) for a in here))
        if any(f.stale(now_us) for f in facts):
            return [("unknown", f"alerts: not known now{f'; last heard: {names}' if names else ''}", "", "alerts")]
        state = "bad" if any(a.critical for a in here) else "warning" if here else "ok"
        return [(state, f"{plural(len(here), 'alert')}: {names}" if here else "no alert", "", "alerts")]

    def _journal_number(self, action: Action) -> int:
        if action.key in self._journal:
            return self._journal[action.key]
        try:
            found = self._cockpit.actions.entries_of(action.key)
        except CockpitError:
            return 0
        number = max((e.seq for e in found), default=0)
        if any(e.kind == "outcome" for e in found):
            # until then it is still being written
            self._journal[action.key] = number
        return number


def _newest(thing: Followed) -> tuple[bool, int]:
    if isinstance(thing, Rollout):
        # a rehearsal sends nothing: what really is under way comes first
        return not thing.state.final and not thing.rehearsal, thing.started_at_us
    return not thing.state.final, thing.intended_at_us


def _in(rollout: Rollout, environment: str) -> bool:
    return any(run.step.environment == environment for run in rollout.steps)


def passes_over(plan: RolloutPlan, in_steps: bool) -> tuple[str, str]:
    """(words, tooltip): what firing this plan passes over, or that one acts alone; "" where it passes over nothing.

    `in_steps`: the policy wants it done in steps, which an emergency does not wait for.
    """
    over = plan.insists
    if plan.emergency:
        once = " All nodes at once, without the strategy's steps." if in_steps else ""
        first = f"You act alone. A second person must sign it off later; until then the overview shows a review owed.{once}"
        return first, "\n".join((first, *over))
    if not over:
        return "", ""
    more = f", and {len(over) - 1} more" if len(over) > 1 else ""
    return f"Firing passes over: {plain(over[0], 200)}{more}.", "\n".join(plain(o, 500) for o in over)
