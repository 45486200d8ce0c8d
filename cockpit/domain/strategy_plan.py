"""From what the policy declares to the steps of one rollout: which nodes when, in which order, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from msgspec import Struct

from cockpit.domain.lines import listed
from cockpit.domain.release import Fleet, Node, Version
from cockpit.domain.strategy import Rollout, RolloutState, Step, StepRun, StepSpec, StepState, Strategy

QUESTIONS = ("checks", "approvals", "freeze", "fleet", "verdict")


class Problems(Struct, frozen=True, gc=False):
    """Why there are no steps, each mistake in words."""

    words: tuple[str, ...]


def expand(strategy: Strategy, service: str, environment: str, fleet: Fleet, target: Version) -> tuple[Step, ...] | Problems:
    """The steps that put `target` onto every node of the fleet, each node once; or everything that is wrong with that."""
    names = tuple(sorted((n.name for n in fleet.nodes), key=_natural))
    if not names:
        return Problems((f"no nodes of {service} are known in {environment}",))
    if not target.digest:
        return Problems((f"no artifact of {target.name} is known: its digest is missing",))
    specs = strategy.steps or (StepSpec("deploy", ("all",)),)
    expansion = _Expansion(names, {n.name: n for n in fleet.nodes}, service, environment, target)
    for number, spec in enumerate(specs, 1):
        expansion.add(number, spec)
    missing = [name for name in names if name not in expansion.deployed]
    if missing:
        expansion.problems.append(f"{', '.join(missing)} would not get {target.name}: end with a deploy step of the rest")
    return Problems(tuple(expansion.problems)) if expansion.problems else tuple(expansion.steps)


class _Expansion:
    """The steps found so far, which step deploys to which node, and what is wrong."""

    def __init__(self, names: tuple[str, ...], nodes: Mapping[str, Node], service: str, environment: str, target: Version) -> None:
        self.names = names
        self.nodes = nodes
        self.service = service
        self.environment = environment
        self.target = target
        self.steps: list[Step] = []
        self.deployed: dict[str, int] = {}
        self.problems: list[str] = []

    def add(self, number: int, spec: StepSpec) -> None:
        """One more step."""
        make = {"deploy": self._deploy, "bake": self._bake, "hold": self._hold, "gate": self._gate, "weight": self._weight}
        make["mode"] = self._mode
        if spec.do not in make:
            self._wrong(number, f"“{spec.do}” is no kind of step")
        else:
            make[spec.do](number, spec)

    def _step(self, do: str, **fields: object) -> None:
        self.steps.append(Step(do, self.service, self.environment, **fields))  # type: ignore[arg-type]

    def _wrong(self, number: int, words: str) -> None:
        self.problems.append(f"step {number}: {words}")

    def _deploy(self, number: int, spec: StepSpec) -> None:
        left = tuple(n for n in self.names if n not in self.deployed)
        chosen = self._chosen(number, spec.nodes or ("rest",), left)
        twice = [n for n in chosen if n in self.deployed]
        for name in twice:
            self._wrong(number, f"deploys to {name} again, step {self.deployed[name]} does already; say “rest” for what is left")
        self.deployed |= {n: number for n in chosen if n not in self.deployed}
        # what runs the target already has nothing to go back to
        old = {self.nodes[n].digest: self.nodes[n] for n in chosen if self.nodes[n].digest != self.target.digest}
        for name in chosen:
            if not self.nodes[name].digest:
                self._wrong(number, f"{name} does not say what it runs")
        if len(old) > 1 and "" not in old:
            running = ", ".join(f"{n} runs {_version(self.nodes[n])}" for n in chosen)
            self._wrong(number, f"its nodes do not run the same ({running}): put them on one version first")
        before = next(iter(old.values()), None)
        from_version, from_digest = (before.version, before.digest) if before else (self.target.name, self.target.digest)
        undo = f"{_list(chosen)} back to {_version(before)}" if before else ""
        self._step(
            "deploy",
            version=self.target.name,
            digest=self.target.digest,
            from_version=from_version,
            from_digest=from_digest,
            nodes=chosen,
            undo=undo,
        )

    def _bake(self, number: int, spec: StepSpec) -> None:
        if spec.seconds <= 0:
            self._wrong(number, "a bake needs its seconds")
        self._step("bake", seconds=spec.seconds)

    def _hold(self, number: int, spec: StepSpec) -> None:
        self._step("hold")

    def _gate(self, number: int, spec: StepSpec) -> None:
        unknown = [name for name in spec.ask if name not in QUESTIONS]
        if unknown or not spec.ask:
            self._wrong(number, f"a gate asks for {', '.join(QUESTIONS)}" + (f", not for {', '.join(unknown)}" if unknown else ""))
        self._step("gate", ask=spec.ask, version=self.target.name, digest=self.target.digest)

    def _weight(self, number: int, spec: StepSpec) -> None:
        done = tuple(self.deployed)
        chosen = self._chosen(number, spec.nodes, done) if spec.nodes else done
        if not chosen and not spec.nodes:
            self._wrong(number, "no node is deployed to before it: name the nodes that get the traffic")
        if not 0 <= spec.percent <= 100:
            self._wrong(number, f"{spec.percent} percent cannot be")
        if spec.percent < 100 and len(chosen) == len(self.names):
            self._wrong(number, f"all nodes together get 100 percent of the traffic, not {spec.percent}")
        self._step("weight", nodes=chosen, percent=spec.percent, undo="the shares of the traffic from before it")

    def _mode(self, number: int, spec: StepSpec) -> None:
        if not spec.mode:
            self._wrong(number, "a mode step names its mode: open, post-only, cancel-only")
        self._step("mode", mode=spec.mode, undo="the venue's mode from before it")

    def _chosen(self, number: int, wanted: tuple[str, ...], left: tuple[str, ...]) -> tuple[str, ...]:
        """The nodes that these words mean, in the fleet's order; a count takes the first of those that are `left`."""
        found: set[str] = set()
        for word in wanted:
            if word == "all":
                names = self.names
            elif word == "rest":
                names = tuple(n for n in self.names if n not in self.deployed)
            elif word.isdecimal():
                names = tuple(n for n in left if n not in found)[: int(word)]
                if len(names) < int(word) or not names:
                    self._wrong(number, f"{word} nodes are asked for, {len(left)} are left")
                    continue
            else:
                names = tuple(n for n in self.names if fnmatchcase(n, word))
            if not names:
                self._wrong(number, f"“{word}” means no node: there are {', '.join(self.names)}" if word != "rest" else "nothing is left")
            found.update(names)
        return tuple(n for n in self.names if n in found)


def _natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """node-2 before node-10; any text sorts."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.findall(r"\d{1,18}|\D+", name))


def _version(node: Node | None) -> str:
    return (node.version or node.digest[:12] or "nothing") if node else "nothing"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) < 5 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def shares(chosen: Iterable[str], names: Iterable[str], percent: int) -> dict[str, int]:
    """Whole percent by node: `chosen` share `percent` evenly, the others the rest; together exactly 100."""
    every = sorted(set(names) | set(chosen), key=_natural)
    mine = [n for n in every if n in set(chosen)]
    others = [n for n in every if n not in set(chosen)]
    answer: dict[str, int] = {}
    for group, total in ((mine, percent if others else 100), (others, 100 - percent if mine else 100)):
        for i, name in enumerate(group):
            answer[name] = total // len(group) + (i < total % len(group))
    return answer


def weights_left(rollouts: Iterable[Rollout], service: str, environment: str) -> Rollout | None:
    """The rollout that ended before its end and left other shares of the traffic here; None where none did, or a later one set them."""
    at = (service, environment)
    newest = max((r for r in rollouts if not r.rehearsal and _weighed(r, at)), key=lambda r: r.started_at_us, default=None)
    if newest is None or newest.state not in (RolloutState.ABORTED, RolloutState.FAILED):
        return None
    return newest if _not_back(newest, at) else None


def weights_words(rollouts: Iterable[Rollout], service: str, environment: str) -> str:
    """The shares that such a rollout left there, in words; "" where there are none."""
    rollout = weights_left(rollouts, service, environment)
    if rollout is None:
        return ""
    runs = _not_back(rollout, (service, environment))
    before, last = dict(runs[0].step.from_weights), runs[-1]
    now = shares(last.step.nodes, dict(last.step.from_weights), last.step.percent)
    how = "a stopped" if rollout.state is RolloutState.ABORTED else "a failed"
    hold = "still hold" if last.state is StepState.DONE else "may still hold"
    return f"traffic shares of {how} rollout {hold}: {_percents(now)}; before it: {_percents(before)}. A rollback does not change them"


def shares_set(rollouts: Iterable[Rollout], service: str, environment: str) -> tuple[dict[str, int], int, str] | None:
    """The shares that the newest rollout set there, when, and its title; None where none did, or what came of it is not known."""
    at = (service, environment)
    newest = max((r for r in rollouts if not r.rehearsal and _weighed(r, at)), key=lambda r: r.started_at_us, default=None)
    runs = _weighed(newest, at) if newest is not None else []
    if newest is None or any(run.state not in (StepState.DONE, StepState.UNDONE) for run in runs):
        return None
    held, last = dict(runs[0].step.from_weights), next((run for run in reversed(runs) if run.state is StepState.DONE), None)
    if last is not None:
        held = shares(last.step.nodes, dict(last.step.from_weights), last.step.percent)
    return held, max(run.ended_at_us for run in runs), newest.title


def _weighed(rollout: Rollout, at: tuple[str, str]) -> list[StepRun]:
    """The steps that began to set shares there, with what held before; undone ones too."""
    never = (StepState.WAITING, StepState.SKIPPED, StepState.HELD)
    mine = (run for run in rollout.steps if run.step.do == "weight" and (run.step.service, run.step.environment) == at)
    return [run for run in mine if run.step.from_weights and run.state not in never]


def _not_back(rollout: Rollout, at: tuple[str, str]) -> list[StepRun]:
    """Those of them that hold; none where the last one put back what held before the first."""
    runs = [run for run in _weighed(rollout, at) if run.state is not StepState.UNDONE]
    if not runs:
        return []
    last, before = runs[-1], dict(runs[0].step.from_weights)
    same = last.state is StepState.DONE and shares(last.step.nodes, dict(last.step.from_weights), last.step.percent) == before
    return [] if same else runs


def _percents(held: Mapping[str, int]) -> str:
    return listed([f"{name} {held[name]} %" for name in sorted(held, key=_natural)], 8)


# -- several services ---------------------------------------------------------------------------------------------------------


def order(services: Iterable[str], depends_on: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The services in the order in which they are deployed: what others depend on first. ValueError names a circle.

    A dependency is "name" or "name>=version"; those on services outside of the set don't matter here. Going back is the reverse.
    """
    wanted = tuple(dict.fromkeys(services))
    needs = {s: tuple(d for d in (w.partition(">=")[0].strip() for w in depends_on.get(s, ())) if d in wanted and d != s) for s in wanted}
    answer: list[str] = []
    while len(answer) < len(wanted):
        free = next((s for s in wanted if s not in answer and all(n in answer for n in needs[s])), None)
        if free is None:
            raise ValueError(_circle([s for s in wanted if s not in answer], needs))
        answer.append(free)
    return tuple(answer)


def _circle(stuck: list[str], needs: Mapping[str, tuple[str, ...]]) -> str:
    path = [stuck[0]]
    while path[-1] not in path[:-1]:
        path.append(next(n for n in needs[path[-1]] if n in stuck))
    ring = path[path.index(path[-1]) :]
    return "the services depend on each other in a circle: " + ", which depends on ".join(ring)


def set_plan(steps: Mapping[str, Step], depends_on: Mapping[str, tuple[str, ...]]) -> tuple[Step, ...]:
    """The steps of a rollback of several services, one each, in reverse order of dependency. ValueError for a circle."""
    return tuple(steps[name] for name in reversed(order(steps, depends_on)))
