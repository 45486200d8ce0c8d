"""Reads in a process of their own, so that decoding large answers never holds up the window.

The window's side is `Reader`, the other side `serve` (`python -m cockpit.reading`). They talk over the child's
standard input and output, where nobody else can write; `cockpit.reading_wire` says in which words.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any, BinaryIO, cast

from cockpit.domain.errors import ConnectorError, Unreachable
from cockpit.reading_wire import Answer, Call, Make, Secret, difference, frame, hold, receive, restore

log = logging.getLogger(__name__)

THREADS = 6
END_S = 5.0
NICE = 5
# above the 30 s in which a connector over there gives up by itself: who is silent for longer hangs as a whole
ANSWER_S = 45.0


class Life:
    """One run of the process, and who waits for it: each question put to it is answered, by it or by its end. Any thread."""

    def __init__(self, secret: Callable[[str], str], made: Iterable[Make], hidden: Iterable[str] = ()) -> None:
        without = set(hidden)
        environment = {name: value for name, value in os.environ.items() if name not in without}
        command = [sys.executable, "-m", "cockpit.reading"]
        # a session of its own: Ctrl+C in the terminal is for the window, which then ends this one
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=environment)
        self.held: dict[tuple[Any, ...], tuple[int, Any]] = {}
        self._secret = secret
        self._lock = threading.Lock()
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting: dict[int, queue.SimpleQueue[Answer]] = {}
        self._over = False
        self._asked = 0  # tokens that are being asked for
        self._told_at_s = -math.inf
        for make in made:
            self.tell(make)
        self._threads = [threading.Thread(target=work, name="cockpit-reader") for work in (self._write, self._listen)]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._over and self.process.poll() is None

    def tell(self, message: object) -> None:
        """Send and go on."""
        self._outbox.put(frame(message))

    def ask(self, call: Call, limit_s: float) -> Answer:
        """Send and wait. One that is silent for longer than `limit_s` is ended."""
        body, answers = frame(call), queue.SimpleQueue[Answer]()
        with self._lock:
            if self._over:
                return _ended(call.number)
            self._waiting[call.number] = answers
        self._outbox.put(body)
        try:
            return self._answer(answers, limit_s)
        except queue.Empty:
            with self._lock:
                self._waiting.pop(call.number, None)
            self.fail()
            raise Unreachable(
                f"The reading process gave no answer for {limit_s:.0f} s; it was ended and is started again.",
                title="No answer",
                hint="Nothing is lost: the next poll asks again.",
            ) from None

    def _answer(self, answers: queue.SimpleQueue[Answer], limit_s: float) -> Answer:
        while True:
            try:
                return answers.get(timeout=limit_s)
            except queue.Empty:
                # a person may be typing a password into a keyring: that is no silence of the process
                if not self._asked and time.monotonic() - self._told_at_s >= limit_s:
                    raise

    def fail(self) -> None:
        """End it at once; all who wait are told."""
        with self._lock:
            self._over = True
            waiting, self._waiting = self._waiting, {}
        self.process.kill()
        for number, answers in waiting.items():
            answers.put(_ended(number))

    def _write(self) -> None:
        """A thread of its own: a process that was stopped takes nothing in, and who asks must not hang with it."""
        target = _pipe(self.process.stdin)
        try:
            while (body := self._outbox.get()) is not None:
                target.write(body)
                target.flush()
        except (OSError, ValueError):
            self.fail()
        with suppress(OSError):
            target.close()

    def _listen(self) -> None:
        try:
            while True:
                message = receive(_pipe(self.process.stdout))
                if isinstance(message, Secret):
                    with self._lock:
                        self._asked += 1
                    # a keyring may ask a person: that must not hold up the answers to others
                    threading.Thread(target=self._tell, args=(message,), name="cockpit-secret").start()
                else:
                    with self._lock:
                        answers = self._waiting.pop(message.number)
                    answers.put(message)
        except (EOFError, OSError, ValueError):
            self.fail()
        except Exception as error:  # noqa: BLE001 - unpickling raises anything; what cannot be understood is no process to go on with
            self.fail()
            log.warning("the reading process sent what cannot be understood (%s); it was ended", type(error).__name__)

    def _tell(self, asked: Secret) -> None:
        value = ""
        try:
            value = self._secret(asked.source)
        finally:
            with self._lock:
                self._asked -= 1
                self._told_at_s = time.monotonic()
            # where the process ended meanwhile, the next one asks again
            self.tell(Secret(asked.number, asked.source, value))

    def end(self) -> None:
        """Let it end, or end it; its threads and pipes are gone then."""
        self._outbox.put(None)
        try:
            self.process.wait(0 if self._over else END_S)
        except subprocess.TimeoutExpired:
            # it waits for a system that does not answer; nothing is lost with it
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join()
        _pipe(self.process.stdout).close()


class Reader:
    """The window's side. Any thread. The process starts with the first question and starts again when it ended.

    `answer_s`: how long a question may wait for its answer. `hidden`: variables that hold tokens; the process is told tokens when it
    asks, and its environment, which others may read, has none.
    """

    def __init__(self, secret: Callable[[str], str], answer_s: float = ANSWER_S, hidden: Callable[[], Iterable[str]] = tuple) -> None:
        self._secret, self._hidden = secret, hidden
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._made: dict[str, Make] = {}
        self._forgotten: set[str] = set()  # what is made anew, even where it looks the same
        self._life: Life | None = None
        self._closed = False

    @property
    def _process(self) -> subprocess.Popen[bytes] | None:
        return None if self._life is None else self._life.process

    def add(self, source: str, kind: str, options: dict[str, str]) -> Remote:
        """A connector of that kind that lives over there; it takes the place of one that was added under this name before."""
        make = Make(source, kind, options)
        with self._lock:
            if self._made.get(source) != make or source in self._forgotten:
                self._made[source] = make
                self._forgotten.discard(source)
                if self._life is not None and self._life.alive:
                    self._life.tell(make)
        return Remote(self, source)

    def forget(self, source: str) -> None:
        """The next `add` makes it anew over there, even where nothing but its token is another one."""
        with self._lock:
            self._forgotten.add(source)

    def keep(self, sources: Iterable[str]) -> None:
        """End all others over there: some ask their systems without being asked themselves."""
        kept = set(sources)
        with self._lock:
            for source in self._made.keys() - kept:
                del self._made[source]
                if self._life is not None and self._life.alive:
                    self._life.tell(Make(source, "", {}))

    def call(self, source: str, method: str, arguments: tuple[Any, ...]) -> Any:
        """Ask and wait. Raises what the connector raised; Unreachable where the process ended meanwhile or stays silent."""
        question, number = (source, method, arguments), next(self._numbers)
        with self._lock:
            life = self._living()
            serial, before = life.held.get(question, (0, None))
        answer = life.ask(Call(number, source, method, arguments, serial), self._answer_s)
        if answer.error is not None:
            raise answer.error
        value = restore(before, answer.value) if answer.base else answer.value
        with self._lock:
            hold(life.held, question, answer.serial, value)
        return value

    def _living(self) -> Life:
        if self._closed:
            raise Unreachable("The window is closing.")
        if self._life is None or not self._life.alive:
            self._end()
            self._life = Life(self._secret, self._made.values(), self._hidden())
        return self._life

    def _end(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            life.end()

    def close(self) -> None:
        """End the process; questions under way are answered as unreachable."""
        self._closed = True
        with self._lock:
            self._end()


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
        # never the same number twice: an answer that was forgotten here may still be held by the window
        self._serials = itertools.count(1)
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
        from cockpit.connectors.registry import create, spec

        if not made.kind:
            removed = self._connectors.pop(made.source, None)
            if removed is not None:
                removed.close_all()
            return
        before = self._connectors.get(made.source)
        make = partial(create, made.kind, made.options, partial(self._ask, made.source))
        self._connectors[made.source] = PerThread(make, spec(made.kind).shared)
        if before is not None:
            before.close_all()

    def _ask(self, source: str) -> str:
        number, told = next(self._numbers), queue.SimpleQueue[str]()
        self._secrets[number] = told
        self._send(frame(Secret(number, source)))
        return told.get()

    def _send(self, body: bytes) -> None:
        with self._writing:
            self._target.write(body)
            self._target.flush()

    def _answer(self, call: Call) -> None:
        try:
            connector = self._connectors.get(call.source)
            if connector is None:
                raise Unreachable("This connection was removed.")
            value = getattr(connector, call.method)(*call.arguments)
            body = frame(self._with_difference(call, value))
        except ConnectorError as error:
            body = frame(Answer(call.number, error=error))
        except Exception as error:  # noqa: BLE001 - a defect over here must be seen over there
            body = frame(Answer(call.number, error=RuntimeError(f"{type(error).__name__}: {error}")))
        try:
            self._send(body)
        except (OSError, ValueError):
            # the window has gone; `run` sees the same and ends
            return

    def _with_difference(self, call: Call, value: Any) -> Answer:
        question = (call.source, call.method, call.arguments)
        with self._lock:
            serial, before = self._sent.get(question, (0, None))
            new = next(self._serials)
            hold(self._sent, question, new, value)
        if serial and serial == call.base:
            return Answer(call.number, new, serial, difference(before, value))
        return Answer(call.number, new, 0, value)


def serve() -> None:
    """Entry point of the process."""
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
    serve()
