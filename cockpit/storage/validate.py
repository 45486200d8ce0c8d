"""Check settings against their declaration and collect every mistake, each with its path."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final, Protocol

import msgspec.inspect as shape
from msgspec.structs import FieldInfo
from msgspec.structs import fields as fields_of

_OPTIONS: Final = "options"
_NOTHING: Final = object()
_KINDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list", dict: "a table"}


class Checked:
    """What was read: `value` holds the good parts, `problems` the mistakes, `given` the tables as they stood in the file."""

    def __init__(self, value: Any, problems: list[str], given: dict[str, Any]) -> None:
        self.value = value
        self.problems = problems
        self.given = given


def read_settings(content: dict[str, Any], kind: type) -> Checked:
    """Turn plain tables into `kind`, a msgspec Struct type all of whose fields have defaults."""
    problems: list[str] = []
    value = _read_struct(content, kind, _declared(kind), "", problems)
    return Checked(kind() if value is _NOTHING else value, problems, content)


class _Field(Protocol):
    @property
    def type(self) -> shape.Type: ...

    @property
    def required(self) -> bool: ...


class _Table:
    """A table of the file; what may stand in it is found out where it is there, for that costs more than all the reading."""

    def __init__(self, field: FieldInfo) -> None:
        self._type, self.required = field.type, field.required

    @cached_property
    def type(self) -> shape.Type:
        return shape.type_info(self._type)


@lru_cache(maxsize=8)
def _declared(kind: type) -> Mapping[str, _Field]:
    return {field.encode_name: _Table(field) for field in fields_of(kind)}


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean "x"?)` for the nearest of the known names, or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1)
    return f' (did you mean "{found[0]}"?)' if found else ""


def _read(value: Any, info: shape.Type, path: str, problems: list[str]) -> Any:
    """The value in its declared type, or _NOTHING after naming what is wrong with it."""
    if isinstance(info, shape.Metadata):
        return _read(value, info.type, path, problems)
    if isinstance(info, shape.StructType):
        return _read_struct(value, info.cls, {field.encode_name: field for field in info.fields}, path, problems)
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
        return "" if value in info.values else f"must be one of {choices}, not {show(value)}{nearest(str(value), map(str, info.values))}"
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


def _read_struct(value: Any, kind: type, fields: Mapping[str, _Field], path: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{path}: {_not_a(dict, value)}")
        return _NOTHING
    open_ended = _OPTIONS in fields
    good: dict[str, Any] = {_OPTIONS: {}} if open_ended else {}
    for name, item in value.items():
        if name in fields and name != _OPTIONS:
            read = _read(item, fields[name].type, join(path, name), problems)
            if read is not _NOTHING:
                good[name] = read
        elif open_ended:
            _read_option(name, item, path, good[_OPTIONS], problems)
        else:
            what, others = _could_be(name, item, fields, value)
            problems.append(f"{join(path, name)}: unknown {what}{nearest(name, others)}")
    missing = [name for name, field in fields.items() if field.required and name not in good]
    absent = [name for name in missing if name not in value]
    problems += [f"{join(path, name)}: missing{_misspelt(name, value, fields) if open_ended else ''}" for name in absent]
    return _NOTHING if missing else kind(**good)


def _could_be(name: str, item: Any, fields: Mapping[str, _Field], value: dict[str, Any]) -> tuple[str, list[str]]:
    """("table" or "key", the names that may have been meant). One of several entries may be misspelt: [service.b] beside [services.a]."""
    if not isinstance(item, dict):
        return "key", [n for n in fields if n not in value]
    entries = [n for n, field in fields.items() if isinstance(_plain(field.type), shape.DictType)]
    return "table", [n for n in fields if n not in value or n in entries]


def _plain(info: shape.Type) -> shape.Type:
    return info.type if isinstance(info, shape.Metadata) else info


def _read_option(name: str, item: Any, path: str, options: dict[str, str], problems: list[str]) -> None:
    """Options beyond the declared keys are kept as text: the connector that gets them knows what they mean."""
    if isinstance(item, bool):
        options[name] = "true" if item else "false"
    elif isinstance(item, str | int | float):
        options[name] = str(item)
    else:
        problems.append(f"{join(path, name)}: expected text, a number, or true or false, got {_kind_of(item)}")


def _misspelt(name: str, value: dict[str, Any], fields: Mapping[str, _Field]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, [given for given in value if given not in fields], n=1)
    return f' (did you mean "{name}" where "{near[0]}" stands?)' if near else ""


def _read_table(value: Any, info: shape.DictType, path: str, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        problems.append(f"{path}: {_not_a(dict, value)}")
        return _NOTHING
    good = {}
    for name, item in value.items():
        if not name.strip() or any(ord(c) < 32 or ord(c) == 127 for c in name):
            problems.append(f"{join(path, name)}: a name must not be empty or hold control characters")
            continue
        read = _read(item, info.value_type, join(path, name), problems)
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
        # two equal steps of a strategy are two steps
        if isinstance(read, str) and read in good:
            problems.append(f"{path}[{number}]: {show(item)} stands there twice")
        else:
            good.append(read)
    # half a list may ask for less than the whole one did
    return _NOTHING if _NOTHING in good else tuple(good)


def faultless(table: str, entries: dict[str, Any], problems: list[str], harmless: tuple[str, ...] = ()) -> dict[str, Any]:
    """The entries of a table that no problem names. A problem with one of the `harmless` keys does not count."""

    def faulty(name: str) -> bool:
        path = join(table, name)
        spared = tuple(f"{path}.{key}:" for key in harmless)
        return any(problem.startswith((f"{path}.", f"{path}:", f"{path}[")) and not problem.startswith(spared) for problem in problems)

    return {name: entry for name, entry in entries.items() if not faulty(name)}


def named(checked: Checked, table: str) -> dict[str, Any]:
    """The entries of a table as they stand in the file, those with mistakes too: to name one of them is no second mistake."""
    given = checked.given.get(table, {})
    return given if isinstance(given, dict) else {}


def is_email(text: str) -> bool:
    """Whether it has the form of an e-mail address."""
    return re.fullmatch(r"[^@\s]+@[^@\s]+", text) is not None


def join(path: str, name: str) -> str:
    """The path of `name` below `path`, quoted where TOML would."""
    shown = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{cut(name)}"'
    return f"{path}.{shown}" if path else shown


def _kind_of(value: Any) -> str:
    return next((words for kind, words in _KINDS.items() if isinstance(value, kind)), "a date or time")


def _not_a(kind: type, value: Any) -> str:
    return f"expected {_KINDS[kind]}, got {_kind_of(value)}" + (f" {show(value)}" if isinstance(value, str | int | float) else "")


def show(value: Any) -> str:
    """A value as it stands in a message."""
    return f'"{cut(value)}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else cut(str(value))


def cut(text: str) -> str:
    """Foreign text that is short and harmless enough for a message."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= 60 else f"{clean[:59]}…"
