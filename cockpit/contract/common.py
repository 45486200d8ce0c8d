"""What the contracts of all ports share: the world a connector is tested in, and the tests of errors, time limits and closing."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from msgspec import Struct

from cockpit.connectors.ports import Probe
from cockpit.domain.errors import AuthFailed, ConnectorError, OutcomeUnknown, Unreachable

T = TypeVar("T")
EARLIEST_US = 946_684_800_000_000  # 2000-01-01: before that nobody released anything that still runs
SKEW_US = 300_000_000  # clocks of two machines differ

Hook = Callable[[], object]


class World(Struct, kw_only=True):
    """What all worlds have.

    connector: the connector under test; it is closed by whoever made it. secret: its token, "" = it has none; no error may show it.
    deadline_s: a call ends within this time whatever happens (the connector's own limit and some room).
    Hooks, None where the system cannot be brought to that, `heal` ends all of them:
    forbid: every question is answered with 401 or 403 (what must be a connector that never asks again still works after `heal`).
    cut: nobody can be reached. hang: connections are taken and never answered. lose: the next write is done and its answer is lost.
    identity: a word of the name as whom the connector is there, "" = the system does not tell.
    shared: the connector's methods may be called from several threads at once.
    """

    connector: Any
    secret: str = ""
    deadline_s: float = 20.0
    identity: str = ""
    shared: bool = False
    forbid: Hook | None = None
    cut: Hook | None = None
    hang: Hook | None = None
    lose: Hook | None = None
    heal: Hook | None = None


def needs(what: object, words: str) -> None:
    """Skip the test where the world does not have that."""
    if not what:
        pytest.skip(f"this world has no {words}")


def fault(world: World, hook: Hook | None, words: str) -> tuple[Hook, Hook]:
    """(the hook, what ends it); skips the test where the world has none."""
    if hook is None or world.heal is None:
        pytest.skip(f"this world has no {words}")
    return hook, world.heal


def new_key() -> str:
    """An idempotency key that nobody used."""
    return f"contract-{uuid4().hex}"


def eventually(ask: Callable[[], T], limit_s: float, words: str) -> T:
    """The first true answer; fails after `limit_s` seconds with the words."""
    pause, deadline = threading.Event(), time.monotonic() + limit_s
    while not (answer := ask()):
        if time.monotonic() >= deadline:
            pytest.fail(f"not within {limit_s:g} s: {words}")
        pause.wait(0.05)
    return answer


def now_us() -> int:
    """The moment now, UTC, in microseconds."""
    return time.time_ns() // 1000


def sane(at_us: int, *, known: bool = True) -> None:
    """Fails for a moment that is not in microseconds UTC, or lies in the future; 0 (not known) is fine with `known` False."""
    if at_us or known:
        assert isinstance(at_us, int)
        assert EARLIEST_US <= at_us <= now_us() + SKEW_US, f"{at_us} is no moment in microseconds UTC"


def falling(values: list[int]) -> None:
    """Fails where a value is greater than the one before it."""
    assert values == sorted(values, reverse=True), "not newest first"


def once(values: list[str]) -> None:
    """Fails where something is there twice, or is nothing at all."""
    assert all(values)
    assert len(values) == len(set(values)), "something is there twice"


def speaks(error: BaseException, world: World) -> None:
    """Fails for an error that is no ConnectorError, says nothing, shows no way out, or gives the secret away."""
    assert isinstance(error, ConnectorError), repr(error)
    assert error.title
    assert error.message.strip()
    assert error.hint.strip(), f"no way out: {error}"
    assert "\x1b" not in str(error)
    if world.secret:
        told = f"{error!r} {error.__dict__!r} " + "".join(traceback.format_exception(error))
        assert world.secret not in told, "the error gives the secret away"


@contextmanager
def refused(world: World, *kinds: type[ConnectorError]) -> Iterator[None]:
    """Like pytest.raises, and the error must speak as all errors do."""
    with pytest.raises(kinds) as caught:
        yield
    speaks(caught.value, world)


class PortContract:
    """What holds for the connectors of every port. A subclass says in `ask` what is asked for that, and what comes of it when it `hung`."""

    hung: tuple[type[ConnectorError], ...] = (Unreachable,)

    @pytest.fixture
    def world(self) -> Any:
        """The world of the connector under test; its test class replaces this."""
        raise NotImplementedError("the test class must have a fixture `world`")

    def ask(self, world: Any) -> object:
        """One read of the port, or one write where there is no read."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _healed(self, world: World) -> Iterator[None]:
        yield
        if world.heal is not None:
            world.heal()

    def test_a_probe_says_what_was_reached(self, world: World) -> None:
        found = world.connector.probe()
        assert isinstance(found, Probe)
        assert found.reached.strip()
        assert all(part.strip() for part in found.missing)
        assert world.identity in found.identity
        assert not world.secret or world.secret not in repr(found)

    def test_asking_twice_answers_the_same_kind(self, world: World) -> None:
        assert type(self.ask(world)) is type(self.ask(world))

    def test_closing_twice_is_fine_and_a_closed_connector_can_be_used_again(self, world: World) -> None:
        self.ask(world)
        world.connector.close()
        world.connector.close()
        self.ask(world)

    def test_forbidden_is_neither_missing_nor_away_and_passes_with_the_rights(self, world: World) -> None:
        forbid, heal = fault(world, world.forbid, "way to take the rights away")
        forbid()
        with refused(world, AuthFailed):
            self.ask(world)
        heal()
        self.ask(world)

    def test_nobody_there_is_unreachable_and_passes_by_itself(self, world: World) -> None:
        cut, heal = fault(world, world.cut, "way to cut the connection")
        cut()
        with refused(world, Unreachable):
            self.ask(world)
        heal()
        eventually(lambda: answers(lambda: self.ask(world)), world.deadline_s, "it answers again")

    def test_silence_ends_within_the_deadline(self, world: World) -> None:
        hang, heal = fault(world, world.hang, "way to let it hang")
        hang()
        begin = time.monotonic()
        with refused(world, *self.hung):
            self.ask(world)
        assert time.monotonic() - begin < world.deadline_s
        heal()
        eventually(lambda: answers(lambda: self.ask(world)), world.deadline_s, "it answers again")

    def test_close_during_a_call_that_hangs_ends_it_or_lets_it_end(self, world: World) -> None:
        hang, heal = fault(world, world.hang, "way to let it hang")
        hang()
        ended: list[object] = []
        begun = threading.Event()

        def call() -> None:
            begun.set()
            try:
                ended.append(self.ask(world))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is judged below
                ended.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        begun.wait(5)
        world.connector.close()
        thread.join(world.deadline_s)
        alive = thread.is_alive()
        heal()
        thread.join(world.deadline_s)
        assert not alive, "the call went on beyond the deadline"
        if isinstance(ended[0], BaseException):
            speaks(ended[0], world)
        eventually(lambda: answers(lambda: self.ask(world)), world.deadline_s, "a closed connector can be used again")

    def test_several_threads_at_once(self, world: World) -> None:
        needs(world.shared, "connector for several threads at once")
        problems: list[BaseException] = []
        start = threading.Barrier(4)

        def call() -> None:
            start.wait(5)
            try:
                for _ in range(3):
                    self.ask(world)
            except BaseException as error:  # noqa: BLE001 - told below
                problems.append(error)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems


def answers(ask: Hook) -> bool:
    """Whether it answers now; False while the system is away."""
    try:
        ask()
    except (Unreachable, OutcomeUnknown):
        return False
    return True
