"""What hosts say, read: only BadPayload comes out of what makes no sense."""

from __future__ import annotations

import json
import sys
import xmlrpc.client
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.connectors.rolling import PATIENCE_S, Part, Record, combine, forsaken, next_node
from cockpit.connectors.supervisor_wire import Fault, call_of, parse_answer, parse_found, parse_info, parse_status, record_of
from cockpit.domain.errors import BadPayload
from cockpit.domain.release import DeployState

EXTENSION = Path(__file__).resolve().parents[2] / "resources" / "supervisor"
RECORD = Record("key", "gateway", "production", "1.1.0", "d1", "deploy", ("a", "b", "c"), 5, reason="because – \U0001f600 \x07")
BOMB = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><methodResponse>&b;</methodResponse>'


def answer(value: object) -> bytes:
    return xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>login</body></html>",
        BOMB.encode(),
        BOMB.encode("utf-16"),
        b'<?xml version="1.0" encoding="cp037"?>' + BOMB.encode("cp037"),
        answer(7),
        answer(["a"]),
        b"<methodResponse><params><param><value><int>" + b"9" * 5000 + b"</int></value></param></params></methodResponse>",
        b"<methodResponse><params><param><value><nope>1</nope></value></param></params></methodResponse>",
        b"<methodResponse>" + b"<value><array><data>" * 2000,
        b"<methodResponse><fault><value><string>x</string></value></fault></methodResponse>",
    ],
)
def test_no_answer_of_ours(body: bytes) -> None:
    with pytest.raises(BadPayload):
        parse_answer(body)


def test_an_answer_and_a_fault() -> None:
    assert parse_answer(answer("words – \u202e")) == "words – \u202e"
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(10, "BAD_NAME:\n x"), methodresponse=True).encode()
    assert parse_answer(fault) == Fault(10, "BAD_NAME: x")


@given(st.binary() | st.text().map(str.encode) | st.text(alphabet="<>/&;!?[]methodResponseparamsvaluestring int").map(str.encode))
def test_only_bad_payload_comes_out(body: bytes) -> None:
    for parse in (parse_answer, parse_found, parse_info, lambda b: parse_status(b, "gateway")):
        with suppress(BadPayload):
            parse(body)  # type: ignore[operator]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["service", "now_us", "agent", "releases", "current", "healthy", "deployments", "deployment"]), JSON)
)
def test_json_of_another_shape(value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    for parse in (parse_found, parse_info, lambda b: parse_status(b, "gateway")):
        with suppress(BadPayload):
            parse(body)  # type: ignore[operator]


def test_a_record_survives_the_way_there_and_back() -> None:
    text = record_of(RECORD, mine=True)
    assert text.isascii()
    sent, method = xmlrpc.client.loads(call_of("release.begin", text))
    assert method == "release.begin"
    found = parse_found(json.dumps({"now_us": 9_000_000, "deployment": {"record": json.loads(str(sent[0])), "go": True}}).encode())
    assert found is not None
    assert (found.record.key, found.record.nodes, found.go) == ("key", ("a", "b", "c"), True)
    assert "\x07" not in found.record.reason


@pytest.mark.parametrize(
    ("states", "expected", "turn"),
    [
        (("pending", "pending", "pending"), DeployState.RUNNING, "a"),
        (("done", "pending", "pending"), DeployState.RUNNING, "b"),
        (("done", "go", "pending"), DeployState.RUNNING, ""),
        (("done", "failed", "pending"), DeployState.FAILED, ""),
        (("done", "done", "done"), DeployState.SUCCEEDED, ""),
        (("done", "aborted", "pending"), DeployState.ABORTED, ""),
        (("go", "aborted", "pending"), DeployState.RUNNING, ""),
        (("done", "closed", "pending"), DeployState.ABORTED, "b"),
        ((None, "pending", "pending"), DeployState.RUNNING, ""),
        (("done", None, "pending"), DeployState.RUNNING, ""),
    ],
)
def test_the_pieces_together(states: tuple[str | None, ...], expected: DeployState, turn: str) -> None:
    parts = {}
    for name, state in zip("abc", states, strict=True):
        if state is not None:
            word = {"go": "checking", "aborted": "pending", "closed": "pending"}.get(state, state)
            turned = state not in ("pending", "aborted", "closed")
            parts[name] = Part(RECORD, word, go=turned, aborted=state == "aborted", closed=state == "closed", moved_at_us=9)
    found = combine(parts)
    assert found.state is expected
    assert next_node(parts) == turn
    assert bool(found.finished_at_us) is expected.final
    assert [step.node for step in found.steps] == ["a", "b", "c"]


def test_what_nobody_carried_on_is_forsaken() -> None:
    late = Part(RECORD, idle_s=PATIENCE_S + 1)
    assert forsaken({"a": late, "b": late})
    assert not forsaken({"a": late, "b": Part(RECORD, idle_s=1.0)})
    assert not forsaken({"a": Part(RECORD, "checking", go=True, idle_s=PATIENCE_S + 1)})


def test_the_digest_of_a_release_is_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXTENSION))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import release_agent  # type: ignore[import-not-found]

    first, second = tmp_path / "1", tmp_path / "2"
    for place in (first, second):
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "run").write_text("words")
        (place / "link").symlink_to("bin/run")
    digest = release_agent.digest_of(str(first))
    assert release_agent.digest_of(str(second)) == digest
    (first / "__pycache__").mkdir()
    (first / "__pycache__" / "x.pyc").write_text("comes with running")
    assert release_agent.digest_of(str(first)) == digest
    seen = set()
    for change in (
        lambda: (second / "bin" / "run").chmod(0o755),
        lambda: (second / "bin" / "run").write_text("other"),
        (second / "link").unlink,
        lambda: (second / "bin" / "run").rename(second / "bin" / "ran"),
    ):
        change()
        seen.add(release_agent.digest_of(str(second)))
    assert len(seen | {digest}) == 5
    release_agent.switch(str(tmp_path / "current"), str(first))
    release_agent.switch(str(tmp_path / "current"), str(second))
    assert (tmp_path / "current").resolve() == second


def test_a_release_that_vanishes_while_it_is_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXTENSION))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("SUPERVISOR_SERVER_URL", "http://127.0.0.1:9")
    import release_agent

    for name in ("1", "2"):
        (tmp_path / "releases" / name).mkdir(parents=True)
        (tmp_path / "releases" / name / "run").write_text(name)
    whole = release_agent.digest_of

    def removed_meanwhile(folder: str) -> str:
        if folder.endswith("2"):
            (Path(folder) / "run").unlink()
            raise FileNotFoundError(2, "No such file or directory", f"{folder}/run")
        return str(whole(folder))

    monkeypatch.setattr(release_agent, "digest_of", removed_meanwhile)
    (tmp_path / "deployments").mkdir()
    settings = {"services": "gateway", "releases": str(tmp_path / "releases"), "current": str(tmp_path / "current")}
    release_agent.write_json(str(tmp_path / "settings.json"), settings)
    release_agent.Agent(str(tmp_path)).turn()
    seen = release_agent.read_json(str(tmp_path / "seen.json"))
    assert [r["name"] for r in seen["gateway"]["releases"]] == ["1"]
