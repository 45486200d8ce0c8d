"""What Buildbot answers, read: names, versions, commits, forms; and everything that it does not answer."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import buildbot_wire as wire
from cockpit.connectors.buildbot_again import _form
from cockpit.connectors.buildbot_runs import Naming, commit_of, run_of, suite_of, version_of
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import BadPayload

PARSERS: dict[str, Callable[[bytes], Any]] = {
    name: f for name, f in inspect.getmembers(wire, inspect.isfunction) if name.startswith("parse_")
}
SHA = "a" * 40
BUILD = {
    "buildid": 7,
    "number": 3,
    "builderid": 1,
    "buildrequestid": 9,
    "complete": True,
    "started_at": 1_795_000_000,
    "complete_at": 1_795_000_060,
    "results": 0,
    "properties": {"got_revision": [SHA, "Git"], "branch": ["gateway/v1.2.0", "Build"]},
}
FIELDS: list[dict[str, Any]] = [
    {"fields": [{"fullName": "reason", "type": "text"}, {"fullName": "username", "type": "username"}]},
    {"fields": [{"fullName": n, "type": "text"} for n in ("branch", "project", "repository", "revision")]},
    {"fullName": "version", "type": "text"},
]


def answers(**changed: Any) -> bytes:
    return json.dumps({"builds": [BUILD | changed]}).encode()


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (0, "passed"),
        (1, "passed"),
        (2, "failed"),
        (3, "inconclusive"),
        (4, "error"),
        (5, "inconclusive"),
        (6, "inconclusive"),
        (None, "inconclusive"),
    ],
)
def test_results(result: int | None, state: str) -> None:
    (build,) = wire.parse_builds(answers(results=result))
    run = run_of(build, "gateway", Naming("http://b/", tag_pattern="{service}/v{version}"), ())
    assert (str(run.state), run.commit, run.version) == (state, SHA, "1.2.0")
    assert (run.id, run.url) == ("9", "http://b/#/builders/1/builds/3")
    (running,) = wire.parse_builds(answers(complete=False, complete_at=None, results=None))
    assert run_of(running, "gateway", Naming("http://b"), ()).state is CheckState.RUNNING


@pytest.mark.parametrize(
    "changed",
    [
        {"results": 7},
        {"results": "0"},
        {"buildid": -1},
        {"buildid": 2**64},
        {"complete": "yes"},
        {"started_at": "2026-01-01"},
        {"started_at": 10**15},
        {"started_at": None},
        {"properties": {"a": "b"}},
        {"properties": {"a": [1]}},
    ],
)
def test_what_breaks_the_interface(changed: dict[str, Any]) -> None:
    with pytest.raises(BadPayload) as caught:
        wire.parse_builds(answers(**changed))
    assert "$.builds[0]" in caught.value.message


def test_steps_that_are_no_suites_are_left_out() -> None:
    def step(number: int, name: str, **more: Any) -> dict[str, Any]:
        return {"stepid": number, "number": number, "name": name, "complete": True, "results": 0} | more

    body = {
        "steps": [
            step(3, "unit", results=2),
            step(0, "worker_preparation"),
            step(1, "hidden", hidden=True),
            step(2, "skipped", results=3),
            step(4, "next", complete=False, results=None),
            step(5, "now", complete=False, results=None, started_at=5),
        ]
    }
    suites = [suite_of(s) for s in wire.parse_steps(json.dumps(body).encode())]
    assert [(s.name, str(s.state)) for s in suites] == [("unit", "failed"), ("next", "pending"), ("now", "running")]


@pytest.mark.parametrize(
    ("properties", "naming", "version"),
    [
        ({"branch": "gateway/v1.2.0"}, {}, "1.2.0"),
        ({"branch": "pricing/v1.2.0"}, {}, ""),
        ({"branch": "refs/tags/v1.2.0"}, {}, "1.2.0"),
        ({"branch": "main"}, {}, ""),
        ({"version": "1.4.0", "branch": "gateway/v1.2.0"}, {}, "1.4.0"),
        ({"version": "nightly build"}, {}, "nightly build"),
        ({"version": "", "tag": "v3.0.0"}, {}, "3.0.0"),
        ({"release": "1.9.0", "version": "1.4.0"}, {"version": "release"}, "1.9.0"),
        ({"version": 5}, {}, ""),
        ({"branch": {"gw": "v1.0.0", "lib": "v9.0.0"}}, {"codebase": "gw"}, "1.0.0"),
        ({}, {}, ""),
    ],
)
def test_versions(properties: dict[str, Any], naming: dict[str, str], version: str) -> None:
    assert version_of({name: (value, "x") for name, value in properties.items()}, "gateway", Naming("http://b", **naming)) == version


@pytest.mark.parametrize(
    ("properties", "codebase", "commit"),
    [
        ({"got_revision": SHA, "revision": "b" * 40}, "", SHA),
        ({"got_revision": "", "revision": "B" * 40}, "", "b" * 40),
        ({"got_revision": {"gw": SHA, "lib": "b" * 40}}, "gw", SHA),
        ({"got_revision": {"lib": "b" * 40}}, "", "b" * 40),
        ({"got_revision": {"gw": SHA, "lib": "b" * 40}}, "", ""),
        ({"got_revision": "12345"}, "", ""),
        ({"got_revision": None}, "", ""),
    ],
)
def test_commits(properties: dict[str, Any], codebase: str, commit: str) -> None:
    assert commit_of({name: (value, "x") for name, value in properties.items()}, Naming("http://b", codebase=codebase)) == commit


def test_a_report_is_read_without_the_lines_before_it() -> None:
    report = b'<testsuite><testcase name="a"/></testsuite>'
    assert wire.parse_report(b"Builder: x\nBuild number: 1\nWorker name: w\n" + report)[0].name == "a"
    assert wire.parse_report(report)[0].name == "a"
    for other in (b"Builder: x\nfirst line\n", b"Builder: x\nBuild number: 1\nthird\nfourth", b""):
        assert wire.without_head(other) == other


# -- the form of a scheduler --


def form(fields: list[Any], **source: Any) -> dict[str, object] | None:
    sources = (wire.SourceWire(**{"branch": "main", "revision": "", "repository": "", "project": "", **source}),)
    return _form(wire.ForceWire("f", all_fields=tuple(fields)), sources, {"": SHA}, {"version": "1.0.0", "scheduler": "x", "reason": "old"})


def test_a_form_that_takes_everything_names_the_commit() -> None:
    assert form(FIELDS) == {"version": "1.0.0", "branch": "main", "revision": SHA, "repository": "", "project": ""}


def with_fixed(name: str, value: str) -> list[Any]:
    return [FIELDS[0], *(f for f in FIELDS[1]["fields"] if f["fullName"] != name), {"fullName": name, "type": "fixed", "default": value}]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        FIELDS[1:],
        [FIELDS[0], {"fields": [{"fullName": f"Main_{name}", "type": "text"} for name in ("branch", "revision")]}],
        with_fixed("revision", ""),
        with_fixed("branch", "other"),
        ["text", None, 7, {"fields": "x"}, {"fullName": 5}],
    ],
)
def test_a_form_that_would_build_something_else_is_not_used(fields: list[Any]) -> None:
    assert form(fields) is None


def test_a_form_whose_only_value_is_the_right_one_is_used() -> None:
    assert form(with_fixed("branch", "main")) is not None


def test_patches_and_other_codebases_cannot_be_forced() -> None:
    assert form(FIELDS, patch={"patchid": 1}) is None
    assert form(FIELDS, codebase="gw") is None


# -- anything --

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*BUILD, "builds", "steps", "result", "key", "message"]), inner, max_size=4)
    ),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())), st.sampled_from(sorted(PARSERS)))
def test_only_bad_payload_comes_out(body: bytes, name: str) -> None:
    try:
        PARSERS[name](body)
    except BadPayload:
        return


@settings(max_examples=150, deadline=None)
@given(st.lists(JSON, max_size=5))
def test_no_form_makes_it_raise(fields: list[Any]) -> None:
    form(fields)
