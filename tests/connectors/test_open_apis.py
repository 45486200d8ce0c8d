from __future__ import annotations

import contextlib
import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors.ci_wire import parse_health as parse_ci_health
from cockpit.connectors.ci_wire import parse_run, parse_runs
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.open_ci import OpenCi
from cockpit.connectors.open_deployment import OpenDeployment
from cockpit.connectors.open_deployment_wire import (
    parse_artifacts,
    parse_deployment,
    parse_deployments,
    parse_fleet,
    parse_health,
    parse_mode,
    parse_started,
    parse_weights,
)
from cockpit.connectors.ports import DeployRequest
from cockpit.domain.checks import CheckState
from cockpit.domain.errors import BadPayload, ConnectorError, NotFound, OutcomeUnknown, Rejected
from cockpit.domain.release import DeployState

RUN: dict[str, Any] = {
    "id": "run-1",
    "service": "gateway",
    "version": "1.7.0",
    "commit": "c" * 40,
    "state": "running",
    "suites": [
        {
            "name": "unit",
            "state": "failed",
            "total": 3,
            "passed": 1,
            "failed": 1,
            "errors": 0,
            "skipped": 1,
            "started_at_us": 2**53 + 1,
            "finished_at_us": 0,
            "tests": [{"name": "test_a", "outcome": "failed", "duration_s": 0.5, "message": "\x1b[1massert 1 == 2"}],
        }
    ],
    "started_at_us": 1,
    "finished_at_us": 0,
    "url": "http://127.0.0.1/run-1",
    "message": "",
}
STARTED: dict[str, Any] = {
    "id": "d-1",
    "key": "k-1",
    "service": "gateway",
    "environment": "production",
    "version": "1.7.0",
    "digest": "d" * 64,
    "kind": "rollback",
    "state": "running",
    "requested_by": "you@playground.invalid",
    "reason": "",
    "from_version": "1.8.0",
    "from_digest": "e" * 64,
    "started_at_us": 5,
    "finished_at_us": 0,
    "steps": [{"node": "n1", "state": "pending", "digest": "", "message": ""}],
    "message": "",
}
FLEET: dict[str, Any] = {
    "service": "gateway",
    "environment": "production",
    "nodes": [
        {"name": "n1", "version": "1.7.0", "commit": "c", "digest": "d", "healthy": True, "url": "http://127.0.0.1:1"},
        {"name": "n2", "version": "", "commit": "", "digest": "", "healthy": None, "url": "file:///etc/passwd"},
    ],
    "active": STARTED,
}
REQUEST = DeployRequest("gateway", "production", "1.7.0", "d" * 64, "rollback", "you@playground.invalid", "p99 broke")


def raw(value: Any) -> bytes:
    return msgspec.json.encode(value)


def changed(value: dict[str, Any], path: str, new: Any) -> bytes:
    copied = copy.deepcopy(value)
    found: Any = copied
    *way, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for step in way:
        found = found[step]
    found[last] = new
    return raw(copied)


def test_a_run() -> None:
    run = parse_run(raw(RUN | {"unknown": [1]}), "run-1")
    assert run.state is CheckState.RUNNING
    assert run.suites[0].started_at_us == 2**53 + 1
    assert run.failures[0][1].message == "\ufffd[1massert 1 == 2"
    assert parse_runs(raw({"runs": [RUN]}), "gateway") == (run,)


RUN_MISTAKES: list[tuple[str, Any, str]] = [
    ("state", "done", "$.state"),
    ("state", None, "$.state"),
    ("id", "", "$.id"),
    ("id", "run-2", "$.id"),
    ("started_at_us", -1, "$.started_at_us"),
    ("started_at_us", 10**18, "$.started_at_us"),
    ("started_at_us", 1.5, "$.started_at_us"),
    ("suites.0.state", "green", "$.suites[0].state"),
    ("suites.0.passed", -1, "$.suites[0].passed"),
    ("suites.0.tests.0.outcome", "flaky", "$.suites[0].tests[0].outcome"),
    ("suites.0.tests.0.duration_s", -0.1, "$.suites[0].tests[0].duration_s"),
    ("suites.0.tests", {}, "$.suites[0].tests"),
]


@pytest.mark.parametrize(("path", "new", "where"), RUN_MISTAKES)
def test_mistakes_in_a_run_name_their_place(path: str, new: Any, where: str) -> None:
    with pytest.raises(BadPayload) as caught:
        parse_run(changed(RUN, path, new), "run-1")
    assert where in caught.value.message


def test_a_run_of_another_service() -> None:
    with pytest.raises(BadPayload) as caught:
        parse_runs(raw({"runs": [RUN, RUN | {"service": "other"}]}), "gateway")
    assert "$.runs[1].service" in caught.value.message


def test_long_names_and_unsafe_addresses() -> None:
    run = parse_run(raw(RUN | {"version": "v" * 500, "url": "javascript:alert(1)"}))
    assert len(run.version) == 500
    assert run.url == ""


def test_a_fleet() -> None:
    fleet = parse_fleet(raw(FLEET), "gateway", "production")
    assert [n.healthy for n in fleet.nodes] == [True, None]
    assert fleet.nodes[1].url == ""
    assert fleet.nodes[0].environment == "production"
    assert (fleet.automatic, fleet.held, fleet.nodes[0].config, fleet.nodes[0].flags) == ("", (), "", ())
    assert fleet.active is not None
    assert fleet.active.state is DeployState.RUNNING
    assert parse_fleet(raw(FLEET | {"active": None}), "gateway", "production").active is None


def test_a_fleet_that_tells_how_its_nodes_are_set() -> None:
    node = FLEET["nodes"][0] | {"config": "c1", "flags": ["trace=on", "audit=\x1b[1moff"]}
    said = FLEET | {"nodes": [node], "automatic": "gateway\n1.8.0", "held": ["d" * 64]}
    fleet = parse_fleet(raw(said), "gateway", "production")
    assert (fleet.nodes[0].config, fleet.nodes[0].flags) == ("c1", ("audit=\ufffd[1moff", "trace=on"))
    assert (fleet.automatic, fleet.held) == ("gateway 1.8.0", ("d" * 64,))


@pytest.mark.parametrize(
    ("path", "new", "where"),
    [
        ("service", "other", "$.service"),
        ("environment", "staging", "$.environment"),
        ("nodes.1.name", "n1", "$.nodes"),
        ("nodes.0.name", "", "$.nodes[0].name"),
        ("nodes.0.healthy", "yes", "$.nodes[0].healthy"),
        ("nodes", None, "$.nodes"),
        ("nodes.0.flags", "a=b", "$.nodes[0].flags"),
        ("nodes.0.config", 7, "$.nodes[0].config"),
        ("held", [7], "$.held[0]"),
        ("active.state", "stuck", "$.active.state"),
        ("active.kind", "restart", "$.active.kind"),
        ("active.service", "other", "$.active.service"),
        ("active.steps.0.state", "lost", "$.active.steps[0].state"),
        ("active.finished_at_us", -5, "$.active.finished_at_us"),
    ],
)
def test_mistakes_in_a_fleet_name_their_place(path: str, new: Any, where: str) -> None:
    with pytest.raises(BadPayload) as caught:
        parse_fleet(changed(FLEET, path, new), "gateway", "production")
    assert where in caught.value.message


def test_deployments_and_artifacts_of_others_are_refused() -> None:
    assert parse_deployments(raw({"deployments": [STARTED]}), "gateway", "production")[0].kind == "rollback"
    with pytest.raises(BadPayload):
        parse_deployments(raw({"deployments": [STARTED]}), "gateway", "staging")
    artifact = {"service": "gateway", "version": "1", "commit": "c", "digest": "d", "built_at_us": 1}
    assert parse_artifacts(raw({"artifacts": [artifact]}), "gateway")[0].digest == "d"
    for bad in ({"service": "x"}, {"digest": ""}):
        with pytest.raises(BadPayload):
            parse_artifacts(raw({"artifacts": [artifact | bad]}), "gateway")


@pytest.mark.parametrize("change", [{"key": "k-2"}, {"service": "x"}, {"environment": "x"}, {"digest": "x"}, {"kind": "deploy"}])
def test_the_answer_to_a_deploy_is_the_deployment_asked_for(change: dict[str, str]) -> None:
    assert parse_started(raw(STARTED), REQUEST, "k-1").id == "d-1"
    with pytest.raises(BadPayload):
        parse_started(raw(STARTED | change), REQUEST, "k-1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*RUN, *STARTED, *FLEET, "runs", "deployments", "name", "mode", "weights", "offers"]), inner)
    ),
    max_leaves=20,
)
PATHS = st.sampled_from(
    ["state", "suites", "suites.0.tests", "suites.0.tests.0.message", "id", "steps", "steps.0", "nodes.0", "active", "key", "digest"]
)


def only_bad_payload(body: bytes) -> None:
    for parse in (
        lambda b: parse_runs(b, "gateway"),
        lambda b: parse_run(b, "run-1"),
        parse_ci_health,
        lambda b: parse_fleet(b, "gateway", "production"),
        lambda b: parse_artifacts(b, "gateway"),
        lambda b: parse_deployments(b, "gateway", "production"),
        lambda b: parse_deployment(b, "d-1", "k-1"),
        lambda b: parse_started(b, REQUEST, "k-1"),
        parse_health,
        parse_mode,
        parse_weights,
    ):
        with contextlib.suppress(BadPayload):
            parse(body)


@given(JSON.map(raw) | st.binary(max_size=200))
@settings(max_examples=80, deadline=None)
def test_anything_else_is_bad_payload(body: bytes) -> None:
    only_bad_payload(body)


@given(PATHS, JSON, st.sampled_from([RUN, STARTED, FLEET]))
@settings(max_examples=100, deadline=None)
def test_one_wrong_value_is_bad_payload_or_fine(path: str, new: Any, value: dict[str, Any]) -> None:
    try:
        body = changed(value, path, new)
    except (KeyError, IndexError):
        return
    only_bad_payload(body)
    only_bad_payload(raw({"runs": [msgspec.json.decode(body)], "deployments": [msgspec.json.decode(body)]}))


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"runs":' * 50_000, b'{"id":"\\ud800"}', b"\xff\xfe", b'{"id":1e999}'])
def test_hostile_json(body: bytes) -> None:
    only_bad_payload(body)


# over the wire


@pytest.fixture
def ci(server: Any) -> Any:
    made = OpenCi(HttpClient(server.url, name="CI", limits=Limits(retries=0)))
    yield made
    made.close()


@pytest.fixture
def deployer(server: Any) -> Any:
    made = OpenDeployment(HttpClient(server.url, name="Deployer", limits=Limits(retries=0)))
    yield made
    made.close()


def test_ci_over_the_wire(server: Any, ci: OpenCi) -> None:
    server.script = [
        server.answer(200, raw({"runs": [RUN]}), ETag='"1"'),
        server.answer(304),
        server.answer(200, raw(RUN)),
        server.answer(200, b"log\x1b[0m \xff", "text/plain"),
        server.answer(201, raw(RUN | {"id": "run-2"})),
        server.answer(200, raw(RUN)),
        server.answer(200, raw({"name": "CI", "version": "1", "identity": "you"})),
    ]
    assert ci.runs("gateway", 7) is not None
    assert ci.runs("gateway", 7)[0].id == "run-1"
    assert ci.run("run-1").id == "run-1"
    assert ci.log("run-1", "unit") == "log\ufffd[0m \ufffd"
    assert ci.rerun("run-1", "key-9").id == "run-2"
    assert ci.stop("run-1").id == "run-1"
    assert ci.probe().identity == "you"
    assert [(r.method, r.path) for r in server.requests] == [
        ("GET", "/v1/services/gateway/runs?limit=7"),
        ("GET", "/v1/services/gateway/runs?limit=7"),
        ("GET", "/v1/runs/run-1"),
        ("GET", "/v1/runs/run-1/suites/unit/log"),
        ("POST", "/v1/runs/run-1/rerun"),
        ("POST", "/v1/runs/run-1/stop"),
        ("GET", "/v1/health"),
    ]
    assert server.requests[4].headers["idempotency-key"] == "key-9"


def test_deployer_over_the_wire(server: Any, deployer: OpenDeployment) -> None:
    server.script = [
        server.answer(201, raw(STARTED)),
        server.answer(404, b'{"title":"Unknown key"}'),
        server.answer(200, raw(STARTED)),
        server.answer(200, raw(STARTED)),
        server.answer(200, raw(STARTED | {"state": "aborted"})),
        server.answer(200, raw(FLEET)),
    ]
    assert deployer.deploy(REQUEST, "k-1").id == "d-1"
    assert deployer.find("k-1") is None
    found = deployer.find("k-1")
    assert found is not None
    assert found.id == "d-1"
    assert deployer.deployment("d-1").key == "k-1"
    assert deployer.abort("d-1").state is DeployState.ABORTED
    assert deployer.fleet("gateway", "production").agreement == (1, 2)
    first = server.requests[0]
    assert (first.method, first.path, first.headers["idempotency-key"]) == ("POST", "/v1/deployments", "k-1")
    # strict systems that do not know `nodes` refuse what they do not know
    assert msgspec.json.decode(first.body) == {name: v for name, v in msgspec.to_builtins(REQUEST).items() if name != "nodes"}
    assert [r.path for r in server.requests[1:5]] == ["/v1/deployments/by-key/k-1"] * 2 + [
        "/v1/deployments/d-1",
        "/v1/deployments/d-1/abort",
    ]


SOME = msgspec.structs.replace(REQUEST, nodes=("n1",))
HEALTH: dict[str, Any] = {"name": "Deployer", "version": "1", "identity": ""}


@pytest.mark.parametrize("health", [HEALTH, HEALTH | {"offers": []}, HEALTH | {"offers": ["holds"]}])
def test_some_nodes_are_never_asked_of_a_system_that_would_change_them_all(
    server: Any, deployer: OpenDeployment, health: dict[str, Any]
) -> None:
    server.script = [server.answer(200, raw(health))]
    with pytest.raises(NotFound) as caught:
        deployer.deploy(SOME, "k-1")
    assert (caught.value.title, bool(caught.value.hint)) == ("Not offered", True)
    assert [r.method for r in server.requests] == ["GET"]


def test_some_nodes(server: Any, deployer: OpenDeployment) -> None:
    health = server.answer(200, raw(HEALTH | {"offers": ["nodes"]}))
    other = STARTED | {"steps": [{"node": "n1", "state": "pending"}, {"node": "n2", "state": "pending"}]}
    server.script = [health, server.answer(201, raw(STARTED)), health, server.answer(201, raw(other)), health]
    assert [s.node for s in deployer.deploy(SOME, "k-1").steps] == ["n1"]
    assert msgspec.json.decode(server.requests[1].body)["nodes"] == ["n1"]
    with pytest.raises(OutcomeUnknown):
        deployer.deploy(SOME, "k-1")
    assert deployer.probe().reached == "Deployer 1"


OPTIONAL: list[tuple[str, str, Any]] = [
    ("PUT", "holds/d", lambda d: d.hold("gateway", "production", "d", True, "p99")),
    ("GET", "mode", lambda d: d.mode("gateway", "production")),
    ("PUT", "mode", lambda d: d.set_mode("gateway", "production", "open")),
    ("GET", "weights", lambda d: d.weights("gateway", "production")),
    ("PUT", "weights", lambda d: d.set_weights("gateway", "production", {"n1": 10})),
]


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(("method", "path", "ask"), OPTIONAL)
def test_what_is_not_offered_says_so(server: Any, deployer: OpenDeployment, method: str, path: str, ask: Any, status: int) -> None:
    server.script = [server.answer(status, b'{"title":"Unknown path"}')]
    with pytest.raises(NotFound) as caught:
        ask(deployer)
    assert (caught.value.title, bool(caught.value.hint)) == ("Not offered", True)
    assert "Unknown path" in caught.value.message
    assert [(r.method, r.path) for r in server.requests] == [(method, f"/v1/environments/production/services/gateway/{path}")]


@pytest.mark.parametrize(("status", "kind"), [(409, Rejected), (422, Rejected), (500, OutcomeUnknown)])
@pytest.mark.parametrize(("method", "path", "ask"), [case for case in OPTIONAL if case[0] == "PUT"])
def test_optional_writes_are_sent_once(
    server: Any, deployer: OpenDeployment, method: str, path: str, ask: Any, status: int, kind: type[ConnectorError]
) -> None:
    server.script = [server.answer(status, b"")]
    with pytest.raises(kind):
        ask(deployer)
    assert len(server.requests) == 1


def test_optional_parts_over_the_wire(server: Any, deployer: OpenDeployment) -> None:
    server.script = [
        server.answer(200, raw(FLEET | {"held": ["d"]})),
        server.answer(200, raw({"mode": "mixed"})),
        server.answer(200, raw({"mode": "open"})),
        server.answer(200, raw({"weights": {"n1": 10, "n2": 90}}), ETag='"1"'),
        server.answer(304),
        server.answer(200, raw({"weights": {"n1": 20, "n2": 80}})),
    ]
    assert deployer.hold("gateway", "production", "d", True, "p99").held == ("d",)
    assert deployer.mode("gateway", "production") == "mixed"
    assert deployer.set_mode("gateway", "production", "open") == "open"
    deployer.weights("gateway", "production")["n1"] = 99
    assert deployer.weights("gateway", "production") == {"n1": 10, "n2": 90}
    assert deployer.set_weights("gateway", "production", {"n1": 20}) == {"n1": 20, "n2": 80}
    sent = [msgspec.json.decode(r.body) for r in server.requests if r.method == "PUT"]
    assert sent == [{"held": True, "reason": "p99"}, {"mode": "open"}, {"weights": {"n1": 20}}]


@pytest.mark.parametrize("weights", [{"n1": 101}, {"n1": -1}, {"": 1}, {"n1": "5"}, [], None])
def test_shares_that_cannot_be(weights: Any) -> None:
    with pytest.raises(BadPayload):
        parse_weights(raw({"weights": weights}))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (201, raw(STARTED | {"digest": "another"}), OutcomeUnknown),
        (201, b"{}", OutcomeUnknown),
        (409, b'{"title":"Busy"}', Rejected),
        (422, b"", Rejected),
        (500, b"", OutcomeUnknown),
        (404, b"", NotFound),
    ],
)
def test_a_deploy_is_sent_once(server: Any, deployer: OpenDeployment, status: int, body: bytes, kind: type[ConnectorError]) -> None:
    server.script = [server.answer(status, body)]
    with pytest.raises(kind):
        deployer.deploy(REQUEST, "k-1")
    assert len(server.requests) == 1


def test_names_are_quoted_and_never_a_way_out(server: Any, ci: OpenCi) -> None:
    server.script = [server.answer(200, raw({"runs": []}))]
    assert ci.runs("../../admin?x=1#y") == ()
    assert server.requests[0].path == "/v1/services/..%2F..%2Fadmin%3Fx%3D1%23y/runs?limit=50"
    with pytest.raises(NotFound):
        ci.runs("..")
    assert len(server.requests) == 1
