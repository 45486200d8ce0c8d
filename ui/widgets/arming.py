"""Arm and fire: the rules by which one considered pair of clicks, and nothing else, becomes an action. No Qt, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from cockpit.domain.rollout import Action, Refusal, RolloutPlan
from cockpit.domain.strategy import Rollout

ARM_S = 10.0  # an armed button that nobody presses goes back to sleep
GUARD_S = 0.4  # a second click sooner than this is the rest of the first one

Possible = RolloutPlan | Rollout
Planned = Possible | Refusal
Followed = Action | Rollout


class Phase(StrEnum):
    """What the card shows: the plan (IDLE, ARMED), a request being handed over (FIRING), its progress, its proof."""

    IDLE = "idle"
    ARMED = "armed"
    FIRING = "firing"
    FOLLOWING = "following"
    PROOF = "proof"


class Press(StrEnum):
    """What a press of the one button means."""

    ARM = "arm"
    FIRE = "fire"
    REFUSED = "refused"
    IGNORED = "ignored"


class Arming:
    """The card's state machine; `clock_s` is a monotonic clock in seconds. `said` tells why it disarmed last, "" when it did not."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._armed_s = 0.0
        self._pressed_s = float("-inf")
        self._abort_s: float | None = None
        self.plan: Planned | None = None
        self.action: Followed | None = None
        self.armed_plan: Possible | None = None
        self.phase = Phase.IDLE
        self.said = ""
        self._seen: set[str] = set()
        self._dismissed: set[str] = set()

    @property
    def remaining_s(self) -> float:
        """Seconds until it disarms by itself; 0 when not armed."""
        return max(0.0, ARM_S - (self._clock_s() - self._armed_s)) if self.phase is Phase.ARMED else 0.0

    @property
    def abort_armed(self) -> bool:
        """Whether the next press of Abort aborts."""
        return self._abort_s is not None and self._clock_s() - self._abort_s < ARM_S

    def show(self, plan: Planned | None) -> None:
        """Take the newest plan; while armed, any changed fact disarms and `said` names it."""
        armed = self.armed_plan
        self.plan = plan
        if self.phase is Phase.ARMED and armed is not None:
            words = what_changed(armed, plan)
            if words:
                self.disarm(words)

    def press(self, *, double: bool = False, repeat: bool = False) -> Press:
        """The button was pressed: arm, fire, or nothing. Each press that comes too soon starts the guard anew, so hammering never fires."""
        now = self._clock_s()
        soon = now - self._pressed_s < GUARD_S
        self._pressed_s = now
        self.tick()
        if double or repeat or soon or self.phase not in (Phase.IDLE, Phase.ARMED):
            return Press.IGNORED
        if self.phase is Phase.ARMED:
            self.phase = Phase.FIRING
            return Press.FIRE
        return self._arm(now)

    def arm(self) -> Press:
        """Arm from the keyboard; never fires, however often it comes."""
        self.tick()
        if self.phase is not Phase.IDLE:
            return Press.IGNORED
        self._pressed_s = self._clock_s()
        return self._arm(self._pressed_s)

    def fire(self) -> Press:
        """Fire from the keyboard; never arms."""
        self.tick()
        return self.press() if self.phase is Phase.ARMED else Press.IGNORED

    def _arm(self, now: float) -> Press:
        if not isinstance(self.plan, Possible):
            return Press.REFUSED
        self.phase, self._armed_s, self.armed_plan, self.said = Phase.ARMED, now, self.plan, ""
        return Press.ARM

    def disarm(self, why: str = "") -> bool:
        """Back to the plan; answers whether it was armed."""
        was = self.phase in (Phase.ARMED, Phase.FIRING)
        if was:
            self.phase, self.armed_plan, self.said = Phase.IDLE, None, why
        return was

    def tick(self) -> bool:
        """Let time act; answers whether it disarmed."""
        if not self.abort_armed:
            self._abort_s = None
        return self.phase is Phase.ARMED and self.remaining_s <= 0 and self.disarm("Disarmed: nobody fired within 10 s.")

    def follow(self, action: Followed | None) -> None:
        """Take the newest action or rollout of this place: one under way shows its progress; one seen under way or fired here its proof."""
        if action is None or action.key in self._dismissed or (action.state.final and action.key not in self._seen):
            self.action = None
            if self.phase in (Phase.FOLLOWING, Phase.PROOF):
                self.phase, self._abort_s = Phase.IDLE, None
            return
        if self.phase is Phase.ARMED:
            what = f"a {action.kind} to {action.version}" if isinstance(action, Action) else action.title
            self.disarm(f"Disarmed: {what} is under way.")
        self.action = action
        self.armed_plan = None
        self._seen.add(action.key)
        self.phase = Phase.PROOF if action.state.final else Phase.FOLLOWING

    def notice(self, key: str) -> None:
        """Show the proof of this action too, though nobody here saw it begin."""
        self._seen.add(key)

    def fired(self, action: Followed) -> None:
        """The request was accepted as this action."""
        self._seen.add(action.key)
        self.follow(action)

    def press_abort(self, *, double: bool = False) -> Press:
        """Abort asks once more in its own place; the rest of the click that fired never reaches it."""
        now = self._clock_s()
        soon = now - self._pressed_s < GUARD_S
        self._pressed_s = now
        if double or soon or self.phase is not Phase.FOLLOWING:
            return Press.IGNORED
        if self.abort_armed:
            self._abort_s = None
            return Press.FIRE
        self._abort_s = now
        return Press.ARM

    def dismiss(self) -> None:
        """Done with the proof: back to the plan, and this action is not shown again."""
        if self.phase is Phase.PROOF and self.action is not None:
            self._dismissed.add(self.action.key)
            self.action, self.phase, self.said = None, Phase.IDLE, ""


class Confirm:
    """Asks once more before something that goes at once, in its own place: the same name pressed again, not too soon, means it."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._name, self._at_s = "", float("-inf")

    @property
    def name(self) -> str:
        """What is asked about now; "" = nothing."""
        return self._name if self._clock_s() - self._at_s < ARM_S else ""

    @property
    def remaining_s(self) -> float:
        """Seconds until nothing is asked any more; 0 where nothing is."""
        return max(0.0, ARM_S - (self._clock_s() - self._at_s)) if self.name else 0.0

    def press(self, name: str) -> bool:
        """Answers whether this press means it."""
        now = self._clock_s()
        soon, again = now - self._at_s < GUARD_S, name == self.name
        if soon and again:
            # the rest of the first click; each one that comes too soon starts the guard anew
            self._at_s = now
            return False
        self._name, self._at_s = ("" if again else name), now
        return again

    def forget(self) -> None:
        """Nothing is asked about any more."""
        self._name = ""


def what_changed(armed: Possible, now: Planned | None) -> str:
    """Which fact is another than when it was armed, in words; "" when all stand."""
    if now is None:
        return "Disarmed: nothing is known here any more."
    if isinstance(now, Refusal):
        reason = now.reasons[0].text if now.reasons else "it is not possible now"
        return f"Disarmed: {reason}."
    if isinstance(now, Rollout) or isinstance(armed, Rollout):
        return _what_changed_of_steps(armed, now)
    if now.facts == armed.facts and now.emergency == armed.emergency:
        return ""
    if (now.kind, now.service, now.environment) != (armed.kind, armed.service, armed.environment):
        return "Disarmed: another place was selected."
    if now.from_digest != armed.from_digest:
        return f"Disarmed: what runs there changed from {armed.from_version or 'nothing'} to {now.from_version or 'nothing'}."
    if (now.target.digest, now.target.commit) != (armed.target.digest, armed.target.commit):
        return f"Disarmed: the target changed from {armed.target.name} to {now.target.name}."
    if now.nodes != armed.nodes:
        return f"Disarmed: the nodes changed, {len(armed.nodes)} then, {len(now.nodes)} now."
    before = {(line.state, line.text) for line in armed.preflight}
    fresh = next((line.text for line in now.preflight if (line.state, line.text) not in before), "")
    gone = next((line.text for line in armed.preflight if line.text not in {n.text for n in now.preflight}), "")
    return f"Disarmed: {fresh or gone or 'the preflight changed'}."


def _what_changed_of_steps(armed: Possible, now: Possible) -> str:
    if not isinstance(armed, Rollout) or not isinstance(now, Rollout) or armed.title != now.title:
        return "Disarmed: another action was chosen."
    before, after = [run.step for run in armed.steps], [run.step for run in now.steps]
    if before == after:
        return ""
    pairs = zip(before, after, strict=False)
    other = next((new for old, new in pairs if old != new), None)
    if other is None:
        return f"Disarmed: the steps changed, {len(before)} then, {len(after)} now."
    return f"Disarmed: what is to be done with {other.service} changed."
