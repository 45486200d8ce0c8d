"""GitHub's own OpenAPI specification, and what breaks it: requests that it does not describe, answers of another shape."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import msgspec
import pytest
from filelock import FileLock

from tests.fakes.github import Recorded

PLACE = Path(__file__).resolve().parents[2] / "build" / "npm"
PACKAGES = {"openapi": "@octokit/openapi@23.0.2", "webhooks-examples": "@octokit/webhooks-examples@7.6.1"}
ANSWERS_EACH = 30  # of one path and status, that are validated: they have one shape
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

Json = dict[str, Any]


@functools.cache
def packaged(name: str) -> Path:
    """The folder of that npm package, fetched once; the test is skipped where that is not possible."""
    found = PLACE / "node_modules" / "@octokit" / name
    PLACE.mkdir(parents=True, exist_ok=True)
    with FileLock(PLACE / "lock"):
        if not (found / "package.json").is_file():
            npm = shutil.which("npm")
            if npm is None:
                pytest.skip(f"there is no npm to fetch {PACKAGES[name]} with")
            command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(PLACE), *PACKAGES.values()]
            done = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, timeout=170)
            if done.returncode != 0:
                pytest.skip(f"{PACKAGES[name]} could not be fetched: {done.stderr.strip()[-200:]}")
    return found


class Specification:
    """`check` fails for what it does not describe."""

    def __init__(self, content: Json) -> None:
        self._content = content
        self._paths = [(_pattern(path), path) for path in sorted(content["paths"], key=lambda p: (p.count("{"), p))]
        self._validators: dict[int, Any] = {}
        self._answers: Counter[tuple[str, str, int]] = Counter()  # in all tests of this process

    def check(self, requests: list[Recorded]) -> Counter[str]:
        """Fails for the first request, or answer, that breaks the specification; tells how often each path was used."""
        seen: Counter[str] = Counter()
        for request in requests:
            template, found = self._template(request.path, request.method)
            operation = self._content["paths"][template][request.method.lower()]
            self._request(request, template, found, operation)
            seen[f"{request.method} {template}"] += 1
            kind = (request.method, template, request.status)
            if self._answers[kind] < ANSWERS_EACH and request.status not in (304, 302):
                self._answers[kind] += 1
                self._answer(request, template, operation)
        return seen

    def _template(self, path: str, method: str) -> tuple[str, dict[str, str]]:
        for pattern, template in self._paths:
            matched = pattern.fullmatch(path)
            if matched and method.lower() in self._content["paths"][template]:
                return template, {name: unquote(value) for name, value in matched.groupdict().items()}
        raise AssertionError(f"{method} {path} is not in the specification")

    def _request(self, request: Recorded, template: str, found: dict[str, str], operation: Json) -> None:
        where = f"{request.method} {template}"
        wanted = {(p["in"], p["name"]): p for p in map(self._resolved, operation.get("parameters", []))}
        for (place, name), parameter in wanted.items():
            value = {"path": found, "query": request.query}.get(place, {}).get(name)
            assert value is not None or not parameter.get("required"), f"{where}: {name} is missing"
            if value is not None:
                self._valid(_typed(value, self._resolved(parameter["schema"])), parameter["schema"], f"{where}: {name}")
        for name in request.query:
            assert ("query", name) in wanted, f"{where} knows no parameter {name}"
        body = operation.get("requestBody")
        if body is None or (request.body is None and not body.get("required")):
            assert request.body is None, f"{where} takes no body"
            return
        schema = body["content"]["application/json"]["schema"]
        self._valid(request.body, schema, where)
        unknown = set(request.body) - set(self._resolved(schema)["properties"])
        assert not unknown, f"{where} knows no {unknown}"

    def _answer(self, request: Recorded, template: str, operation: Json) -> None:
        where = f"answer {request.status} to {request.method} {template}"
        if request.status >= 400:
            assert isinstance(request.answer["message"], str)
            return
        answer = self._resolved(operation["responses"].get(str(request.status)) or {})
        assert answer, f"{where} is not in the specification"
        content = answer.get("content", {}).get("application/json")
        if content is not None:
            self._valid(request.answer, content["schema"], where)

    def _resolved(self, node: Json) -> Json:
        while "$ref" in node:
            found: Any = self._content
            for part in node["$ref"][2:].split("/"):
                found = found[part.replace("~1", "/")]
            node = found
        return node

    def _valid(self, value: Any, schema: Json, where: str) -> None:
        validator = self._validators.get(id(schema))
        if validator is None:
            parts: Json = {}
            whole = self._modern(schema, parts)
            checker = jsonschema.FormatChecker(())
            checker.checks("date-time")(_is_stamp)
            validator = jsonschema.Draft202012Validator({**whole, "$defs": parts}, format_checker=checker)
            self._validators[id(schema)] = validator
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        assert error is None, f"{where}: {error.message[:500]} at {error.json_path}"

    def _modern(self, node: Any, parts: Json) -> Any:
        """OpenAPI 3.0's dialect as JSON Schema: `nullable` becomes a type, references go to `$defs`."""
        if isinstance(node, list):
            return [self._modern(item, parts) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            if name not in parts:
                parts[name] = {}
                parts[name] = self._modern(self._resolved(node), parts)
            return {"$ref": f"#/$defs/{name}"}
        kept = ("example", "examples", "description", "nullable", "deprecated", "readOnly", "externalDocs", "xml", "discriminator")
        plain = {key: value if key in ("enum", "default", "required") else self._modern(value, parts) for key, value in node.items()}
        plain = {key: value for key, value in plain.items() if key not in kept or not isinstance(node.get("type", ""), str)}
        return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", path)
    # the file's path is the one parameter that goes on through slashes
    names = {part: f"(?P<{part[1:-1]}>{'.+' if part == '{path}' else '[^/]+'})" for part in parts if part.startswith("{")}
    return re.compile("".join(names.get(part, re.escape(part)) for part in parts))


def _typed(value: str, schema: Json) -> Any:
    kinds = {schema.get("type")} | {option.get("type") for option in (*schema.get("oneOf", ()), *schema.get("anyOf", ()))}
    if "integer" in kinds and value.isdecimal():
        return int(value)
    return {"true": True, "false": False}.get(value, value) if "boolean" in kinds else value


def _is_stamp(value: object) -> bool:
    return not isinstance(value, str) or _STAMP.fullmatch(value) is not None


@functools.cache
def specification() -> Specification:
    """The specification of github.com; skips where it cannot be had."""
    raw = (packaged("openapi") / "generated" / "api.github.com.json").read_bytes()
    return Specification(msgspec.json.decode(raw))


def examples(event: str) -> list[Json]:
    """Real payloads of a webhook."""
    content: list[Json] = json.loads((packaged("webhooks-examples") / "api.github.com" / "index.json").read_text("utf-8"))
    return next(entry["examples"] for entry in content if entry["name"] == event)
