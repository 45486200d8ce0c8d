"""Reads in a process of their own: whole answers, only what changed, errors as they were, and its end at any moment."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cockpit.domain.checks import CheckRun, CheckState
from cockpit.domain.errors import AuthFailed, BadPayload, NotAllowed, NotFound, RateLimited, Unreachable
from cockpit.reading import Answer, Patch, Reader, Same, difference, restore


def runs(*states: str) -> tuple[CheckRun, ...]:
    return tuple(CheckRun(f"r{n}", "gw", "1.0", "c", CheckState(state)) for n, state in enumerate(states))


def test_only_what_changed_is_sent_and_the_rest_stays_the_same_objects() -> None:
    before, after = runs("passed", "running", "passed"), runs("passed", "failed", "passed")
    sent = difference(before, after)
    assert isinstance(sent, Patch)
    assert [type(item) for item in sent.items] == [str, list, str]
    whole = restore(before, sent)
    assert whole == after
    assert whole[0] is before[0]


def test_nothing_new_is_one_word() -> None:
    same = runs("passed")
    assert isinstance(difference(same, runs("passed")), Same)
    assert restore(same, Same()) is same


@pytest.mark.parametrize(("before", "after"), [((), runs("passed")), (runs("passed"), ()), (None, 5), ("a", "b"), (runs("passed"), "text")])
def test_anything_else_is_sent_whole(before: Any, after: Any) -> None:
    assert restore(before, difference(before, after)) == after


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("slow", retry_after_s=7.5, hint="wait"),
        NotAllowed("no", reasons=("a", "b")),
        AuthFailed("who", title="Locked"),
        NotFound("x"),
    ],
)
def test_errors_cross_whole(error: Any) -> None:
    import pickle

    again = pickle.loads(pickle.dumps(Answer(1, error=error))).error
    assert type(again) is type(error)
    assert again.__dict__ == error.__dict__
    assert str(again) == str(error)


class Ci(ThreadingHTTPServer):
    """A CI system whose answer a test sets, and which may hang."""

    daemon_threads = True

    def __init__(self) -> None:
        self.status, self.seen, self.gate = 200, list[str](), threading.Event()
        self.gate.set()
        self.state = "running"
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Ci

    def do_GET(self) -> None:
        self.server.seen.append(self.headers.get("Authorization", ""))
        self.server.gate.wait(30)
        run = {"id": "r1", "service": self.path.split("/")[3], "version": "1.0", "commit": "c", "state": self.server.state, "suites": []}
        body = json.dumps({"runs": [run | {"started_at_us": 1, "finished_at_us": 0, "url": ""}]}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def ci() -> Iterator[Ci]:
    server = Ci()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader(lambda source: f"token-of-{source}")
    yield made
    made.close()


def add(reader: Reader, ci: Ci) -> Any:
    return reader.add("ci", "ci-v1", {"url": f"http://127.0.0.1:{ci.server_address[1]}"})


def test_a_connector_over_there_answers_like_one_here(reader: Reader, ci: Ci) -> None:
    remote = add(reader, ci)
    [first] = remote.runs("gw")
    [second] = remote.runs("gw")
    assert second is first, "what is the same is not decoded again"
    ci.state = "passed"
    [third] = remote.runs("gw")
    assert third.state is CheckState.PASSED
    assert set(ci.seen) == {"Bearer token-of-ci"}, "the token came over the pipe"


def test_errors_come_back_as_what_they_are(reader: Reader, ci: Ci) -> None:
    remote = add(reader, ci)
    ci.status = 401
    with pytest.raises(AuthFailed):
        remote.runs("gw")
    ci.status = 200
    ci.state = "nonsense"
    with pytest.raises(BadPayload):
        remote.runs("gw")
    with pytest.raises(RuntimeError, match="AttributeError"):
        remote.no_such_method()


def test_a_killed_process_is_started_again_and_nothing_is_lost(reader: Reader, ci: Ci) -> None:
    remote = add(reader, ci)
    remote.runs("gw")
    process = reader._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    [again] = remote.runs("gw")
    assert again.id == "r1"


def test_killed_while_a_question_waits_is_unreachable_not_a_hang(reader: Reader, ci: Ci, eventually: Callable[..., Any]) -> None:
    remote = add(reader, ci)
    remote.runs("gw")
    ci.gate.clear()
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            remote.runs("gw")
        except Unreachable as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: len(ci.seen) >= 2)
    process = reader._process
    assert process is not None
    process.kill()
    asking.join(10)
    assert [type(e) for e in errors] == [Unreachable]


def test_closing_waits_for_nobody_who_hangs(reader: Reader, ci: Ci, eventually: Callable[..., Any]) -> None:
    remote = add(reader, ci)
    remote.runs("gw")
    ci.gate.clear()
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            remote.runs("gw")
        except Unreachable as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: len(ci.seen) >= 2)
    reader.close()
    asking.join(10)
    assert len(errors) == 1
    with pytest.raises(Unreachable):
        remote.runs("gw")


def test_many_threads_may_ask_at_once(reader: Reader, ci: Ci) -> None:
    remote = add(reader, ci)
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(remote.runs(f"gw{n % 5}"))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(answers) == 20
