"""What a person says, rollouts and the policy, in memory for the tests of the window; each call is recorded and changes the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.approvals import Approval, ApprovalRule, Quorum
from cockpit.domain.errors import NotAllowed
from cockpit.domain.facts import place
from cockpit.domain.policy import Rules
from cockpit.domain.readiness import Reason
from cockpit.domain.release import Version
from cockpit.domain.rollout import Refusal
from cockpit.domain.statements import Debt, Hold, Override, Statement
from cockpit.domain.strategy import Rollout, RolloutState, ServiceSet, Step, StepRun, StepSpec, StepState, Strategy
from cockpit.services import status
from tests.fakes.believable import NOW_US, S, mail, sha, version

if TYPE_CHECKING:
    from tests.fakes.cockpit import FakeCockpit

ME = "you@playground.invalid"
KEY = "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"
MANAGERS = frozenset({mail("Ada Quill"), mail("Dora Lindt"), ME})
STRICT = Rules(
    required_checks=("unit", "integration", "performance"),
    approvals={
        "production": ApprovalRule(
            2, ("release-managers",), MANAGERS, (Quorum("risk", frozenset({mail("Emre Sol")}), 1),), expires_s=72 * 3600.0, signed=True
        )
    },
    freezes={"production": ("deribit-expiry",)},
    strategies={
        "production": Strategy(
            "canary", (StepSpec("deploy", ("1",)), StepSpec("bake", seconds=300.0), StepSpec("hold"), StepSpec("deploy", ("rest",)))
        )
    },
    may={"freeze": frozenset({ME}), "emergency": frozenset({ME}), "clear": frozenset({ME})},
    sets={"trading core": ServiceSet("trading core", ("risk-engine", "order-gateway", "market-data"), "back")},
)


def statement(kind: str, of: str, environment: str = "production", **fields: Any) -> Statement:
    """A word on a version of order-gateway."""
    v = version("order-gateway", of)
    known = {"who": mail("Dora Lindt"), "name": "Dora Lindt", "reason": "p99 left its band", "at_us": NOW_US - 600 * S}
    return Statement(kind, v.service, environment, v.name, v.commit, v.digest, **{**known, "id": sha(kind + of), **fields})


class FakeWords:
    """Words: checks nothing but `refuse`, writes statements into the state."""

    def __init__(self, cockpit: FakeCockpit) -> None:
        self.cockpit = cockpit
        self.calls: list[tuple[Any, ...]] = []
        self.refuse = ""
        self.why = ""

    def _check(self, *call: Any) -> None:
        self.calls.append(call)
        if self.refuse or self.cockpit.read_only:
            raise NotAllowed(self.refuse or "this cockpit is read-only", hint="Open it without --read-only.")

    def _say(self, kind: str, service: str, environment: str, reason: str, version: Version | None = None, **fields: Any) -> None:
        me, store, now = self.cockpit.settings.me, self.cockpit.store, self.cockpit.clock_us()
        name, commit, digest = (version.name, version.commit, version.digest) if version else ("", "", "")
        word = Statement(kind, service, environment, name, commit, digest, me.email, me.name, reason, now, id=sha(f"{kind} {now}"))
        store.apply(statements=(*store.state.statements, replace(word, **fields)))

    def why_not_approve(self, version: Version, environment: str) -> str:
        from cockpit.domain.approvals import why_not_approve

        authors = status.authors_of(self.cockpit.store.state, version, environment)
        return self.why or why_not_approve(self.cockpit.settings.me.email, version, authors)

    def approve(self, version: Version, environment: str, comment: str = "") -> None:
        self._check("approve", version, environment, comment)
        self._vote(version, environment, comment, True)

    def reject(self, version: Version, environment: str, comment: str) -> None:
        self._check("reject", version, environment, comment)
        self._vote(version, environment, comment, False)

    def _vote(self, v: Version, environment: str, comment: str, approved: bool) -> None:
        me, state = self.cockpit.settings.me, self.cockpit.store.state
        word = Approval(v.service, v.name, environment, v.commit, v.digest, me.email, me.name, approved, comment, self.cockpit.clock_us())
        self.cockpit.store.apply(approvals=(*state.approvals, word))

    def acknowledge(self, version: Version, key: str, reason: str, until_us: int) -> None:
        self._check("acknowledge", version, key, reason, until_us)
        self._say("acknowledge", version.service, "", reason, version, until_us=until_us, about=key)

    def end_acknowledgement(self, word: Any, reason: str = "") -> None:
        self._check("end_acknowledgement", word, reason)
        self._say("end", word.service, "", reason, about=word.id)

    def hold(self, version: Version, environment: str, reason: str) -> None:
        self._check("hold", version, environment, reason)
        self._say("hold", version.service, environment, reason, version)

    def why_not_clear(self, hold: Hold) -> str:
        return self.why

    def clear(self, hold: Hold, reason: str) -> None:
        self._check("clear", hold, reason)
        self._say("clear", hold.service, hold.environment, reason, digest=hold.digest, version=None, about=hold.id)

    def why_not_override(self, environment: str) -> str:
        return self.why

    def override(self, environment: str, service: str, reason: str, until_us: int) -> None:
        self._check("override", environment, service, reason, until_us)
        self._say("override", service, environment, reason, until_us=until_us)

    def end_override(self, override: Override, reason: str = "") -> None:
        self._check("end_override", override, reason)
        self._say("end", override.service, override.environment, reason, about=override.id)

    def why_not_sign_off(self, debt: Debt) -> str:
        return self.why or ("you acted yourself" if debt.who == self.cockpit.settings.me.email else "")

    def sign_off(self, debt: Debt, comment: str) -> None:
        self._check("sign_off", debt, comment)
        self._say("sign-off", debt.service, debt.environment, comment, about=debt.about)

    def request(self, version: Version, environment: str, until_us: int, reason: str) -> None:
        self._check("request", version, environment, until_us, reason)
        self._say("request", version.service, environment, reason, version, until_us=until_us)

    def withdraw(self, statement: Statement, reason: str = "") -> None:
        self._check("withdraw", statement, reason)
        self._say("withdraw", statement.service, statement.environment, reason, about=statement.id)


class FakeRollouts:
    """Rollouts: lays steps out by the rules of the cockpit; nothing moves by itself."""

    def __init__(self, cockpit: FakeCockpit) -> None:
        self.cockpit = cockpit
        self.calls: list[tuple[Any, ...]] = []
        self.refuse = ""
        self.times: dict[tuple[str, str], tuple[float, int]] = {}
        self.drafted = 0

    def _check(self, *call: Any) -> None:
        self.calls.append(call)
        if self.refuse or self.cockpit.read_only:
            raise NotAllowed(self.refuse or "this cockpit is read-only", hint="Nothing was sent.")

    def plan(self, service: str, environment: str, version: str = "") -> tuple[Step, ...] | Refusal:
        strategy = self.cockpit.rules.strategies.get(environment)
        fleet = self.cockpit.store.state.fleets.get(place(service, environment))
        if strategy is None or not strategy.steps:
            return ()
        if fleet is None or fleet.value.live is None:
            return Refusal("deploy", service, environment, (Reason("sources", "which nodes there are is not known"),))
        left = [n.name for n in fleet.value.nodes]
        live, steps = fleet.value.live, []
        for spec in strategy.steps:
            count = int(spec.nodes[0]) if spec.nodes and spec.nodes[0].isdigit() else len(left)
            nodes, left = (left[:count], left[count:]) if spec.do == "deploy" else ([], left)
            undo = f"{live.version} again on {', '.join(nodes)}" if nodes else ""
            steps.append(
                Step(spec.do, service, environment, version, sha(version), live.version, live.digest, tuple(nodes), spec.seconds, undo=undo)
            )
        return tuple(steps)

    def draft(self, service: str, environment: str, version: str = "") -> Rollout | Refusal:
        self.drafted += 1
        steps = self.plan(service, environment, version)
        if isinstance(steps, Refusal):
            return steps
        name = self.cockpit.rules.strategies[environment].name
        return Rollout("", "deploy", f"{service}, {name}", tuple(StepRun(s) for s in steps), self.cockpit.settings.me.email)

    def plan_set(self, name: str, environment: str, targets: dict[str, str] | None = None) -> Rollout | Refusal:
        found = self.cockpit.rules.sets[name]
        runs = []
        for service in found.services:
            planned = self.cockpit.actions.plan("rollback", service, environment, (targets or {}).get(service, ""))
            if isinstance(planned, Refusal):
                reasons = tuple(Reason(r.place, f"{service}: {r.text}") for r in planned.reasons)
                return Refusal("rollback", name, environment, reasons)
            target, before = planned.target, planned.from_version
            move = (target.name, target.digest, before, planned.from_digest, planned.nodes)
            step = Step("deploy", service, environment, *move, undo=f"{before} again")
            runs.append(StepRun(step))
        return Rollout("", "rollback", name, tuple(runs), self.cockpit.settings.me.email, on_failure=found.on_failure)

    def begin(self, rollout: Rollout, reason: str = "") -> Rollout:
        self._check("begin", rollout, reason)
        begun = replace(rollout, key=sha(f"rollout {len(self.calls)}")[:32], reason=reason, started_at_us=self.cockpit.clock_us())
        self.cockpit.store.merge("rollouts", {begun.key: begun})
        return begun

    def rehearse(self, rollout: Rollout) -> Rollout:
        self._check("rehearse", rollout)
        now = self.cockpit.clock_us()
        steps = tuple(StepRun(run.step, StepState.DONE, now - S, now) for run in rollout.steps)
        done = replace(
            rollout, key=sha(f"rehearsal {len(self.calls)}")[:32], rehearsal=True, steps=steps, state=RolloutState.DONE,
            started_at_us=now - 3 * S, ended_at_us=now,
        )  # fmt: skip
        self.times[rollout.title, rollout.steps[0].step.environment] = (3.0, now)
        self.cockpit.store.merge("rollouts", {done.key: done})
        return done

    def measured(self, title: str, environment: str) -> float | None:
        return self.times.get((title, environment), (None, 0))[0]

    def measured_at(self, title: str, environment: str) -> int:
        return self.times.get((title, environment), (None, 0))[1]

    def go_on(self, key: str, reason: str = "") -> None:
        self._check("go_on", key, reason)

    def back(self, key: str, reason: str = "") -> None:
        self._check("back", key, reason)

    def stop(self, key: str, reason: str = "") -> None:
        self._check("stop", key, reason)


class FakeChange(Struct, frozen=True):
    """A policy that came and is not in force yet."""

    commit: str
    origin: str = "the policy repository, branch main"
    digest: str = ""
    who: str = "Dora Lindt <dora.lindt@playground.invalid>"
    subject: str = "One approval is enough"
    at_us: int = NOW_US - 120 * S
    diff: str = ""
    problems: tuple[str, ...] = ()
    rewound: bool = False
    refused: bool = False


DIFF = """--- cockpit.toml
+++ cockpit.toml
@@ -12,7 +12,8 @@ [environments.production]
 rank = 2
-approvals = 2
+approvals = 1
 groups = ["release-managers"]
+quorum = { risk = 1 }
 after = "staging"
"""


class FakePolicy:
    """The keeper of the policy."""

    def __init__(self) -> None:
        self.proposed: FakeChange | None = None
        self.problem: Exception | None = None
        self.calls: list[str] = []
        self.why = ""

    @property
    def pending(self) -> FakeChange | None:
        return self.proposed if self.proposed is not None and not self.proposed.refused else None

    def change(self, **fields: Any) -> None:
        """A colleague pushed another policy."""
        self.proposed = replace(FakeChange(sha("policy")[:40], diff=DIFF), **fields)

    def accept(self) -> None:
        self._check("accept")
        self.proposed = None

    def refuse(self) -> None:
        self._check("refuse")
        if self.proposed is not None:
            self.proposed = replace(self.proposed, refused=True)

    def _check(self, word: str) -> None:
        self.calls.append(word)
        if self.why:
            raise NotAllowed(self.why)
