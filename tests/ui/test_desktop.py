"""Desktop notifications on a real session bus: no bus, no server, servers that hang, refuse and die; then markup, places and ids."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.notifications import Session, session, soon, start
from ui.desktop import BODY, REMEMBERED, TITLE, Bubble, NoDesktop, SessionBus

ADDRESS = "DBUS_SESSION_BUS_ADDRESS"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    with session() as found:
        monkeypatch.setenv(ADDRESS, found.address)
        yield found


@pytest.fixture
def bus() -> Iterator[SessionBus]:
    found = SessionBus(1.0)
    yield found
    found.close()


def words(bus: SessionBus, title: str = "t") -> str:
    with pytest.raises(NoDesktop) as caught:
        bus.show([Bubble(1, title, "b")])
    assert caught.value.hint
    return caught.value.message


def test_without_a_bus_it_is_said_at_once(bus: SessionBus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    assert words(bus) == "There is no session bus here."
    for address in (f"unix:path={tmp_path}/none", "tcp:host=127.0.0.1", "nonsense", "unix:abstract=release-cockpit-none"):
        monkeypatch.setenv(ADDRESS, address)
        assert words(bus).startswith(("The session bus cannot be reached", "The session bus answers nothing sensible"))


@pytest.mark.parametrize("says", [b"", b"REJECTED EXTERNAL\r\n", b"\x00" * 400, b"OK 1234\r\n" + b"l\xff" * 40])
def test_what_is_no_bus_is_told_apart_within_the_deadline(
    bus: SessionBus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: bytes
) -> None:
    path = tmp_path / "bus"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        monkeypatch.setenv(ADDRESS, f"unix:path={path}")
        held: list[socket.socket] = []

        def answer() -> None:
            connection = listening.accept()[0]
            connection.recv(4096)
            connection.sendall(says)
            held.append(connection)

        answering = threading.Thread(target=answer)
        answering.start()
        begun = time.monotonic()
        assert words(bus)
        assert time.monotonic() - begun < 20
        answering.join()
        held[0].close()


def test_a_bus_without_a_server_says_so_and_finds_one_that_comes(here: Session, bus: SessionBus) -> None:
    assert words(bus) == "No notification server runs here."
    server = here.serve()
    bus.show([Bubble(1, "now", "b")])
    soon(lambda: [s["title"] for s in server.seen] == ["now"])


def test_a_server_that_hangs_holds_up_one_deadline_and_is_asked_again(here: Session, bus: SessionBus) -> None:
    server = here.serve()
    bus.show([Bubble(1, "before", "b")])
    server.hang()
    begun = time.monotonic()
    assert words(bus) == "The notification server did not answer within 1 s."
    assert time.monotonic() - begun < 20
    server.go_on()
    bus.show([Bubble(1, "after", "b")])
    soon(lambda: server.seen[-1]["title"] == "after")


def test_closing_wakes_who_waits_for_a_server_that_hangs(here: Session) -> None:
    bus = SessionBus(60.0)
    server = here.serve()
    bus.show([Bubble(1, "before", "b")])
    server.hang()
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            bus.show([Bubble(1, "x", "b")])
        except NoDesktop as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    soon(bus._lock.locked)
    begun = time.monotonic()
    bus.close()
    waiting.join(30)
    assert not waiting.is_alive()
    assert time.monotonic() - begun < 30
    bus.show([Bubble(1, "closed", "b")])
    server.go_on()


def test_a_server_that_dies_in_the_middle_and_its_successor(here: Session, bus: SessionBus) -> None:
    first = here.serve("die")
    assert "refused" in words(bus) or "cannot be reached" in words(bus)
    first.process.wait(10)
    second = here.serve()
    bus.show([Bubble(1, "anew", "b")])
    soon(lambda: [(s["title"], s["replaced"]) for s in second.seen] == [("anew", 0)])


def test_a_server_that_refuses_is_quoted(here: Session, bus: SessionBus) -> None:
    here.serve("refuse")
    assert words(bus) == "The notification server refused: too many."


def test_another_login_on_another_bus_is_found(here: Session, bus: SessionBus, monkeypatch: pytest.MonkeyPatch) -> None:
    here.serve()
    bus.show([Bubble(1, "one", "b")])
    here.end()
    other = start()
    try:
        server = other.serve()
        monkeypatch.setenv(ADDRESS, other.address)
        bus.show([Bubble(1, "two", "b")])
        soon(lambda: [s["title"] for s in server.seen] == ["two"])
    finally:
        other.end()


def test_text_is_never_markup_and_never_endless(here: Session, bus: SessionBus) -> None:
    server = here.serve()
    evil = "<b>x</b> & <a href='file:///etc/passwd'>y</a><img src=x>"
    bus.show([Bubble(1, evil, evil), Bubble(2, "T" * 10_000, "&" * 10_000), Bubble(3, "ünï ✓ 漢", "")])
    soon(lambda: len(server.seen) == 3)
    assert server.seen[0]["title"] == evil, "a title is text by the specification"
    assert "<" not in server.seen[0]["body"]
    assert "&lt;b&gt;x&lt;/b&gt; &amp; &lt;a" in server.seen[0]["body"]
    assert len(server.seen[1]["title"]) == TITLE
    assert server.seen[1]["body"] == "&amp;" * BODY
    assert server.seen[2]["title"] == "ünï ✓ 漢"


def test_where_markup_is_not_known_text_is_as_it_is(here: Session, bus: SessionBus) -> None:
    server = here.serve("plain")
    bus.show([Bubble(1, "t", "<b> & x")])
    soon(lambda: len(server.seen) == 1)
    assert server.seen[0]["body"] == "<b> & x"


def test_an_incident_has_one_bubble_and_the_urgent_ones_stay(here: Session, bus: SessionBus) -> None:
    server = here.serve()
    bus.show([Bubble(7, "first", "b"), Bubble(8, "other", "b", critical=True), Bubble(7, "grown", "b")])
    soon(lambda: len(server.seen) == 3)
    assert [(s["id"], s["replaced"]) for s in server.seen] == [(1, 0), (2, 0), (1, 1)]
    assert [(s["urgency"], s["timeout"]) for s in server.seen] == [(1, -1), (2, 0), (1, -1)]
    assert {s["app"] for s in server.seen} == {"Release Cockpit"}
    bus.show([Bubble(n, "many", "b") for n in range(100, 100 + 2 * REMEMBERED)])
    assert len(bus._ids) == REMEMBERED
