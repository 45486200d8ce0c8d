"""Tests and deployments by commands: real programs that fail, hang, lie, and work, and the contract of both ports."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from cockpit.connectors.commands import CI_COMMANDS, DEPLOY_COMMANDS, CommandCi, CommandDeploy
from cockpit.connectors.ports import CiSystem, DeploymentApi, DeployRequest
from cockpit.connectors.registry import create
from cockpit.contract.ci import CiContract, CiWorld
from cockpit.contract.deployment import DeploymentContract, DeploymentWorld
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, ConnectorError, NotFound, OutcomeUnknown, Rejected, Unreachable

Eventually = Callable[..., Any]
REQUEST = DeployRequest("gateway", "production", "1.1.0", "d" * 64, "deploy", "you@playground.invalid", "-rf /; free text")
US = 1_790_000_000_000_000

# both systems in one file: their state is JSON, `mode` says how it fails, `asked` is what the last command was given
SYSTEM = """import json, os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
what, words = sys.argv[2], dict(zip(sys.argv[3::2], sys.argv[4::2]))
mode = (folder / "mode").read_text() if (folder / "mode").exists() else ""
state = json.loads((folder / "state").read_text())
(folder / "asked").write_text(json.dumps([sys.argv[2:], sys.stdin.read()]))
now = time.time_ns() // 1000

def stop(status, **words):
    print(json.dumps(words))
    sys.exit(status)

def answer(value, changed=False):
    if changed:
        half = folder / f"state.{os.getpid()}"
        half.write_text(json.dumps(state))
        half.rename(folder / "state")
        if mode == "lose":
            sys.exit("the line went dead")
    print(json.dumps(value))
    sys.exit()

def one(things, **wanted):
    for thing in things:
        if all(thing[name] == value for name, value in wanted.items()):
            return thing
    stop(3, title="Not there", message=f"there is no {wanted}", hint="Look again.")

if mode == "hang":
    signal.pause()
elif mode == "cut":
    sys.exit("no route to the system")
elif mode == "forbid":
    stop(4, message="your key is not known here", hint="Ask for one.")
if what == "runs":
    if words["service"] not in state["services"]:
        stop(3, message="no such service")
    answer({"runs": [r for r in state["runs"] if r["service"] == words["service"]][: int(words["limit"])]})
if what == "run":
    answer(one(state["runs"], id=words["run"]))
if what == "log":
    run = one(state["runs"], id=words["run"])
    one(run["suites"], name=words["suite"])
    print("the order was not filled")
    sys.exit()
if what == "rerun":
    old = one(state["runs"], id=words["run"])
    known = [r for r in state["runs"] if r.get("key") == words["key"]]
    if known:
        answer(known[0])
    suites = [{"name": "unit", "state": "running"}]
    new = old | {"id": str(len(state["runs"]) + 1), "key": words["key"], "state": "running", "suites": suites}
    new |= {"started_at_us": now, "finished_at_us": 0}
    state["runs"].insert(0, new)
    answer(new, True)
if what == "stop":
    run = one(state["runs"], id=words["run"])
    if run["state"] == "running":
        run.update(state="inconclusive", finished_at_us=now)
    answer(run, True)
if what in ("fleet", "history") and (words["service"], words["environment"]) != ("gateway", "production"):
    stop(3, message="no such place")
if what == "fleet":
    nodes = [{"name": name, "digest": digest, "healthy": True} for name, digest in state["nodes"].items()]
    answer({"service": "gateway", "environment": "production", "nodes": nodes})
if what == "artifacts":
    answer({"artifacts": state["artifacts"]})
if what == "history":
    answer({"deployments": state["deployments"][: int(words["limit"])]})
if what == "deploy":
    asked = json.loads(json.loads((folder / "asked").read_text())[1])
    if words["digest"] not in [a["digest"] for a in state["artifacts"]]:
        stop(2, title="Unknown artifact", message="nothing with that digest was built", hint="Build it first.")
    names = [n for n in words.get("nodes", "").split(",") if n] or list(state["nodes"])
    new = {name: asked[name] for name in ("key", "service", "environment", "version", "digest", "kind", "requested_by", "reason")}
    steps = [{"node": n, "state": "done", "digest": words["digest"]} for n in names]
    new |= {"id": str(len(state["deployments"]) + 1), "state": "succeeded", "started_at_us": now, "finished_at_us": now, "steps": steps}
    new["from_digest"] = next(iter(state["nodes"].values()))
    state["nodes"].update({n: words["digest"] for n in names})
    state["deployments"].insert(0, new)
    answer(new, True)
if what == "find":
    answer(one(state["deployments"], key=words["key"]))
if what in ("deployment", "abort"):
    answer(one(state["deployments"], id=words["deployment"]))
"""
RUNS = [
    {
        "id": str(number),
        "service": "gateway",
        "version": f"1.{number}.0",
        "commit": str(number) * 40,
        "state": "failed" if number == 2 else "passed",
        "suites": [
            {
                "name": "unit",
                "state": "failed" if number == 2 else "passed",
                "total": 1,
                "passed": int(number != 2),
                "failed": int(number == 2),
                "tests": [{"name": "test_fills", "outcome": "failed" if number == 2 else "passed"}],
            }
        ],
        "started_at_us": US + number * 1_000_000,
        "finished_at_us": US + number * 1_000_000 + 500_000,
        "url": "javascript:alert(1)",
    }
    for number in (3, 2, 1)
]
ARTIFACTS = [
    {"service": "gateway", "version": f"1.{n}.0", "commit": str(n) * 40, "digest": c * 64, "built_at_us": US + n}
    for n, c in ((1, "d"), (0, "c"))
]


def options(folder: Path, known: dict[str, tuple[str, ...]], timeout_s: str = "20") -> dict[str, str]:
    program = folder / "system.py"
    program.write_text(SYSTEM)
    state = {
        "services": ["gateway", "empty"],
        "runs": RUNS,
        "artifacts": ARTIFACTS,
        "deployments": [],
        "nodes": {"a": "c" * 64, "b": "c" * 64},
    }
    (folder / "state").write_text(json.dumps(state))
    found = {"timeout_s": timeout_s}
    for name, places in known.items():
        words = [word for place in places if place != "nodes" for word in (place, f"{{{place}}}")]
        found[name] = shlex.join([sys.executable, "-I", "-S", str(program), str(folder), name.removesuffix("_command"), *words])
    return found


def code(folder: Path, text: str) -> str:
    path = folder / f"program-{abs(hash(text))}.py"
    path.write_text(text)
    return shlex.join([sys.executable, "-I", "-S", str(path)])


class _Hooks:
    def __init__(self, folder: Path) -> None:
        self._mode = folder / "mode"

    def __getattr__(self, name: str) -> Callable[[], object]:
        return lambda: self._mode.write_text("" if name == "heal" else name)


class TestCi(CiContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[CiWorld]:
        hooks = _Hooks(tmp_path)
        connector = CommandCi(options(tmp_path, CI_COMMANDS, "2"))
        yield CiWorld(
            connector=connector,
            deadline_s=8,
            shared=True,
            service="gateway",
            run_ids=("3", "2", "1"),
            commits={r["id"]: r["commit"] for r in RUNS},
            moments={r["id"]: (r["started_at_us"], r["finished_at_us"]) for r in RUNS},
            failed=("2", "unit", "test_fills"),
            log=("2", "unit", "the order was not filled"),
            empty="empty",
            unknown_service="no-such-service",
            again="3",
            forbid=hooks.forbid,
            cut=hooks.cut,
            hang=hooks.hang,
            lose=hooks.lose,
            heal=hooks.heal,
        )
        connector.close()


class TestDeployment(DeploymentContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[DeploymentWorld]:
        hooks = _Hooks(tmp_path)
        connector = CommandDeploy(options(tmp_path, DEPLOY_COMMANDS, "2"))
        yield DeploymentWorld(
            connector=connector,
            deadline_s=8,
            shared=True,
            service="gateway",
            environment="production",
            nodes=("a", "b"),
            artifacts=tuple(a["digest"] for a in ARTIFACTS),
            forbid=hooks.forbid,
            cut=hooks.cut,
            hang=hooks.hang,
            lose=hooks.lose,
            heal=hooks.heal,
        )
        connector.close()


# -- settings --


@pytest.mark.parametrize(
    ("known", "make", "name", "command", "words"),
    [
        (CI_COMMANDS, CommandCi, "runs_command", "x 'open", "No closing quotation"),
        (CI_COMMANDS, CommandCi, "runs_command", "x {servise}", "fills in {servise}"),
        (CI_COMMANDS, CommandCi, "run_command", "./x {run}", "absolute"),
        (CI_COMMANDS, CommandCi, "rerun_command", "x {run}", "where the key goes"),
        (CI_COMMANDS, CommandCi, "stop_command", "x", "where the run goes"),
        (DEPLOY_COMMANDS, CommandDeploy, "deploy_command", "x {digest}", "where the key goes"),
        (DEPLOY_COMMANDS, CommandDeploy, "deploy_command", "{key}", "the program itself"),
        (DEPLOY_COMMANDS, CommandDeploy, "timeout_s", "0", "timeout_s"),
    ],
)
def test_commands_that_are_none_are_refused_at_creation(
    tmp_path: Path, known: dict[str, tuple[str, ...]], make: Callable[..., object], name: str, command: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(options(tmp_path, known) | {name: command})
    assert words in caught.value.message
    assert caught.value.hint


def test_the_registry_makes_them(tmp_path: Path) -> None:
    ci = create("commands-ci", {"runs_command": "true", "run_command": "true {run}"}, str)
    assert isinstance(ci, CiSystem)
    assert ci.probe().reached == "true"
    for refused in (lambda: ci.rerun("1", "k"), lambda: ci.stop("1")):
        with pytest.raises(Rejected):
            refused()
    with pytest.raises(NotFound):
        ci.log("1", "unit")
    deploy = create(
        "commands-deploy",
        {name: "true {key}" if name == "deploy_command" else "true" for name in DEPLOY_COMMANDS if name != "abort_command"},
        str,
    )
    assert isinstance(deploy, DeploymentApi)
    with pytest.raises(Rejected):
        deploy.abort("1")


# -- failures --


@pytest.mark.parametrize("value", ["-rf", "--help", "", "a\nb", "a\0b", "a\x1bb"])
def test_names_from_outside_are_never_options(tmp_path: Path, value: str) -> None:
    ci, deploy = CommandCi(options(tmp_path, CI_COMMANDS)), CommandDeploy(options(tmp_path, DEPLOY_COMMANDS))
    for ask in (
        lambda: ci.runs(value),
        lambda: ci.run(value),
        lambda: ci.log("2", value),
        lambda: ci.rerun("2", value),
        lambda: deploy.fleet("gateway", value),
        lambda: deploy.find(value),
        lambda: deploy.deployment(value),
        lambda: deploy.deploy(msgspec.structs.replace(REQUEST, version=value), "k") if value else deploy.abort(value),
    ):
        (tmp_path / "asked").unlink(missing_ok=True)
        with pytest.raises((Rejected, NotFound)) as caught:
            ask()
        assert caught.value.hint
        asked = json.loads((tmp_path / "asked").read_text())[0] if (tmp_path / "asked").exists() else ["find"]
        assert asked[0] == "find", "nothing but the harmless question was asked"


@pytest.mark.parametrize(
    ("text", "told", "changing", "words"),
    [
        ("import sys; sys.exit('no such\x1b[1m host')", Unreachable, OutcomeUnknown, "ended with status 1: no such\ufffd[1m host"),
        ("import os; os.kill(os.getpid(), 9)", Unreachable, OutcomeUnknown, "signal 9"),
        ("import sys; print('<html>'); sys.exit(2)", Rejected, Rejected, "status 2"),
        ('import sys; print(\'{"title": "Busy", "message": "wait", "hint": "h"}\'); sys.exit(2)', Rejected, Rejected, "wait"),
        ('import sys; print(\'{"message": "who?"}\'); sys.exit(4)', AuthFailed, AuthFailed, "who?"),
        ("print('open')", BadPayload, OutcomeUnknown, "not JSON"),
        ("pass", BadPayload, OutcomeUnknown, "not JSON"),
        ("print('[' * 100000)", BadPayload, OutcomeUnknown, "interface"),
        ("print('{}')", BadPayload, OutcomeUnknown, "interface"),
        ("import sys\nwhile True: sys.stdout.write('x' * 1000000)", BadPayload, OutcomeUnknown, "more than"),
    ],
)
def test_what_goes_wrong_is_said(tmp_path: Path, text: str, told: type[ConnectorError], changing: type[ConnectorError], words: str) -> None:
    wrong = code(tmp_path, text)
    ci = CommandCi(options(tmp_path, CI_COMMANDS) | {"runs_command": wrong, "rerun_command": f"{wrong} {{run}} {{key}}"})
    deploy = CommandDeploy(options(tmp_path, DEPLOY_COMMANDS) | {"deploy_command": f"{wrong} {{key}}"})
    with pytest.raises(told) as caught:
        ci.runs("gateway")
    assert words in caught.value.message
    for change in (lambda: ci.rerun("2", "k"), lambda: deploy.deploy(REQUEST, "k")):
        with pytest.raises(changing) as changed:
            change()
        assert words in changed.value.message
        assert changed.value.hint


def test_a_deployment_that_hangs_is_killed_and_its_outcome_is_not_known(tmp_path: Path, eventually: Eventually) -> None:
    text = f"""import pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"])
pathlib.Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
signal.pause()
"""
    deploy = CommandDeploy(options(tmp_path, DEPLOY_COMMANDS, "1.5") | {"deploy_command": f"{code(tmp_path, text)} {{key}}"})
    with pytest.raises(OutcomeUnknown) as caught:
        deploy.deploy(REQUEST, "k")
    assert "did not end in time" in caught.value.message
    pid = int((tmp_path / "child").read_text())
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, message="the child is gone")
    assert deploy.find("k") is None


def test_a_program_that_is_not_there_knows_nothing_of_keys(tmp_path: Path) -> None:
    deploy = CommandDeploy(options(tmp_path, DEPLOY_COMMANDS) | {"find_command": "no-such-program {key}"})
    for ask in (deploy.probe, lambda: deploy.find("k"), lambda: deploy.deploy(REQUEST, "k")):
        with pytest.raises(NotFound) as caught:
            ask()
        assert "no-such-program" in caught.value.message


# -- the ordinary way --


def test_a_deployment_gets_its_request_as_json_and_some_nodes_only_where_it_can(tmp_path: Path) -> None:
    whole = options(tmp_path, DEPLOY_COMMANDS)
    some = msgspec.structs.replace(REQUEST, nodes=("b",))
    with pytest.raises(NotFound) as caught:
        CommandDeploy(whole).deploy(some, "k")
    assert "{nodes}" in caught.value.message
    made = CommandDeploy(whole).deploy(REQUEST, "k")
    arguments, given = json.loads((tmp_path / "asked").read_text())
    assert REQUEST.reason not in arguments
    assert json.loads(given) == {**msgspec.to_builtins(REQUEST), "key": "k", "nodes": []}
    assert (made.reason, made.requested_by) == (REQUEST.reason, REQUEST.requested_by)
    able = CommandDeploy(whole | {"deploy_command": f"{whole['deploy_command']} nodes {{nodes}}"})
    assert [step.node for step in able.deploy(some, "k2").steps] == ["b"]


def test_a_key_is_good_for_one_request_only(tmp_path: Path) -> None:
    deploy = CommandDeploy(options(tmp_path, DEPLOY_COMMANDS))
    first = deploy.deploy(REQUEST, "k")
    (tmp_path / "asked").unlink()
    assert deploy.deploy(REQUEST, "k").id == first.id
    assert json.loads((tmp_path / "asked").read_text())[0][0] == "find"
    with pytest.raises(Rejected):
        deploy.deploy(msgspec.structs.replace(REQUEST, digest="c" * 64), "k")
