"""Check what services say of each other and of their way back: the order of dependency, one-way versions, dates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cockpit.domain.reversibility import Way, parse
from cockpit.storage.validate import Checked, cut, join, named, nearest, show

_VERSION: Final = re.compile(r"(?=.*\d)[0-9A-Za-z][0-9A-Za-z.+~_-]*")


def need(text: str) -> tuple[str, str] | None:
    """(service, least version or "") of "name" or "name>=version"; None where it is neither."""
    name, compared, version = (part.strip() for part in text.partition(">="))
    if not name or re.search(r"[<>=!]", name) or (compared and not _VERSION.fullmatch(version)):
        return None
    return name, version


def check_order(checked: Checked) -> None:
    """Name what is wrong with `depends_on`."""
    known = named(checked, "services")
    edges: dict[str, list[str]] = {}
    for name, service in checked.value.services.items():
        edges[name] = []
        for number, text in enumerate(service.depends_on):
            path, found = f"{join('services', name)}.depends_on[{number}]", need(text)
            if found is None:
                checked.problems.append(f'{path}: must be "name" or "name>=version", not {show(text)}')
            elif found[0] not in known:
                others = [n for n in known if n != name]
                checked.problems.append(f"{path}: there is no service {show(found[0])}{nearest(found[0], others)}")
            elif found[0] in edges[name]:
                checked.problems.append(f"{path}: {show(found[0])} stands there twice")
            else:
                edges[name].append(found[0])
    for name in edges:
        circle = _circle(name, edges)
        if circle:
            path = f"{join('services', name)}.depends_on"
            checked.problems.append(f"{path}: waits for itself: {' after '.join(cut(n) for n in circle)}")


def _circle(name: str, edges: dict[str, list[str]]) -> list[str]:
    """The shortest way from a service back to itself."""
    seen = {name}
    ways = [[name]]
    while ways:
        way = ways.pop(0)
        for following in edges.get(way[-1], ()):
            if following == name:
                return [*way, name]
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


def check_ways_back(checked: Checked) -> None:
    """Name what is wrong with `one_way` and `safe_until`."""
    checked.problems += [problem for name in checked.value.services for problem in _ways_back(name, checked)]


def _ways_back(name: str, checked: Checked) -> Iterator[str]:
    service, path = checked.value.services[name], join("services", name)
    for version, reason in service.one_way.items():
        if not _VERSION.fullmatch(version):
            yield f"{join(f'{path}.one_way', version)}: {show(version)} is no version"
        if not reason.strip():
            yield f"{join(f'{path}.one_way', version)}: must give the reason"
    for version, text in service.safe_until.items():
        where = join(f"{path}.safe_until", version)
        if not _VERSION.fullmatch(version):
            yield f"{where}: {show(version)} is no version"
        if version in service.one_way:
            yield f"{where}: is one-way already"
        if parse(f"safe until {text}").way is not Way.UNTIL:
            yield f"{where}: must be a date such as 2026-12-01 or a version, not {show(text)}"
