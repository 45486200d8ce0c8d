"""Check settings against their declaration and collect every mistake, each with its path."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec.inspect as shape

_OPTIONS: Final = "options"
_NOTHING: Final = object()
_KINDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list", dict: "a table"}
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Checked:
    """What was read: `value` holds the good parts, `problems` the mistakes, `given` the tables as they stood in the file."""

    def __init__(self, value: Any, problems: list[str], given: dict[str, Any]) -> None:
        self.value = value
        self.problems = problems
        self.given = given


def read_settings(content: dict[str, Any], kind: type) -> Checked:
    """Turn plain tables into `kind`, a msgspec Struct type all of whose fields have defaults."""
    problems: list[str] = []
    value = _read(content, shape.type_info(kind), "", problems)
    return Checked(kind() if value is _NOTHING else value, problems, content)


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean "x"?)` for the nearest of the known names, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f' (did you mean "{found[0]}"?)' if found else ""


def _read(value: Any, info: shape.Type, path: str, problems: list[str]) -> Any:
    """The value in its declared type, or _NOTHING after naming what is wrong with it."""
    if isinstance(info, shape.Metadata):
        return _read(value, info.type, path, problems)
    if isinstance(info, shape.StructType):
        return _read_struct(value, info, path, problems)
    if isinstance(info, shape.DictType):
        return _read_table(value, info, path, problems)
    if isinstance(info, shape.VarTupleType):
        return _read_list(value, info, path, problems)
    wrong = _wrong(value, info)
    if wrong:
        problems.append(f"{path}: {wrong}")
        return _NOTHING
    return float(value) if isinstance(info, shape.FloatType) else value


def _wrong(value: Any, info: shape.Type) -> str:
    if isinstance(info, shape.LiteralType):
        choices = ", ".join(f'"{v}"' for v in info.values)
        return "" if value in info.values else f"must be one of {choices}, not {_show(value)}{nearest(str(value), map(str, info.values))}"
    if isinstance(info, shape.BoolType):
        return "" if isinstance(value, bool) else _not_a(bool, value)
    if isinstance(info, shape.IntType):
        return _limits(value, info) if isinstance(value, int) and not isinstance(value, bool) else _not_a(int, value)
    if isinstance(info, shape.FloatType):
        return _limits(value, info) if isinstance(value, int | float) and not isinstance(value, bool) else _not_a(float, value)
    if not isinstance(value, str):
        return _not_a(str, value)
    if isinstance(info, shape.StrType) and info.min_length and len(value.strip()) < info.min_length:
        return "must not be empty"
    return "must not hold control characters" if any(ord(c) < 32 or ord(c) == 127 for c in value) else ""


def _limits(value: float, info: shape.IntType | shape.FloatType) -> str:
    if not math.isfinite(value):
        return f"must be a finite number, not {value}"
    if info.ge is not None and value < info.ge:
        return f"must be at least {info.ge:g}, not {value:g}"
    if info.le is not None and value > info.le:
        return f"must be at most {info.le:g}, not {value:g}"
    return ""


def _read_struct(value: Any, info: shape.StructType, path: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{path}: {_not_a(dict, value)}")
        return _NOTHING
    fields = {field.encode_name: field for field in info.fields}
    open_ended = _OPTIONS in fields
    good: dict[str, Any] = {_OPTIONS: {}} if open_ended else {}
    for name, item in value.items():
        if name in fields and name != _OPTIONS:
            read = _read(item, fields[name].type, _join(path, name), problems)
            if read is not _NOTHING:
                good[name] = read
        elif open_ended:
            _read_option(name, item, path, good[_OPTIONS], problems)
        else:
            kind, others = _could_be(name, item, fields, value)
            problems.append(f"{_join(path, name)}: unknown {kind}{nearest(name, others)}")
    missing = [name for name, field in fields.items() if field.required and name not in good]
    absent = [name for name in missing if name not in value]
    problems += [f"{_join(path, name)}: missing{_misspelt(name, value, fields) if open_ended else ''}" for name in absent]
    return _NOTHING if missing else info.cls(**good)


def _could_be(name: str, item: Any, fields: dict[str, shape.Field], value: dict[str, Any]) -> tuple[str, list[str]]:
    """("table" or "key", the names that may have been meant). One of several entries may be misspelt: [service.b] beside [services.a]."""
    if not isinstance(item, dict):
        return "key", [n for n in fields if n not in value]
    entries = [n for n, field in fields.items() if isinstance(field.type, shape.DictType)]
    return "table", [n for n in fields if n not in value or n in entries]


def _read_option(name: str, item: Any, path: str, options: dict[str, str], problems: list[str]) -> None:
    """Options beyond the declared keys are kept as text: the connector that gets them knows what they mean."""
    if isinstance(item, bool):
        options[name] = "true" if item else "false"
    elif isinstance(item, str | int | float):
        options[name] = str(item)
    else:
        problems.append(f"{_join(path, name)}: expected text, a number, or true or false, got {_kind_of(item)}")


def _misspelt(name: str, value: dict[str, Any], fields: dict[str, shape.Field]) -> str:
    near = difflib.get_close_matches(name, [given for given in value if given not in fields], n=1)
    return f' (did you mean "{name}" where "{near[0]}" stands?)' if near else ""


def _read_table(value: Any, info: shape.DictType, path: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{path}: {_not_a(dict, value)}")
        return _NOTHING
    good = {}
    for name, item in value.items():
        if not name.strip() or any(ord(c) < 32 or ord(c) == 127 for c in name):
            problems.append(f"{_join(path, name)}: a name must not be empty or hold control characters")
            continue
        read = _read(item, info.value_type, _join(path, name), problems)
        if read is not _NOTHING:
            good[name] = read
    return good


def _read_list(value: Any, info: shape.VarTupleType, path: str, problems: list[str]) -> Any:
    if not isinstance(value, list):
        problems.append(f"{path}: {_not_a(list, value)}")
        return _NOTHING
    good: list[Any] = []
    for number, item in enumerate(value):
        read = _read(item, info.item_type, f"{path}[{number}]", problems)
        if read in good:
            problems.append(f"{path}[{number}]: {_show(item)} stands there twice")
        else:
            good.append(read)
    # half a list may ask for less than the whole one did
    return _NOTHING if _NOTHING in good else tuple(good)


def cross_check(checked: Checked) -> Any:
    """The value with references checked; what is wrong is named among the problems.

    An environment or a connection with any mistake is left out as a whole: with a default in place of a mistyped
    approval count or order, a version could ship that the file meant to stop.
    """
    from msgspec.structs import replace

    settings, problems = checked.value, checked.problems
    for name, environment in settings.environments.items():
        _check_after(name, environment, checked)
    _check_ranks(settings.environments, checked)
    for name, connection in settings.connections.items():
        _check_connection(name, connection, checked)
    services = {n: kept for n, s in settings.services.items() if (kept := _check_service(n, s, problems)) is not None}
    environments = _faultless("environments", settings.environments, problems)
    connections = _faultless("connections", settings.connections, problems)
    me = settings.me
    if me.email and not re.fullmatch(r"[^@\s]+@[^@\s]+", me.email):
        problems.append(f"me.email: {_show(me.email)} is no e-mail address")
        me = replace(me, email="")
    poll = settings.poll
    if poll.deadline_s <= poll.interval_s:
        problems.append(f"poll.deadline_s: must be more than poll.interval_s ({poll.interval_s:g}), not {poll.deadline_s:g}")
        poll = replace(poll, deadline_s=poll.interval_s * 5)
    return replace(settings, environments=environments, services=services, connections=connections, me=me, poll=poll)


def _faultless(table: str, entries: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    def faulty(name: str) -> bool:
        path = _join(table, name)
        return any(problem.startswith((f"{path}.", f"{path}:", f"{path}[")) for problem in problems)

    return {name: entry for name, entry in entries.items() if not faulty(name)}


def _check_after(name: str, environment: Any, checked: Checked) -> None:
    if not environment.after:
        return
    given = checked.given.get("environments", {})
    path = _join(_join("environments", name), "after")
    if environment.after not in given:
        others = [n for n in given if n != name]
        checked.problems.append(f'{path}: there is no environment "{_cut(environment.after)}"{nearest(environment.after, others)}')
        return
    seen, at = [name], environment.after
    while at and at not in seen:
        seen.append(at)
        following = checked.value.environments.get(at)
        at = following.after if following is not None else ""
    if at == name:
        checked.problems.append(f"{path}: waits for itself: {' after '.join(_cut(n) for n in [*seen, name])}")


def _check_ranks(environments: dict[str, Any], checked: Checked) -> None:
    taken: dict[int, str] = {}
    for name, environment in environments.items():
        if "rank" not in checked.given["environments"][name]:
            continue
        other = taken.setdefault(environment.rank, name)
        if other != name:
            path = _join(_join("environments", name), "rank")
            checked.problems.append(f'{path}: {environment.rank} is the rank of "{_cut(other)}" already')


def _check_service(name: str, service: Any, problems: list[str]) -> Any:
    from msgspec.structs import replace

    path = _join("services", name)
    if "://" in service.repository:
        problems.append(f"{path}.repository: must be a folder on this machine, not {_show(service.repository)}: clone it first")
        return None
    pattern = service.tag_pattern
    if pattern and pattern.count("{version}") != 1:
        near = ' (did you mean "{version}"?)' if "{" in pattern and "{version}" not in pattern else ""
        problems.append(f"{path}.tag_pattern: must hold {{version}} exactly once{near}")
        return replace(service, tag_pattern="")
    return service


def _check_connection(name: str, connection: Any, checked: Checked) -> None:
    path, known = _join("connections", name), checked.given.get("services", {})
    for service in connection.services:
        if service not in known:
            checked.problems.append(f'{path}.services: there is no service "{_cut(service)}"{nearest(service, known)}')
    if connection.url and not re.match(r"https?://[^/\s]+", connection.url):
        checked.problems.append(f"{path}.url: must begin with http:// or https://, not {_show(connection.url)}")
    if connection.token_env and not _VARIABLE.fullmatch(connection.token_env):
        # the value is not repeated: somebody may have put the token itself there
        checked.problems.append(f"{path}.token_env: must be the name of an environment variable, not a token")


def _join(path: str, name: str) -> str:
    shown = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{_cut(name)}"'
    return f"{path}.{shown}" if path else shown


def _kind_of(value: Any) -> str:
    return next((words for kind, words in _KINDS.items() if isinstance(value, kind)), "a date or time")


def _not_a(kind: type, value: Any) -> str:
    return f"expected {_KINDS[kind]}, got {_kind_of(value)}" + (f" {_show(value)}" if isinstance(value, str | int | float) else "")


def _show(value: Any) -> str:
    return f'"{_cut(value)}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else _cut(str(value))


def _cut(text: str) -> str:
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= 60 else f"{clean[:59]}…"
