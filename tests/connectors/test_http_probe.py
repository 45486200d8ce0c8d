"""The prober against real small servers: what clients would have seen, at no more than its rate."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.connectors.http_probe import BOUNDS_S, HttpProbe, parse_paths
from cockpit.connectors.http_probe_request import parse_head
from cockpit.contract.metrics import MetricsContract, MetricsWorld
from cockpit.domain.errors import AuthFailed, ConfigError, Unreachable
from cockpit.domain.metrics import delta, point
from cockpit.domain.release import Node


class Served:
    """A server that notes when each request arrived. `open` cleared: it accepts and answers nobody until it is set again."""

    def __init__(self) -> None:
        self.arrived: list[tuple[float, str]] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.open = threading.Event()
        self.open.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.arrived.append((time.monotonic(), self.path))
                outer.headers.append(dict(self.headers))
                outer.open.wait(10)
                try:
                    self.send_response(outer.status)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")
                except OSError:
                    return  # the prober's time was over

            def log_message(self, *words: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = False
            request_queue_size = 64

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.open.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def served() -> Iterator[Callable[[], Served]]:
    made: list[Served] = []

    def make() -> Served:
        made.append(Served())
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def prober() -> Iterator[Callable[..., HttpProbe]]:
    made: list[HttpProbe] = []

    def make(*arguments: Any, **more: Any) -> HttpProbe:
        made.append(HttpProbe(*arguments, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def node(url: str, name: str = "eu-1") -> Node:
    return Node(name, "gateway", "production", url=url)


def test_a_stall_is_seen_as_clients_would_have_seen_it(
    served: Callable[[], Served], prober: Callable[..., HttpProbe], eventually: Callable[..., Any]
) -> None:
    server = served()
    probe = prober("place=/orders", "20", "5")
    nodes = (node(server.url),)
    eventually(lambda: probe.read(nodes)[0].operations["place"].total >= 10)
    before = probe.read(nodes)[0].operations["place"]
    begin = time.monotonic()
    server.open.clear()
    # the stall lasts until 20 requests wait, a second's worth; a closed loop would have one waiting
    eventually(lambda: len([at for at, _ in server.arrived if at > begin]) >= 20)
    stalled_s = time.monotonic() - begin
    server.open.set()
    eventually(lambda: probe.read(nodes)[0].operations["place"].total - before.total >= 22)
    seen = delta(before, probe.read(nodes)[0].operations["place"])
    assert seen is not None
    slow = seen.total - seen.counts[BOUNDS_S.index(0.3)]
    assert slow >= 0.4 * 20 * stalled_s  # those that were due in the first part of the stall waited longest
    told = point(seen, 1.0, 0)
    assert told.p90_ms is not None
    assert told.p90_ms > 300
    assert seen.errors == 0


def test_never_faster_than_its_rate_while_nodes_hang(
    served: Callable[[], Served], prober: Callable[..., HttpProbe], eventually: Callable[..., Any]
) -> None:
    server, other = served(), served()
    probe = prober("/healthz", "20", "1.0")
    nodes = (node(server.url), node(other.url, "eu-2"))
    probe.read(nodes)
    server.open.clear()
    counted = eventually(lambda: (h := probe.read(nodes)[0].operations["/healthz"]).errors >= 10 and h)
    assert counted.sum_s >= 10 * 1.0  # each waited for its whole time
    server.open.set()
    eventually(lambda: probe.read(nodes)[0].operations["/healthz"].total >= counted.total + 10)
    for one in (server, other):
        moments = [at for at, _ in one.arrived]
        for first, eleventh in zip(moments, moments[10:], strict=False):
            assert eleventh - first > 10 / 20 * 0.7  # some room for a busy machine
    answered = probe.read(nodes)[1].operations["/healthz"]
    assert answered.errors == 0  # one that hangs does not disturb the other


def test_what_is_an_error(
    served: Callable[[], Served], prober: Callable[..., HttpProbe], closed_port: int, eventually: Callable[..., Any]
) -> None:
    server = served()
    probe = prober("/a?x=1 b=/b", "20", "1", token=lambda: "secret")
    here, gone = node(server.url), node(f"http://127.0.0.1:{closed_port}", "gone")
    assert [r.node for r in probe.read((here, gone))] == ["eu-1"]
    assert probe.probe().missing == ("no answer from gone",)
    with pytest.raises(Unreachable):
        probe.read((gone,))
    with pytest.raises(Unreachable):
        probe.read((node(""), node("ftp://x", "odd")))
    assert probe.read(()) == ()
    probe.read((here,))
    server.status = 404
    eventually(lambda: "/b answers 404" in probe.probe().missing)
    assert probe.read((here,))[0].operations["b"].errors == 0
    server.status = 503
    eventually(lambda: probe.read((here,))[0].operations["b"].errors >= 2)
    assert {path for _, path in server.arrived} == {"/a?x=1", "/b"}
    assert server.headers[0]["Authorization"] == "Bearer secret"


def test_a_broken_answer_and_a_token_that_cannot_be_sent(prober: Callable[..., HttpProbe], eventually: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()
        answers = itertools.chain([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], itertools.repeat(b"SSH-2.0-nothing\r\n\r\n"))

        def serve() -> None:
            while not over.is_set():
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(next(answers))

        thread = threading.Thread(target=serve)
        thread.start()
        address = listening.getsockname()
        here = node(f"http://127.0.0.1:{address[1]}")
        probe = prober("/", "20", "1")
        eventually(lambda: probe.read((here,))[0].operations["/"].errors >= 2)
        over.set()
        thread.join()
    with pytest.raises(AuthFailed):
        prober("/", token=lambda: "two words").read((here,))


@pytest.mark.parametrize(
    "options", [("",), ("healthz",), ("/a /a",), ("a=/x a=/y",), ("/a", "0"), ("/a", "51"), ("/a", "nan"), ("/a", "1", "11")]
)
def test_mistakes_in_the_settings(options: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        HttpProbe(*options)


@given(st.text(alphabet="ab=/, \n#?\u202e"))
def test_paths_or_a_mistake(text: str) -> None:
    try:
        found = parse_paths(text)
    except ConfigError:
        return
    assert all(path.startswith("/") for _, path in found)


@given(st.binary())
def test_a_head_or_a_value_error(head: bytes) -> None:
    try:
        status, length = parse_head(head)
    except ValueError:
        return
    assert 0 <= status <= 999
    assert length >= -1


class TestProbe(MetricsContract):
    @pytest.fixture
    def world(self, served: Callable[[], Served], prober: Callable[..., HttpProbe], closed_port: int) -> MetricsWorld:
        nodes = tuple(node(served().url, name) for name in ("eu-1", "eu-2"))
        silent = node(f"http://127.0.0.1:{closed_port}", "silent")
        # no hooks for faults: a node that answered once and hangs now is a measurement, not silence
        return MetricsWorld(connector=prober("/healthz", "20", "1"), shared=True, nodes=nodes, silent=silent, lag_s=10.0)
