"""The JSON Schema that editors get: it takes a whole file, and refuses what the program refuses."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from typing import Any

import pytest

from cockpit.paths import resource
from cockpit.storage.settings import check, schema

jsonschema = pytest.importorskip("jsonschema")


def example() -> dict[str, Any]:
    """The complete file in the guide, with everything that is each person's own."""
    chapter = next(p for p in resource("guide").glob("*.md") if p.read_text("utf-8").startswith("# The policy\n"))
    _, _, rest = chapter.read_text("utf-8").partition("## All of it\n")
    code = "\n".join(line.removeprefix("    ") for line in rest.splitlines() if not line or line.startswith("    "))
    own = "[me]\nname='You'\nemail='you@example.org'\nsigning='ssh'\nsigning_key='k'\n[policy]\nrepository='p'\nremote='origin'\n"
    return tomllib.loads(f"{code}\n{own}[window]\ntheme='dark'\n[notices]\nquiet=['22:00-07:00']\n")


def errors(content: dict[str, Any]) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schema()).iter_errors(content)]


def test_it_is_a_schema_and_takes_the_whole_example() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert errors(example()) == []
    assert check(example()).problems == []


def test_the_example_names_every_section() -> None:
    assert set(example()) == set(schema()["$defs"]["Settings"]["properties"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("windwo",), {}),
        (("me", "nam"), "x"),
        (("me", "email"), "nobody"),
        (("services", "order-gateway", "repository"), "https://x.org/r.git"),
        (("services", "order-gateway", "tag_pattern"), "v"),
        (("services", "order-gateway", "depends_on"), ["risk-engine==1"]),
        (("services", "risk-engine", "safe_until"), {"1.0": "soon"}),
        (("services", "risk-engine", "one_way"), {"now": "x"}),
        (("services", "risk-engine", "one_way"), {"1.0": ""}),
        (("environments", "production", "aprovals"), 1),
        (("environments", "production", "approvals"), 21),
        (("environments", "production", "apart"), ["author", "author"]),
        (("environments", "production", "quorum"), {"risk": 0}),
        (("environments", "production", "freezes"), ["deribit"]),
        (("environments", "production", "lock"), "maybe"),
        (("connections", "deployer", "url"), "ftp://x"),
        (("connections", "deployer", "token_env"), "s3cret-token"),
        (("connections", "deployer", "more"), [1]),
        (("groups", "risk"), []),
        (("groups", "risk"), ["bob"]),
        (("approvals", "openpgp"), {"a@x.org": "1234"}),
        (("approvals", "remote"), "-x"),
        (("approvals",), {"revoked_keys": "r"}),
        (("strategies", "canary", "steps"), []),
        (("strategies", "canary", "steps"), [{"nodes": ["1"]}]),
        (("strategies", "canary", "steps"), [{"do": "bake"}]),
        (("strategies", "canary", "steps"), [{"do": "bake", "seconds": 0}]),
        (("strategies", "canary", "steps"), [{"do": "hold", "seconds": 5}]),
        (("strategies", "canary", "steps"), [{"do": "deploy", "nodes": []}]),
        (("strategies", "canary", "steps"), [{"do": "weight", "percent": 10, "mode": "open"}]),
        (("sets", "trading", "services"), ["risk-engine"]),
        (("sets", "trading", "on_failure"), "retry"),
        (("policy", "file"), "../cockpit.toml"),
        (("policy",), {"remote": "origin"}),
        (("poll", "interval_s"), 0),
        (("window", "theme"), "drak"),
    ],
)
def test_it_refuses_what_the_program_refuses(path: tuple[str, ...], value: object) -> None:
    content = deepcopy(example())
    place = content
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert errors(content)
    assert check(content).problems


def test_every_value_has_a_title_and_a_description() -> None:
    silent = [
        f"{name}.{field}"
        for name, definition in schema()["$defs"].items()
        for field, entry in definition["properties"].items()
        if "$ref" not in entry and not (entry.get("title") and entry.get("description"))
    ]
    assert silent == []
    assert all(definition["description"] for definition in schema()["$defs"].values())
