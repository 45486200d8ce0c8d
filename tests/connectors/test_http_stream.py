"""Server-sent events: the parser with streams cut anywhere, and a stream that another thread ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors.http import HttpClient
from cockpit.connectors.http_stream import MAX_EVENT_BYTES, Event, EventParser, Listener
from cockpit.domain.errors import AuthFailed, NotFound, Unreachable

Eventually = Callable[..., Any]
STREAM = (
    b"\xef\xbb\xbf: a comment\r\n\r\nevent: handshake\r\ndata: one\r\ndata:two\r\n\r\n"
    b"data\ndata: \xc3\xa4\n\nid: 7\nretry: 5\nunknown: x\n\nevent: late\rdata: \xff\r\revent: never ended\ndata: x"
)
EVENTS = [Event("handshake", "one\ntwo"), Event("", "\nä"), Event("late", "\ufffd")]


def parsed(*pieces: bytes) -> list[Event]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def test_a_whole_stream() -> None:
    assert parsed(STREAM) == EVENTS


def test_byte_by_byte() -> None:
    assert parsed(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert parsed(*(STREAM[a:b] for a, b in pairwise(edges))) == EVENTS


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"data: x\n", b"\n\n", b"\r", b"event:", b"data"])), max_size=20))
def test_nothing_makes_it_raise_and_cuts_change_nothing(pieces: list[bytes]) -> None:
    assert parsed(*pieces) == parsed(b"".join(pieces))


def test_events_without_an_end_are_not_held() -> None:
    parser = EventParser()
    piece = b"x" * 65536
    assert not list(parser.feed(b"event: big\ndata: "))
    for _ in range(2 * MAX_EVENT_BYTES // len(piece)):
        assert not list(parser.feed(piece))
    assert len(parser._line) <= MAX_EVENT_BYTES
    assert list(parser.feed(b"\n\ndata: next\n\n")) == [Event("big", "", whole=False), Event("", "next")]
    many = b"data: " + b"y" * 1000 + b"\n"
    events = list(parser.feed(many * 3000 + b"\n"))
    assert events == [Event("", "", whole=False)]


# -- over HTTP --


class Held:
    """An answer that begins, sends some events, and then stays open until the client goes."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self._head, self._body = head, body
        self.gone = threading.Event()

    def __call__(self, connection: socket.socket, request: object) -> None:
        connection.settimeout(20)
        connection.sendall(self._head + self._body)
        while connection.recv(100):
            pass
        self.gone.set()


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


@pytest.mark.parametrize("chunked", [True, False])
def test_events_arrive_while_the_body_is_open_and_close_ends_it(server: Any, eventually: Eventually, chunked: bool) -> None:
    kind = b"Transfer-Encoding: chunked" if chunked else b"Connection: close"
    text = b"event: a\ndata: 1\n\n"
    answer = Held(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + kind + b"\r\n\r\n", chunk(text) if chunked else text)
    server.script = [answer]
    events: list[Event] = []
    listener = Listener(events.append)
    with HttpClient(server.url) as client:
        thread = threading.Thread(target=client.listen, args=("/sse", listener, {"Cookie": "a=b"}))
        thread.start()
        eventually(lambda: events == [Event("a", "1")], message="the event came")
        assert server.requests[0].headers["cookie"] == "a=b"
        listener.close()
        thread.join(30)
        assert not thread.is_alive()
        assert answer.gone.wait(30)


def test_close_ends_it_before_an_answer_came(server: Any, eventually: Eventually) -> None:
    answer = Held(b"", b"")
    server.script = [answer]
    listener = Listener(lambda event: None)
    with HttpClient(server.url) as client:
        thread = threading.Thread(target=client.listen, args=("/sse", listener))
        thread.start()
        eventually(lambda: server.requests, message="it was asked")
        eventually(lambda: listener._socket is not None, message="it waits for the answer")
        listener.close()
        thread.join(30)
        assert not thread.is_alive()
    early = Listener(lambda event: None)
    early.close()
    with HttpClient(server.url) as client:
        client.listen("/sse", early)


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (401, AuthFailed), (500, Unreachable)])
def test_refusals_are_errors_and_their_bodies_no_events(server: Any, status: int, kind: type[Exception]) -> None:
    body = b"data: no\n\n"
    whole = b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
    server.script = [lambda connection, request: connection.sendall(whole)]
    events: list[Event] = []
    with HttpClient(server.url) as client, pytest.raises(kind):
        client.listen("/sse", Listener(events.append))
    assert not events
