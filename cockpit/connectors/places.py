"""Where each node of an environment is reached, from one option: `environment/node=address`, separated by spaces, commas or lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from cockpit.connectors.text import one_line
from cockpit.domain.errors import CockpitError, ConfigError

MAX_NODES = 1000
_HINT = "It has the form environment/node=address, separated by spaces, commas or lines."
_ENTRY = re.compile(r"(?P<environment>[^/=]+)/(?P<node>[^/=]+)=(?P<address>.+)", re.DOTALL)


def parse_places(text: str, check: Callable[[str], object] | None = None, option: str = "nodes") -> dict[str, dict[str, str]]:
    """Environment -> node -> address, in the order given; ConfigError lists every mistake.

    `check` raises a CockpitError for an address that the kind cannot use; `option` is named in the errors.
    """
    places: dict[str, dict[str, str]] = {}
    problems: list[str] = []
    entries = [entry for entry in re.split(r"[\s,]+", text) if entry]
    for entry in entries[:MAX_NODES]:
        found = _ENTRY.fullmatch(entry)
        if found is None:
            problems.append(f"“{one_line(entry, 100)}” is no environment/node=address")
            continue
        environment, node, address = found["environment"], found["node"], found["address"]
        if node in places.get(environment, {}):
            problems.append(f"“{one_line(f'{environment}/{node}', 100)}” stands there twice")
            continue
        try:
            if check is not None:
                check(address)
        except CockpitError as error:
            problems.append(f"“{one_line(f'{environment}/{node}', 100)}”: {error.message.rstrip('.')}")
            continue
        places.setdefault(environment, {})[node] = address
    if not entries:
        problems.append("no node is named")
    if len(entries) > MAX_NODES:
        problems.append(f"more than {MAX_NODES} nodes are named")
    if problems:
        raise ConfigError(f"{option}: {'; '.join(problems[:10])}.", hint=_HINT, problems=tuple(f"{option}: {p}" for p in problems))
    return places
