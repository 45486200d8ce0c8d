"""Every fault at every step of a call, for deploy and rollback, with the process alive or killed: what is shown is what happened.

The real deployer behind a gate that breaks one step in one way; what it did is asked of it directly, never through the gate.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from cockpit.domain.rollout import ActionState
from cockpit.services.runtime import LoopMainThread
from tests.e2e.fault_rig import FaultRig, Intent
from tests.e2e.faulty_proxy import FAULTS, SILENT, STATUSES, STEPS, FaultyProxy, nonsense
from tests.e2e.small_deployer import Deployer
from tests.fakes.playground import wait_for

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("deploy", "rollback")
LIVES = ("lives", "killed after the call", "killed in the call")
LIMIT_S = 30.0
# which calls of the connector meet the step, for the others: deploy. Who got no answer to a POST in time asks by the key
METHOD = {"follow": ("deployment", "find"), "verify": ("fleet",)}


class Case(Struct, frozen=True):
    """One row of the table."""

    kind: str
    step: str
    fault: str
    life: str

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.step}, {self.fault}, {self.life}"

    @property
    def why_not(self) -> str:
        """The rule by which a combination is left out; "" for one that is in."""
        if self.life == "killed in the call" and self.fault not in SILENT:
            return "a call that ends at once leaves no time to be killed in"
        if self.life == "killed in the call" and (self.step, self.fault) == ("connect", "timeout"):
            return "nobody notices the knocking of a client whose connection is never made"
        return nonsense(self.step, self.fault)

    @property
    def leaves_unknown(self) -> bool:
        """Whether nobody can know the outcome after the POST: bytes left, and no answer says what became of them."""
        if self.fault in ("500", "502", *SILENT):
            return self.step in ("send", "wait", "body")
        return self.step in ("send", "wait", "body") and self.fault in ("reset", "half")


TABLE = tuple(c for k in KINDS for life in LIVES for s in STEPS for f in FAULTS if not (c := Case(k, s, f, life)).why_not)
PLACES = tuple(f"e{number:02d}" for number in range(len(FAULTS)))


def test_the_table_is_whole() -> None:
    every = len(KINDS) * len(LIVES) * len(STEPS) * len(FAULTS)
    assert len(TABLE) == len(set(TABLE)) == 286
    assert every - len(TABLE) == sum(bool(Case(k, s, f, x).why_not) for k in KINDS for x in LIVES for s in STEPS for f in FAULTS)


# -- the deployer ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deployer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployer]:
    made = Deployer(tmp_path_factory.mktemp("faults") / "playground", PLACES)
    try:
        made.ready()
        yield made
    finally:
        made.close()


# -- processes that are killed -----------------------------------------------------------------------------------------------


class Nursery:
    """Forks the children that are killed, and knows how each ended."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.e2e.fault_child"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pids: dict[str, int] = {}
        self.codes: dict[int, int] = {}
        self._thread = threading.Thread(target=self._listen, name="nursery")
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if "begun" in event:
                self.pids[event["begun"]] = event["pid"]
            else:
                self.codes[event["ended"]] = event["code"]

    def order(self, folder: Path, port: int, intent: Intent, die: tuple[str, ...]) -> None:
        line = json.dumps({"folder": str(folder), "port": port, "intent": msgspec.to_builtins(intent), "die": die}) + "\n"
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()

    def code(self, key: str) -> int | None:
        """The exit code of that child, None while it lives."""
        return self.codes.get(self.pids.get(key, 0))

    def kill(self, key: str) -> None:
        pid = wait_for(lambda: self.pids.get(key), "the child has begun")
        os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self._thread.join()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


# -- one case ----------------------------------------------------------------------------------------------------------------


class Run:
    """One case on its way: `turn` moves it on and answers whether it is over."""

    def __init__(self, case: Case, place: str, deployer: Deployer, nursery: Nursery, folder: Path, main: LoopMainThread) -> None:
        self.case, self.deployer, self.nursery, self.main = case, deployer, nursery, main
        self.folder = folder
        folder.mkdir()
        version, digest = deployer.other(place)
        self.intent = Intent(f"{folder.parent.name}-{place}".replace("_", "-"), case.kind, place, version, digest)
        self.before = len(deployer.history(place))
        killed = case.life == "killed in the call"
        self.proxy = FaultyProxy(deployer.port, case.step, case.fault, self._kill_once if killed else None)
        self.rig: FaultRig | None = None
        self._hits = 0
        self._killed = False
        # while reads do not answer either, or answer wrongly that there is nothing, nobody can know what became of the POST
        self.proxy.forgetful = case.kind == "rollback"
        self.proxy.hold = case.step not in METHOD and case.life == "lives"
        if case.life == "lives":
            self.rig = FaultRig(folder, self.proxy.port, main)
            self.rig.begin(self.intent)
        else:
            die = () if killed else METHOD.get(case.step, ("deploy",))
            nursery.order(folder, self.proxy.port, self.intent, die)

    def _kill_once(self) -> None:
        if not self._killed:
            self._killed = True
            self.nursery.kill(self.intent.key)

    def turn(self) -> bool:
        if self.rig is None:
            if self.nursery.code(self.intent.key) is not None:
                self._restart()
            return False
        action = self.rig.action(self.intent.key)
        if action is None:
            return False
        # five answers of "not found" in a row would settle it
        if self.proxy.hold and (self.proxy.held >= (8 if self.proxy.forgetful else 2) or action.state.final):
            self.proxy.hold = False
        if not self.proxy.healed and self._felt_enough():
            self.proxy.heal()
        return action.state.final and not self.rig.journal.unfinished()

    def _restart(self) -> None:
        assert self.nursery.code(self.intent.key) == -9, f"{self.case.name}: the child was not killed but ended by itself"
        if self.case.step not in METHOD:
            self.proxy.heal()
            self.proxy.hold = True
        self._hits = self.proxy.hits
        self.rig = FaultRig(self.folder, self.proxy.port, self.main)
        assert self.rig.recover() == 1

    def _felt_enough(self) -> bool:
        """Whether the fault stayed long enough to do harm; until then nothing may be final."""
        assert self.rig is not None
        if self.case.step not in METHOD and self.rig.action(self.intent.key).state.final:  # type: ignore[union-attr]
            return True
        return len(self.rig.felt) >= 3 or self.proxy.hits - self._hits >= 3

    def problems(self) -> list[str]:
        """What is not as it must be."""
        assert self.rig is not None
        action = self.rig.action(self.intent.key)
        if action is None or not action.state.final:
            return [f"never ended: {action and (action.state, action.message)}, felt {self.rig.felt}, hits {self.proxy.hits}"]
        place, shown = self.intent.environment, action.state
        wait_for(lambda: self.deployer.idle(place), f"{place} is idle")
        truth = self.deployer.under(self.intent.key)
        digests = {n["digest"] for n in self.deployer.fleet(place)["nodes"]}
        new = self.deployer.history(place)[: -self.before]
        outcomes = [e.detail["state"] for e in self.rig.journal.progress_of(self.intent.key) if e.kind == "outcome"]
        verified = self.rig.journal.verify()
        found = []
        if truth is None and shown not in (ActionState.NOT_SENT, ActionState.REFUSED):
            found.append(f"shown as {shown}, and the deployer never had it")
        if shown is ActionState.REFUSED and self.case.fault not in STATUSES:
            found.append("refused, and nobody refused it")
        if truth is not None and (truth["state"], shown) != ("succeeded", ActionState.DONE):
            found.append(f"shown as {shown} ({action.message}), the deployer says {truth['state']}")
        if (digests == {self.intent.digest}) != (shown is ActionState.DONE):
            found.append(f"shown as {shown}, and the nodes run {digests}")
        if [d["key"] for d in new] != ([self.intent.key] if truth is not None else []):
            found.append(f"the deployer's history has {[d['key'] for d in new]}")
        if [key for key, _ in self.proxy.posts] not in ([], [self.intent.key]):
            found.append(f"POSTs of {[key for key, _ in self.proxy.posts]}")
        if self.proxy.posts == [] and self.case.step != "connect":
            found.append("the POST never reached the gate")
        if outcomes != [str(shown)]:
            found.append(f"the journal's outcomes are {outcomes}")
        if not verified.ok:
            found.append(f"the journal does not verify: {verified.problems}")
        if self.case.life == "lives" and self.case.leaves_unknown and ActionState.UNKNOWN not in self.rig.seen:
            found.append(f"was never shown as unknown: {self.rig.seen}")
        if self.case.life != "lives" and self.case.step not in METHOD and ActionState.UNKNOWN not in self.rig.seen:
            found.append(f"taken up without having been unknown: {self.rig.seen}")
        return found

    def close(self) -> None:
        if self.rig is not None:
            self.rig.close()
        self.proxy.close()


ROWS = tuple(dict.fromkeys((c.kind, c.life, c.step) for c in TABLE))


@pytest.mark.e2e
@pytest.mark.parametrize(("kind", "life", "step"), ROWS, ids=[", ".join(row) for row in ROWS])
def test_what_is_shown_is_what_happened(
    kind: str, life: str, step: str, deployer: Deployer, nursery: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    cases = [c for c in TABLE if (c.kind, c.life, c.step) == (kind, life, step)]
    main = LoopMainThread()
    runs: list[Run] = []
    try:
        runs += [Run(case, PLACES[i], deployer, nursery, tmp_path / PLACES[i], main) for i, case in enumerate(cases)]
        over: set[int] = set()

        def turn() -> None:
            over.update(i for i, run in enumerate(runs) if i not in over and run.turn())
            main.call_later(0.02, turn)

        turn()
        main.run_until(lambda: len(over) == len(runs), LIMIT_S)
        wrong = {run.case.name: problems for run in runs if (problems := run.problems())}
    finally:
        for run in runs:
            run.close()
    record_property("fault_cases_right", len(cases) - len(wrong))
    record_property("fault_cases_wrong", len(wrong))
    assert not wrong, "\n".join(f"{name}: {'; '.join(words)}" for name, words in wrong.items())
