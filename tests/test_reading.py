"""Reads in a process of their own: whole answers, only what changed, errors as they were, and its end at any moment."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cockpit.domain.checks import CheckRun, CheckState
from cockpit.domain.errors import AuthFailed, BadPayload, NotAllowed, NotFound, RateLimited, Unreachable
from cockpit.domain.metrics import Histogram, Reading
from cockpit.domain.release import Artifact, Changes, Fleet, Node
from cockpit.reading import Reader, Server
from cockpit.reading_wire import HELD, Answer, Call, Patch, Same, difference, hold, pays, receive, restore


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


def test_only_what_pays_is_held() -> None:
    reading = Reading("n1", "gw", "production", 1, {"op": Histogram((1.0,), (1.0,))})
    assert pays(runs("passed"))
    assert pays(Fleet("gw", "production", ()))
    assert pays((Artifact("gw", "1.0", "c", "d"),))
    assert not any(pays(value) for value in ((reading,), Changes("a", "b", (), (), 0, 0), (), "fingerprint", None))
    held: dict[tuple[Any, ...], tuple[int, Any]] = {}
    for n in range(HELD + 5):
        hold(held, (n,), n + 1, runs("passed"))
        hold(held, ("often",), n + 1, runs("passed"))
    assert len(held) == HELD
    assert ("often",) in held
    assert (0,) not in held
    hold(held, ("often",), 1, ())
    assert ("often",) not in held


class Given:
    """A connector that answers what it is told to."""

    def read(self, nodes: tuple[str, ...]) -> tuple[Reading, ...]:
        return tuple(Reading(n, "gw", "production", time.time_ns(), {}) for n in nodes)

    def runs(self, state: str) -> tuple[CheckRun, ...]:
        return runs(state)

    def strange(self) -> object:
        return threading.Lock()


def served(server: Server, target: io.BytesIO, call: Call) -> Answer:
    at = target.tell()
    server._answer(call)
    target.seek(at)
    answer: Answer = receive(target)
    return answer


def test_scrapes_pile_up_on_neither_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cockpit.reading_wire.HELD", 3)
    target = io.BytesIO()
    server = Server(io.BytesIO(), target)
    server._connectors["m"] = Given()
    for n in range(20):
        assert served(server, target, Call(n, "m", "read", ((f"n{n}",),), 0)).value[0].node == f"n{n}"
    assert server._sent == {}
    first = served(server, target, Call(1, "m", "runs", ("passed",), 0))
    for state in ("failed", "running", "queued", "stopped"):
        served(server, target, Call(2, "m", "runs", (state,), 0))
    assert len(server._sent) == 3
    served(server, target, Call(3, "m", "runs", ("passed",), 0))
    again = served(server, target, Call(4, "m", "runs", ("passed",), first.serial))
    assert (again.base, again.value) == (0, runs("passed")), "what was forgotten in between is no base any more"


def test_an_answer_that_cannot_cross_is_an_error_and_no_silence() -> None:
    target = io.BytesIO()
    server = Server(io.BytesIO(), target)
    server._connectors["m"] = Given()
    assert isinstance(served(server, target, Call(1, "m", "strange", (), 0)).error, RuntimeError)


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


def process_of(reader: Reader) -> Any:
    assert reader._process is not None
    return reader._process


def asking(ask: Callable[[], Any], answers: list[Any]) -> threading.Thread:
    def work() -> None:
        try:
            answers.append(ask())
        except Unreachable as error:
            answers.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


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
    process = process_of(reader)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    [again] = remote.runs("gw")
    assert again.id == "r1"


def waiting(reader: Reader, ci: Ci, eventually: Callable[..., Any]) -> tuple[Any, threading.Thread, list[BaseException]]:
    """A question under way to a system that does not answer: the connector, the thread that waits, and what it was told."""
    remote, errors = add(reader, ci), list[BaseException]()
    remote.runs("gw")
    ci.gate.clear()

    def ask() -> None:
        try:
            remote.runs("gw")
        except Unreachable as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: len(ci.seen) >= 2)
    return remote, asking, errors


def test_killed_while_a_question_waits_is_unreachable_not_a_hang(reader: Reader, ci: Ci, eventually: Callable[..., Any]) -> None:
    _, asking, errors = waiting(reader, ci, eventually)
    process = process_of(reader)
    process.kill()
    asking.join(30)
    assert [type(e) for e in errors] == [Unreachable]


def test_closing_waits_for_nobody_who_hangs(reader: Reader, ci: Ci, eventually: Callable[..., Any]) -> None:
    remote, asking, errors = waiting(reader, ci, eventually)
    reader.close()
    asking.join(30)
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
        thread.join(30)
    assert len(answers) == 20


def test_a_stopped_process_is_ended_and_started_again(reader: Reader, ci: Ci) -> None:
    remote = add(reader, ci)
    remote.runs("gw")
    process, answers = process_of(reader), list[Any]()
    os.kill(process.pid, signal.SIGSTOP)
    beside = asking(lambda: remote.runs("other"), answers)
    reader._answer_s = 0.3
    with pytest.raises(Unreachable) as caught:
        remote.runs("gw")
    assert caught.value.title == "No answer"
    assert caught.value.message
    assert caught.value.hint
    beside.join(30)
    assert isinstance(answers[0], Unreachable), "those who asked the same process do not wait on"
    reader._answer_s = 45.0
    assert remote.runs("gw")[0].id == "r1"
    assert process.poll() is not None


def test_a_stopped_process_that_takes_nothing_in_holds_nobody_up(reader: Reader, ci: Ci) -> None:
    remote = add(reader, ci)
    remote.runs("gw")
    os.kill(process_of(reader).pid, signal.SIGSTOP)
    reader._answer_s = 0.3
    with pytest.raises(Unreachable):
        remote.runs("x" * 1_000_000)


def test_the_time_a_person_takes_for_a_password_is_no_silence(ci: Ci) -> None:
    gate = threading.Event()

    def secret(source: str) -> str:
        assert source == "ci" or gate.wait(10)
        return "token"

    reader = Reader(secret)
    add(reader, ci).runs("gw")
    process = process_of(reader)
    slow = reader.add("slow", "ci-v1", {"url": f"http://127.0.0.1:{ci.server_address[1]}"})
    reader._answer_s = 0.5
    opening = threading.Timer(1.2, gate.set)
    opening.start()
    assert slow.runs("gw")[0].id == "r1"
    assert process_of(reader) is process
    opening.join()
    reader.close()


@pytest.mark.logs("cannot be understood")
@pytest.mark.parametrize("strange", ["unknown number", "no message"])
def test_a_process_that_talks_nonsense_is_ended(
    reader: Reader, ci: Ci, strange: str, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    remote = add(reader, ci)
    remote.runs("gw")
    ci.gate.clear()
    answers = list[Any]()
    thread = asking(lambda: remote.runs("gw"), answers)
    eventually(lambda: len(ci.seen) >= 2)
    life = reader._life
    assert life is not None
    if strange == "unknown number":
        life.tell(Call(10_000, "nobody", "runs", ("gw",), 0))
    else:

        def broken(stream: Any) -> Any:
            raise pickle.UnpicklingError("no pickle")

        monkeypatch.setattr("cockpit.reading.receive", broken)
        # the listener is in the true `receive` already: this answer still comes, and what is read after it is broken
        with pytest.raises(Unreachable, match="removed"):
            reader.call("nobody", "runs", ("gw",))
    thread.join(30)
    monkeypatch.undo()
    assert isinstance(answers[0], Unreachable)
    ci.gate.set()
    assert remote.runs("gw")[0].id == "r1"
    assert reader._life is not life


def test_a_connector_added_again_with_other_options_is_the_one_asked(reader: Reader, ci: Ci) -> None:
    gone = reader.add("ci", "ci-v1", {"url": "http://127.0.0.1:9"})
    with pytest.raises(Unreachable):
        gone.runs("gw")
    process = process_of(reader)
    assert add(reader, ci).runs("gw")[0].id == "r1"
    assert process_of(reader) is process


def test_a_connection_that_was_removed_is_ended_over_there(reader: Reader, ci: Ci, eventually: Callable[..., Any]) -> None:
    """What asks its systems without being asked would go on for as long as the window is open."""
    address = f"http://127.0.0.1:{ci.server_address[1]}"
    probe = reader.add("probe", "http-probe", {"paths": "/v1/services/gw/runs", "rate": "50"})
    node = Node("n1", "gw", "prod", "1.0", "c", "d", True, address)
    eventually(lambda: probe.read((node,)) and len(ci.seen) > 5)
    reader.keep(["ci"])
    with pytest.raises(Unreachable, match="removed"):
        probe.read((node,))
    ended_at, remote = len(ci.seen), add(reader, ci)
    for _ in range(30):
        remote.runs("gw")
    assert len(ci.seen) <= ended_at + 31, "its own thirty, and one that was on its way"


def test_a_connection_with_another_token_is_made_anew(reader: Reader, ci: Ci) -> None:
    tokens = iter(("old", "new"))
    reader._secret = lambda source: next(tokens)
    add(reader, ci).runs("gw")
    reader.forget("ci")
    add(reader, ci).runs("gw")
    assert ci.seen == ["Bearer old", "Bearer new"]
