"""Kinds of connections to choose from, and a draft of one: checked, turned into settings, and tried before anything is saved."""

from __future__ import annotations

import difflib
import math
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from cockpit.connecting import located
from cockpit.connectors.ports import ConnectorSpec
from cockpit.connectors.registry import CONNECTORS, create, installed, probe
from cockpit.connectors.text import one_line
from cockpit.domain.connection import GROUPS, Draft, Kind, KindField, Trial, group_of, words_of
from cockpit.domain.errors import CockpitError, ConfigError, ConnectorError, NotAllowed

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS: Final = re.compile(r"https?://[^/\s?#]+\S*")
_OWN: Final = ("kind", "services", "token_env")  # of a connection's table; all else stands among the options


class Offer(Struct, frozen=True):
    """All kinds in the order in which they are shown, and what is wrong with packages that are left out."""

    kinds: tuple[Kind, ...]
    broken: tuple[ConfigError, ...] = ()

    def kind(self, name: str) -> Kind:
        """The kind of that name; NotAllowed with the nearest one."""
        found = next((k for k in self.kinds if k.kind == name), None)
        if found is None:
            near = difflib.get_close_matches(name, [k.kind for k in self.kinds], n=1)
            hint = f"Did you mean “{near[0]}”? " if near else ""
            raise NotAllowed(
                f"There is no kind of connection “{one_line(name, 60)}”.", hint=f"{hint}All of them: `release-cockpit connect --list`."
            )
        return found


def offer() -> Offer:
    """Every kind, built in and of installed packages. Blocks: packages are loaded."""
    more, broken = installed()
    kinds = [_kind(spec, "") for spec in CONNECTORS] + [_kind(spec, "an installed package") for spec in more]
    return Offer(tuple(sorted(kinds, key=lambda k: (GROUPS.index(k.group), bool(k.origin), k.title.casefold()))), broken)


def _kind(spec: ConnectorSpec, origin: str) -> Kind:
    fields = tuple(KindField(f.name, f.title, f.kind, f.required, f.default, f.description, f.choices) for f in spec.fields)
    return Kind(spec.kind, one_line(spec.title, 80), group_of(spec.ports), spec.ports, words_of(spec.ports), fields, spec.rights, origin)


# -- checking -------------------------------------------------------------------------------------------------------------------


def problems(draft: Draft, kind: Kind, services: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """What is wrong, by the field's name, else "id", "services" or "token_env". `services` are known, `taken` are other connections."""
    found = {
        "id": _wrong_id(draft, tuple(taken)),
        "services": _wrong_services(draft, tuple(services)),
        "token_env": _wrong_env(draft, kind),
    }
    fields = {f.name: f for f in kind.plain}
    for name, field in fields.items():
        found[name] = wrong_value(field, draft.options.get(name, ""))
    for name in draft.options:
        if name not in fields:
            near = difflib.get_close_matches(name, list(fields), n=1)
            found[name] = f"is no option of “{kind.kind}”" + (f" (did you mean “{near[0]}”?)" if near else "")
    return {name: words for name, words in found.items() if words}


def wrong_value(field: KindField, value: str) -> str:
    """What is wrong with a field's value, in words; "" for nothing."""
    text = value.strip()
    if not text:
        return "is needed" if field.required and not field.default else ""
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        return "must not hold control characters"
    if field.kind == "url":
        return _wrong_address(text)
    if field.kind == "choice" and text not in field.choices:
        near = difflib.get_close_matches(text, field.choices, n=1)
        return f"must be one of {', '.join(field.choices)}" + (f" (did you mean “{near[0]}”?)" if near else "")
    return _wrong_number(text) if field.kind == "number" else ""


def _wrong_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        return "must begin with http:// or https:// and name a host"
    if "@" in text.split("://", 1)[1].split("/", 1)[0]:
        return "must hold no user and no password: the token field keeps them in the keyring"
    return ""


def _wrong_number(text: str) -> str:
    try:
        return "" if math.isfinite(float(text)) else "must be a finite number"
    except ValueError:
        return "must be a number"


def _wrong_id(draft: Draft, taken: tuple[str, ...]) -> str:
    if draft.before is not None:
        return ""
    if not draft.id:
        return "is needed"
    if not _NAME.fullmatch(draft.id):
        return "must be letters, digits, “-”, “_” and “.”, at most 60"
    return "is the name of another connection already" if draft.id in taken else ""


def _wrong_services(draft: Draft, services: tuple[str, ...]) -> str:
    for name in draft.services:
        if name not in services:
            near = difflib.get_close_matches(name, services, n=1)
            return f"there is no service “{one_line(name, 60)}”" + (f" (did you mean “{near[0]}”?)" if near else "")
    return ""


def _wrong_env(draft: Draft, kind: Kind) -> str:
    if not draft.token_env:
        return ""
    if kind.secret is None:
        return "this kind needs no token"
    # the value is not repeated: somebody may have put the token itself there
    return "" if _VARIABLE.fullmatch(draft.token_env) else "must be the name of an environment variable, not a token"


# -- between the form and the file ------------------------------------------------------------------------------------------------


def values_of(draft: Draft, kind: Kind) -> dict[str, Any]:
    """The connection's table in the settings: what is as the kind has it by itself is left out; what the form does not know stays."""
    values: dict[str, Any] = {"kind": draft.kind}
    known = {*_OWN, *(f.name for f in kind.fields)}
    before: dict[str, Any] = dict(draft.before or {})
    for field in kind.plain:
        text = draft.options.get(field.name, "").strip()
        if text and (text != field.default or field.name in before):
            values[field.name] = _typed(text, field, before.get(field.name))
    if draft.services:
        values["services"] = list(draft.services)
    if draft.token_env:
        values["token_env"] = draft.token_env
    return values | {name: value for name, value in before.items() if name not in known}


def _typed(text: str, field: KindField, before: Any) -> Any:
    if _as_text(before) == text:
        return before
    if field.kind == "number":
        return int(text) if re.fullmatch(r"-?\d{1,15}", text) else float(text)
    return text


def _as_text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else "" if value is None else str(value)


def draft_of(connection_id: str, table: dict[str, Any]) -> Draft:
    """The draft that a connection's table in the settings makes. A token is never in it."""
    options = {n: _as_text(v) for n, v in table.items() if n not in (*_OWN, "interval_s") and isinstance(v, str | int | float)}
    services = table.get("services") or ()
    names = tuple(s for s in services if isinstance(s, str)) if isinstance(services, list) else ()
    return Draft(connection_id, str(table.get("kind", "")), options, names, str(table.get("token_env", "")), dict(table))


# -- trying it ----------------------------------------------------------------------------------------------------------------------


def trial(draft: Draft, secret: Callable[[], str], home: Path | None = None) -> Trial:
    """Make the connection, ask it, and close it again; nothing is kept, and the secret stays in memory. Blocks; never raises."""
    begun = time.monotonic()
    given = ""

    def remembered() -> str:
        nonlocal given
        given = secret()
        return given

    answer = _asked(draft, remembered, home)
    took_ms = (time.monotonic() - begun) * 1e3
    if isinstance(answer, CockpitError):
        return Trial(took_ms, error=without(answer, given))
    missing = tuple(_clean(m, given, 300) for m in answer.missing)
    return Trial(took_ms, _clean(answer.reached, given, 300), _clean(answer.identity, given, 200), missing)


def _asked(draft: Draft, secret: Callable[[], str], home: Path | None) -> Any:
    try:
        connector = made(draft, secret, home)
    except CockpitError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a connector of others may raise anything; a test of it must still answer
        what = f"The connector could not be made ({type(error).__name__})."
        return ConnectorError(what, hint="This is a mistake in the connector; tell its makers.")
    try:
        return probe(connector)
    finally:
        end = getattr(connector, "close", None)
        if end is not None:
            end()


def made(draft: Draft, secret: Callable[[], str], home: Path | None = None) -> Any:
    """The connector itself; nothing is contacted. ConfigError where an option does not do."""
    from cockpit.connectors.registry import spec

    options = {name: value.strip() for name, value in draft.options.items() if value.strip()}
    return create(draft.kind, located(spec(draft.kind), options, home), secret)


def without(error: CockpitError, secret: str) -> CockpitError:
    """The same error, should what it repeats hold the secret."""
    if secret and secret in f"{error.title}{error.message}{error.hint}":
        words = (error.message.replace(secret, "***"), error.hint.replace(secret, "***"), error.title.replace(secret, "***"))
        return ConnectorError(words[0], hint=words[1], title=words[2])
    return error


def _clean(text: str, secret: str, limit: int) -> str:
    return one_line(text.replace(secret, "***") if secret else text, limit)
