"""Reads in a process of their own, so that decoding large answers never holds up the window.

The window's side is `Reader`, the other side `serve` (`python -m cockpit.reading`). They talk in frames (length, pickle) over the
child's standard input and output; nobody else can write there. What did not change since the last answer is not sent again.
"""

from __future__ import annotations

import itertools
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any, BinaryIO, cast

from msgspec import Struct

from cockpit.domain.errors import ConnectorError, Unreachable

THREADS = 6
END_S = 5.0
NICE = 5


class Call(Struct):
    """A read asked for: `base` is the serial of the last answer to the same question that the window holds (0: none)."""

    number: int
    source: str
    method: str
    arguments: tuple[Any, ...]
    base: int


class Make(Struct):
    """A connector to make: kind and options as the registry takes them."""

    source: str
    kind: str
    options: dict[str, str]


class Answer(Struct):
    """The answer to a call: whole, or what differs from the answer with serial `base`; or the error."""

    number: int
    serial: int = 0
    base: int = 0
    value: Any = None
    error: Exception | None = None


class Secret(Struct):
    """A token asked for (value None) or told. Crosses the private pipe only."""

    number: int
    source: str
    value: str | None = None


class Patch(Struct):
    """A tuple of items with ids: the id of an item that is as before, or the new item in a one-element list."""

    items: list[Any]


class Same(Struct):
    """Exactly the last answer."""


def send(stream: BinaryIO, lock: threading.Lock, message: object) -> None:
    """Write one frame; OSError or ValueError where the other side has gone."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    with lock:
        stream.write(len(body).to_bytes(4, "big") + body)
        stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one frame; EOFError at the end. The bytes come from our own process only."""
    size = stream.read(4)
    body = stream.read(int.from_bytes(size, "big")) if len(size) == 4 else b""
    if len(size) < 4 or not body:
        raise EOFError
    return pickle.loads(body)  # noqa: S301 - our own child or parent, over a pipe that nobody else has


def difference(before: Any, after: Any) -> Any:
    """What must be sent to somebody who holds `before`."""
    if before == after:
        return Same()
    if isinstance(before, tuple) and isinstance(after, tuple) and after and all(hasattr(item, "id") for item in (*before, *after)):
        known = {item.id: item for item in before}
        return Patch([item.id if known.get(item.id) == item else [item] for item in after])
    return after


def restore(before: Any, sent: Any) -> Any:
    """The whole answer, from what is held and what was sent; items that did not change stay the same objects."""
    if isinstance(sent, Same):
        return before
    if isinstance(sent, Patch):
        known = {item.id: item for item in before}
        return tuple(item[0] if isinstance(item, list) else known[item] for item in sent.items)
    return sent


class Reader:
    """The window's side. Any thread. The process starts with the first question and starts again when it ended."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._numbers = itertools.count(1)
        self._made: dict[str, Make] = {}
        self._waiting: dict[int, queue.SimpleQueue[Answer]] = {}
        self._held: dict[tuple[Any, ...], tuple[int, Any]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._closed = False

    def add(self, source: str, kind: str, options: dict[str, str]) -> Remote:
        """A connector of that kind that lives over there."""
        self._made[source] = Make(source, kind, options)
        return Remote(self, source)

    def call(self, source: str, method: str, arguments: tuple[Any, ...]) -> Any:
        """Ask and wait. Raises what the connector raised; Unreachable where the process ended meanwhile."""
        question, number = (source, method, arguments), next(self._numbers)
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        with self._lock:
            process = self._running()
            self._waiting[number] = answers
            serial, held = self._held.get(question, (0, None))
        try:
            send(_pipe(process.stdin), self._writing, Call(number, source, method, arguments, serial))
        except (OSError, ValueError):
            answers.put(_ended(number))
        answer = answers.get()
        with self._lock:
            self._waiting.pop(number, None)
        if answer.error is not None:
            raise answer.error
        value = restore(held, answer.value) if answer.base else answer.value
        with self._lock:
            if self._process is process:
                self._held[question] = (answer.serial, value)
        return value

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise Unreachable("The window is closing.")
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._reap()
        self._held.clear()
        command = [sys.executable, "-m", "cockpit.reading"]
        # a session of its own: Ctrl+C in the terminal is for the window, which then ends this one
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        for make in self._made.values():
            send(_pipe(process.stdin), self._writing, make)
        self._process = process
        self._listener = threading.Thread(target=self._listen, args=(process,), name="cockpit-reader")
        self._listener.start()
        return process

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        try:
            while True:
                message = receive(_pipe(process.stdout))
                if isinstance(message, Secret):
                    # a keyring may ask a person: that must not hold up the answers to others
                    threading.Thread(target=self._tell, args=(process, message), name="cockpit-secret").start()
                else:
                    self._waiting[message.number].put(message)
        except (EOFError, OSError, ValueError):
            # without the lock: who holds it may be waiting for this thread to end
            for number, answers in dict(self._waiting).items():
                answers.put(_ended(number))

    def _tell(self, process: subprocess.Popen[bytes], asked: Secret) -> None:
        value = ""
        try:
            value = self._secret(asked.source)
        finally:
            # where the process ended meanwhile, the next one asks again
            with suppress(OSError, ValueError):
                send(_pipe(process.stdin), self._writing, Secret(asked.number, asked.source, value))

    def _reap(self) -> None:
        process, listener = self._process, self._listener
        self._process = self._listener = None
        if process is None:
            return
        try:
            _pipe(process.stdin).close()
        except OSError:
            process.kill()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            # it waits for a system that does not answer; nothing is lost with it
            process.kill()
            process.wait()
        if listener is not None and listener is not threading.current_thread():
            listener.join()
        _pipe(process.stdout).close()

    def close(self) -> None:
        """End the process; questions under way are answered as unreachable."""
        self._closed = True
        with self._lock:
            self._reap()


class Remote:
    """A connector whose methods are carried out over there."""

    def __init__(self, reader: Reader, source: str) -> None:
        self._reader = reader
        self._source = source

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            return self._reader.call(self._source, name, arguments)

        return call


def _pipe(stream: IO[bytes] | None) -> BinaryIO:
    return cast("BinaryIO", stream)


def _ended(number: int) -> Answer:
    return Answer(
        number, error=Unreachable("The reading process ended; it is started again.", hint="Nothing is lost: the next poll asks again.")
    )


class Server:
    """The other side: makes connectors, answers calls in a few threads, asks the window for tokens."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source = source
        self._target = target
        self._writing = threading.Lock()
        self._numbers = itertools.count(1)
        self._connectors: dict[str, Any] = {}
        self._secrets: dict[int, queue.SimpleQueue[str]] = {}
        self._lock = threading.Lock()
        self._sent: dict[tuple[Any, ...], tuple[int, Any]] = {}

    def run(self) -> None:
        """Until the window closes its end."""
        pool = ThreadPoolExecutor(THREADS)
        try:
            while True:
                message = receive(self._source)
                if isinstance(message, Make):
                    self._make(message)
                elif isinstance(message, Secret):
                    self._secrets.pop(message.number).put(message.value or "")
                else:
                    pool.submit(self._answer, message)
        except EOFError:
            pool.shutdown(wait=False, cancel_futures=True)

    def _make(self, made: Make) -> None:
        from functools import partial

        from cockpit.connecting import PerThread
        from cockpit.connectors.registry import create

        self._connectors[made.source] = PerThread(partial(create, made.kind, made.options, partial(self._ask, made.source)))

    def _ask(self, source: str) -> str:
        number, told = next(self._numbers), queue.SimpleQueue[str]()
        self._secrets[number] = told
        send(self._target, self._writing, Secret(number, source))
        return told.get()

    def _answer(self, call: Call) -> None:
        try:
            value = getattr(self._connectors[call.source], call.method)(*call.arguments)
            answer = self._with_difference(call, value)
        except ConnectorError as error:
            answer = Answer(call.number, error=error)
        except Exception as error:  # noqa: BLE001 - a defect over here must be seen over there
            answer = Answer(call.number, error=RuntimeError(f"{type(error).__name__}: {error}"))
        try:
            send(self._target, self._writing, answer)
        except (OSError, ValueError):
            # the window has gone; `run` sees the same and ends
            return

    def _with_difference(self, call: Call, value: Any) -> Answer:
        question = (call.source, call.method, call.arguments)
        with self._lock:
            serial, before = self._sent.get(question, (0, None))
            self._sent[question] = (serial + 1, value)
        if serial and serial == call.base:
            return Answer(call.number, serial + 1, serial, difference(before, value))
        return Answer(call.number, serial + 1, 0, value)


def serve() -> None:
    """Entry point of the process."""
    import os

    # the window's thread goes first: an answer may come a little later, a click may not
    if hasattr(os, "nice"):
        os.nice(NICE)
    # what is printed by mistake must not end up between the frames
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    Server(sys.stdin.buffer, target).run()
    # connectors may hang in a system that does not answer; the window waits for nobody
    os._exit(0)


if __name__ == "__main__":
    # by its real name, so that the frames' types are the same on both sides
    from cockpit.reading import serve as run

    run()
