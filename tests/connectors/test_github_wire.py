"""Reading what GitHub answers: real payloads, words that are not known, and rubbish."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import github_dispatch, github_wire, github_wire_run
from cockpit.connectors.github_api import Names
from cockpit.connectors.trailers import parse_message, trailers
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import BadPayload
from cockpit.domain.release import DeployState
from tests.fakes.github_spec import examples

MODULES = (github_wire, github_wire_run, github_dispatch)
PARSERS = [getattr(m, name) for m in MODULES for name in dir(m) if name.startswith("parse_") and getattr(m, name).__module__ == m.__name__]
BODIES = [parse for parse in PARSERS if parse.__name__ != "parse_title"]
SHA = "a" * 40
FIELDS = ("id", "sha", "state", "name", "commit", "author", "user", "workflow_runs", "jobs", "steps", "created_at", "conclusion", "payload")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from((SHA, "2026-01-01T00:00:00Z", 2**60)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.parametrize("parse", BODIES, ids=lambda p: p.__name__)
@settings(max_examples=60, deadline=None)
@given(body=st.binary() | JSON.map(lambda v: json.dumps(v).encode()))
def test_rubbish_is_a_bad_payload_and_nothing_else(parse: Any, body: bytes) -> None:
    with suppress(BadPayload):
        parse(body)


@given(st.text())
def test_any_message_and_any_title_can_be_read(text: str) -> None:
    said = parse_message(text)
    assert "\n" not in said.subject
    assert isinstance(github_dispatch.parse_title(text), dict)


RUN = {"id": 5, "head_sha": SHA, "status": "completed", "workflow_id": 1, "run_started_at": "2026-01-01T00:00:00Z"}
DEPLOYMENT = {"id": 5, "sha": SHA, "ref": "v1", "environment": "production", "created_at": "2026-01-01T00:00:00+02:00"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", "5"), ("id", 2**64), ("id", None), ("head_sha", "../x"), ("run_started_at", "2026-01-01T00:00:00"), ("status", 3)],
)
def test_a_run_of_another_shape_is_refused(name: str, value: object) -> None:
    github_wire_run.parse_run(json.dumps(RUN).encode())
    with pytest.raises(BadPayload):
        github_wire_run.parse_run(json.dumps({**RUN, name: value}).encode())


@pytest.mark.parametrize("body", [b"", b"<html>log in</html>", b"[", b"null", b'{"workflow_runs": {}}'])
def test_no_list_of_runs(body: bytes) -> None:
    with pytest.raises(BadPayload):
        github_wire_run.parse_runs(body)


@pytest.mark.parametrize(
    ("status", "conclusion", "wanted"),
    [
        ("queued", None, CheckState.PENDING),
        ("waiting", None, CheckState.PENDING),
        ("in_progress", None, CheckState.RUNNING),
        ("completed", "success", CheckState.PASSED),
        ("completed", "failure", CheckState.FAILED),
        ("completed", "timed_out", CheckState.ERROR),
        ("completed", "cancelled", CheckState.INCONCLUSIVE),
        ("completed", "a word of tomorrow", CheckState.INCONCLUSIVE),
        ("completed", None, CheckState.INCONCLUSIVE),
        ("a word of tomorrow", "success", CheckState.PENDING),
        (None, None, CheckState.PENDING),
    ],
)
def test_states_of_runs(status: str | None, conclusion: str | None, wanted: CheckState) -> None:
    assert github_wire_run.check_state(status, conclusion) is wanted


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ((), DeployState.QUEUED),
        (("pending",), DeployState.QUEUED),
        (("queued", "in_progress"), DeployState.RUNNING),
        (("in_progress", "success"), DeployState.SUCCEEDED),
        (("success", "inactive"), DeployState.SUCCEEDED),
        (("in_progress", "failure"), DeployState.FAILED),
        (("error",), DeployState.FAILED),
        (("error", "success"), DeployState.SUCCEEDED),
        (("in_progress", "inactive"), DeployState.ABORTED),
        (("inactive",), DeployState.ABORTED),
        (("a word of tomorrow",), DeployState.QUEUED),
    ],
)
def test_states_of_deployments(states: tuple[str, ...], wanted: DeployState) -> None:
    body = [{"id": n, "state": word, "created_at": f"2026-01-01T00:00:0{n}Z"} for n, word in enumerate(states, 1)]
    found = github_wire_run.standing(github_wire_run.parse_statuses(json.dumps(body).encode()))
    assert found.state is wanted
    assert (found.final_at_us > 0) == wanted.final


def test_the_run_behind_a_deployment() -> None:
    link = "https://github.com/acme/x/actions/runs/123/job/4"
    body = [{"id": 1, "state": "in_progress", "log_url": link}]
    assert github_wire_run.standing(github_wire_run.parse_statuses(json.dumps(body).encode())).run == 123


@pytest.mark.parametrize("payload", [None, "", "no json", '"text"', 5, [], {"key": 5}, "[" * 9000])
def test_a_payload_of_others_says_nothing(payload: object) -> None:
    wire = github_wire_run.parse_deployment(json.dumps({**DEPLOYMENT, "payload": payload}).encode())
    assert wire.said("key") == ""


def test_a_payload_as_text() -> None:
    wire = github_wire_run.parse_deployment(json.dumps({**DEPLOYMENT, "payload": '{"key": "k1"}'}).encode())
    assert wire.said("key") == "k1"


# what GitHub really sends


def test_real_deployments_and_their_statuses() -> None:
    for event in examples("deployment") + examples("deployment_status"):
        wire = github_wire_run.parse_deployment(json.dumps(event["deployment"]).encode())
        assert (wire.id, wire.sha) == (event["deployment"]["id"], event["deployment"]["sha"])
        assert github_wire.at_us(wire.created_at) > 0
        if "deployment_status" in event:
            (status,) = github_wire_run.parse_statuses(json.dumps([event["deployment_status"]]).encode())
            assert status.state == event["deployment_status"]["state"]


def test_real_runs_and_jobs() -> None:
    states = set()
    for event in examples("workflow_run"):
        wire = github_wire_run.parse_run(json.dumps(event["workflow_run"]).encode())
        assert wire.head_commit is not None
        states.add(wire.state)
    assert CheckState.PASSED in states
    for event in examples("workflow_job"):
        (job,) = github_wire_run.parse_jobs(json.dumps({"jobs": [event["workflow_job"]]}).encode())
        assert job.check_run_url.rpartition("/")[2].isdigit()


def test_real_check_runs_have_the_states_of_jobs() -> None:
    for event in examples("check_run"):
        known = event["check_run"]
        assert isinstance(github_wire_run.check_state(known["status"], known["conclusion"]), CheckState)


def test_real_reviews() -> None:
    for event in examples("pull_request_review"):
        # webhooks write a review's state in lower case, the interface in upper case
        review = {**event["review"], "state": event["review"]["state"].upper()}
        (wire,) = github_wire.parse_reviews(json.dumps([review]).encode())
        assert wire.user is not None
        assert wire.commit_id == event["review"]["commit_id"]
        (pull,) = github_wire.parse_pulls(json.dumps([event["pull_request"]]).encode())
        assert pull.number == event["pull_request"]["number"]


# trailers


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("", ()),
        ("Subject: not a trailer", ()),
        ("Subject\n\nCo-authored-by: Bob <b@x>", (("co-authored-by", "Bob <b@x>"),)),
        ("Subject\r\n\r\nReviewed-by: A\r\n", (("reviewed-by", "A"),)),
        ("Subject\n\nText: that\ngoes on", ()),
        ("Subject\n\nReviewed-by: A\n  B", (("reviewed-by", "A B"),)),
        ("Subject\n\nReviewed-by: A\n\nNot the last", ()),
        ("Subject\n\nwords\nSigned-off-by: A <a@x>", (("signed-off-by", "A <a@x>"),)),
        ("Subject\n\nb c: d", ()),
    ],
)
def test_trailers_as_git_reads_them(message: str, wanted: tuple[tuple[str, str], ...]) -> None:
    assert trailers(message) == wanted


def test_what_a_message_says() -> None:
    said = parse_message(
        "Add\nthing\n\nBody\n\nReviewed-by: R <r@x>\nAcked-by: S\nCo-authored-by: C <c@x>\nRollback: safe\nRollback: \x1bodd"
    )
    assert said.subject == "Add thing"
    assert said.reviewers == ("R <r@x>", "S")
    assert said.co_authors == ("C <c@x>",)
    assert said.rollback == "safe\n\ufffdodd"


def test_names_of_environments_go_both_ways() -> None:
    names = Names("acme/x", environment="{service}-{environment}")
    assert names.place("gw", "production") == "gw-production"
    assert names.environment_of("gw", "gw-production") == "production"
    assert names.environment_of("gw", "other-production") == ""
    assert names.environment_of("gw", "gw-") == ""
    assert Names("acme/x").environment_of("gw", "production") == "production"
