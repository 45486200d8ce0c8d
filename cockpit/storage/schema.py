"""The JSON Schema of the settings made complete: what a type alone does not say, so that an editor marks the mistake while it is typed."""

from __future__ import annotations

from typing import Any, Final

from cockpit.domain.calendar import BUILTIN

_EMAIL: Final = r"^[^@\s]+@[^@\s]+$"
_VERSION: Final = r"^(?=.*\d)[0-9A-Za-z][0-9A-Za-z.+~_-]*$"
_UNTIL: Final = r"^(\d{4}-\d{2}-\d{2}(T[0-9:]{5,8}Z)?|[vV]?\d+(\.\d+){1,5}([-+.][0-9A-Za-z.-]{1,40})?)$"
_REMOTE: Final = r"^(?!-)(?!.*::)\S*$"
# by definition and property: what is added to it, below `items` or `additionalProperties` for lists and tables
_FORMS: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("Me", "email"): {"pattern": rf"{_EMAIL}|^$"},
    ("ServiceSettings", "repository"): {"pattern": r"^(?!.*://).*\S"},
    ("ServiceSettings", "tag_pattern"): {"pattern": r"^((?!.*\{version\}.*\{version\}).*\{version\}.*)?$"},
    ("ServiceSettings", "depends_on"): {"pattern": r"^[^<>=!]+(>=\s*[0-9A-Za-z][0-9A-Za-z.+~_-]*)?$"},
    ("ServiceSettings", "one_way"): {"minLength": 1},
    ("ServiceSettings", "safe_until"): {"pattern": _UNTIL},
    ("EnvironmentSettings", "freezes"): {"enum": sorted(BUILTIN)},
    ("ConnectionSettings", "url"): {"pattern": r"^(https?://[^/\s]+.*)?$"},
    ("ConnectionSettings", "token_env"): {"pattern": r"^([A-Za-z_][A-Za-z0-9_]*)?$"},
    ("Settings", "groups"): {"minItems": 1, "items": {"type": "string", "pattern": _EMAIL}},
    ("ApprovalSettings", "openpgp"): {"pattern": r"^ *([0-9A-Fa-f] *){40}$|^ *([0-9A-Fa-f] *){64}$"},
    ("ApprovalSettings", "remote"): {"pattern": _REMOTE},
    ("StepSettings", "nodes"): {"pattern": r"^[A-Za-z0-9_.*?\[\]!:-]+$"},
    ("PolicySource", "repository"): {"pattern": r"^(?!.*://)"},
    ("PolicySource", "file"): {"pattern": r"^(?!/)(?!(.*/)?\.\.(/|$))[^\\]+$"},
    ("PolicySource", "remote"): {"pattern": _REMOTE},
}
# the names of the entries of a table
_NAMES: Final[dict[tuple[str, str], str]] = {
    ("ServiceSettings", "one_way"): _VERSION,
    ("ServiceSettings", "safe_until"): _VERSION,
    ("ApprovalSettings", "openpgp"): _EMAIL,
}
_LEAST: Final[dict[tuple[str, str], int]] = {("SetSettings", "services"): 2, ("StrategySettings", "steps"): 1}
# what a step must say beside what it does, and what it may
_STEPS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "deploy": (("nodes",), ()),
    "bake": (("seconds",), ()),
    "hold": ((), ()),
    "gate": (("ask",), ()),
    "weight": (("percent",), ("nodes",)),
    "mode": (("mode",), ()),
}


def completed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that the types give, with the forms of names and values, and closed against keys that mean nothing."""
    definitions = schema["$defs"]
    for name, definition in definitions.items():
        _close(definition)
        for field, entry in definition["properties"].items():
            _add(entry, (name, field))
    definitions["StepSettings"]["allOf"] = [_step(do, must, may) for do, (must, may) in _STEPS.items()]
    definitions["Me"]["dependentRequired"] = {"signing_key": ["signing"]}
    definitions["PolicySource"]["dependentRequired"] = {"remote": ["repository"]}
    definitions["ApprovalSettings"]["dependentRequired"] = {"revoked_keys": ["allowed_signers"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Release Cockpit settings (cockpit.toml)", **schema}


def _close(definition: dict[str, Any]) -> None:
    options = definition["properties"].pop("options", None)
    # further keys of a connection are the options of its kind
    definition["additionalProperties"] = {"type": ["string", "number", "boolean"]} if options is not None else False
    definition["title"] = definition["title"].removesuffix("Settings") or definition["title"]


def _add(entry: dict[str, Any], place: tuple[str, str]) -> None:
    form = _FORMS.get(place)
    if form is not None:
        # a list's items, a table's values, or the value itself
        entry.get("items", entry.get("additionalProperties", entry)).update(form)
    if entry.get("type") == "array":
        entry["uniqueItems"] = entry["items"].get("type") == "string" or "enum" in entry["items"]
    if place in _LEAST:
        entry["minItems"] = _LEAST[place]
        entry.pop("default", None)
    if entry.get("type") == "object":
        entry["propertyNames"] = {"pattern": _NAMES.get(place, r"\S")}


def _step(do: str, must: tuple[str, ...], may: tuple[str, ...]) -> dict[str, Any]:
    """What holds for a step that does this."""
    others = {field for fields in _STEPS.values() for field in (*fields[0], *fields[1])} - {*must, *may}
    fits: dict[str, Any] = dict.fromkeys(sorted(others), False)
    for field in must:
        fits[field] = {"seconds": {"exclusiveMinimum": 0}, "mode": {"minLength": 1}, "percent": {}}.get(field, {"minItems": 1})
    return {"if": {"properties": {"do": {"const": do}}, "required": ["do"]}, "then": {"required": list(must), "properties": fits}}
