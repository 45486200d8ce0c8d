"""Each request of the GitHub connector against a mock that validates it by GitHub's own specification (Prism)."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from filelock import FileLock

from cockpit.connectors.github import Github
from cockpit.connectors.github_api import Names, parse_nothing
from cockpit.connectors.http import Limits
from cockpit.connectors.ports import DeployRequest
from cockpit.domain.errors import BadPayload, NotFound, OutcomeUnknown
from cockpit.domain.gates import Gate
from cockpit.domain.release import Service, Version
from tests.fakes import monitoring
from tests.fakes.github import TOKEN
from tests.fakes.github_spec import PLACE, packaged
from tests.fakes.monitoring import Running

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]

PRISM = "@stoplight/prism-cli@5.16.0"
SHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
CALM = Limits(connect_timeout_s=5, read_timeout_s=30, deadline_s=60, retries=0)


@pytest.fixture(scope="module")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    specification = packaged("openapi") / "generated" / "api.github.com.json"
    program = _installed()
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run Prism with")
    with _free_port() as port:
        command = [node, str(program), "mock", "-h", "127.0.0.1", "-p", str(port), "--errors", "false", str(specification)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitoring, "READY_S", 180.0)  # it reads 13 MB first
        with monitoring.running(command, tmp_path_factory.mktemp("prism"), ready="/rate_limit") as server:
            yield server


def _installed() -> Path:
    place = PLACE.parent / "npm-prism"
    program = place / "node_modules" / ".bin" / "prism"
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        if not program.exists():
            npm = shutil.which("npm")
            if npm is None:
                pytest.skip("there is no npm to fetch Prism with")
            command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(place), PRISM]
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=500)
            if done.returncode != 0:
                pytest.skip(f"Prism could not be fetched: {done.stderr.strip()[-200:]}")
    return program


@contextmanager
def _free_port() -> Iterator[int]:
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def connector(prism: Running) -> Iterator[Github]:
    made = Github(prism.url, Names("acme/{service}", workflow_dispatch=""), lambda: TOKEN, limits=CALM)
    yield made
    made.close()


VERSION = Version("gateway", "1", "v1", SHA, 0)
REQUEST = DeployRequest("gateway", "production", "1", f"git:{SHA}", "deploy", "you@playground.invalid", "why")
GATE = Gate("gateway/5-161088068", "gateway", "staging", "1", "waits")


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.probe(),
        lambda c: c.versions(Service("gateway")),
        lambda c: c.changes(Service("gateway"), "v1", "v2"),
        lambda c: c.changes(Service("gateway", path="a"), "", "v2"),
        lambda c: c.fingerprint(),
        lambda c: c.reviews(Service("gateway"), (VERSION,)),
        lambda c: c.runs("gateway"),
        lambda c: c.run("gateway/5-1"),
        lambda c: c.artifacts("gateway"),
        lambda c: c.fleet("gateway", "production"),
        lambda c: c.history("gateway", "production"),
        lambda c: c.deployment("gateway/5"),
        lambda c: c.find("k"),
        lambda c: c.gates("gateway"),
    ],
)
def test_reads_are_answered_and_understood(connector: Github, ask: Callable[[Github], object]) -> None:
    ask(connector)


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.deploy(REQUEST, "k"),
        lambda c: c.abort("gateway/5"),
        # its example of a run has not ended, and is not run again by the connector
        lambda c: c._api.write("/repos/acme/gateway/actions/runs/5/rerun", None, parse_nothing),
        lambda c: c.stop("gateway/30433642-1"),
        lambda c: c.decide(GATE, True, "fine", "k"),
    ],
)
def test_writes_are_never_called_malformed(connector: Github, ask: Callable[[Github], object]) -> None:
    # its examples do not belong together, so that an answer may be of another thing; what matters is that none is called malformed
    with suppress(BadPayload, NotFound, OutcomeUnknown):
        ask(connector)


def test_the_mock_does_refuse_what_is_malformed(prism: Running) -> None:
    request = urllib.request.Request(prism.url + "/repos/a/b/tags?per_page=abc", headers={"Authorization": f"Bearer {TOKEN}"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == 422
    caught.value.close()
