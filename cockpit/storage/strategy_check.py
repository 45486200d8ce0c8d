"""Check plans of steps and sets of services: each step has what it needs and nothing else, and no node keeps the old version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from cockpit.storage.validate import Checked, cut, faultless, join, named, nearest, show

# what a step of each kind must say, and what it may: any other key would be ignored, and so is a mistake
_MUST: Final = {"deploy": ("nodes",), "bake": ("seconds",), "hold": (), "gate": ("ask",), "weight": ("percent",), "mode": ("mode",)}
_MAY: Final = {"weight": ("percent", "nodes")}
_ALL: Final = ("rest", "all")
_PATTERN: Final = re.compile(r"[A-Za-z0-9_.*?\[\]!:-]+")


def check_strategies(checked: Checked) -> dict[str, Any]:
    """The strategies without a mistake."""
    for name, strategy in checked.value.strategies.items():
        path = f"{join('strategies', name)}.steps"
        written = _written(checked, name)
        checked.problems += _whole(path, strategy.steps, len(written))
        if len(written) == len(strategy.steps):
            for number, step in enumerate(strategy.steps):
                checked.problems += _step(f"{path}[{number}]", step, written[number])
    return faultless("strategies", checked.value.strategies, checked.problems)


def _written(checked: Checked, name: str) -> list[Any]:
    entry = named(checked, "strategies").get(name, {})
    steps = entry.get("steps", []) if isinstance(entry, dict) else []
    return steps if isinstance(steps, list) else []


def _step(path: str, step: Any, written: dict[str, Any]) -> Iterator[str]:
    fields = _MAY.get(step.do, _MUST[step.do])
    for field in _MUST[step.do]:
        if not written.get(field) and not (field == "percent" and written.get(field) == 0):
            yield f"{path}.{field}: missing, for the step is to {step.do}"
    for field in written:
        if field != "do" and field in step.__struct_fields__ and field not in fields:
            fitting = " and ".join(fields) or "nothing else"
            yield f"{path}.{field}: does not fit: {step.do} takes {fitting}"
    if "nodes" in fields and step.nodes:
        yield from _nodes(f"{path}.nodes", step.nodes)


def _nodes(path: str, nodes: tuple[str, ...]) -> Iterator[str]:
    for number, text in enumerate(nodes):
        if not _PATTERN.fullmatch(text):
            yield f'{path}[{number}]: must be a count, "rest", "all" or a pattern of names, not {show(text)}{nearest(text, _ALL)}'
        elif text.isdecimal() and int(text) < 1:
            yield f"{path}[{number}]: must be at least 1, not {text}"
        elif len(nodes) > 1 and text in _ALL:
            yield f"{path}[{number}]: {show(text)} stands alone"


def _whole(path: str, steps: tuple[Any, ...], written: int) -> Iterator[str]:
    """Whether every node gets the version, as far as that can be known without the nodes' names."""
    if not written:
        yield f"{path}: missing: a strategy has at least one step"
    deploys = [(number, step) for number, step in enumerate(steps) if step.do == "deploy" and step.nodes]
    if not deploys:
        if steps and not any(step.do == "deploy" for step in steps):
            yield f"{path}: no step deploys"
        return
    last, step = deploys[-1]
    if all(text.isdecimal() for text in step.nodes):
        yield f'{path}[{last}].nodes: must be "rest" or "all" in the last deploy step: some nodes would keep the old version'
    for (number, step), (following, after) in pairwise(deploys):
        if step.nodes[0] in _ALL:
            yield f"{path}[{following}].nodes: nothing is left to deploy to after {show(step.nodes[0])} in step {number + 1}"
        elif after.nodes[0] == "all":
            yield f'{path}[{following}].nodes: must be "rest", not "all": step {number + 1} deploys to some of them already'


def check_sets(checked: Checked, services: dict[str, Any]) -> dict[str, Any]:
    """The sets without a mistake whose services can all be used."""
    known = named(checked, "services")
    for name, entry in checked.value.sets.items():
        path = f"{join('sets', name)}.services"
        for number, service in enumerate(entry.services):
            if service not in known:
                checked.problems.append(f'{path}[{number}]: there is no service "{cut(service)}"{nearest(service, known)}')
        if len(entry.services) < 2:
            checked.problems.append(f"{path}: must name two services or more")
    sound = faultless("sets", checked.value.sets, checked.problems)
    return {name: entry for name, entry in sound.items() if all(service in services for service in entry.services)}
