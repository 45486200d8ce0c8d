"""A canary token on real connections, through every failure that can repeat it: nothing that is written, shown or passed on holds it."""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from cockpit import cli, cli_session
from cockpit.app import build
from cockpit.connect_draft import offer
from cockpit.core import Cockpit
from cockpit.domain.connection import Draft
from cockpit.paths import find_paths
from cockpit.services.runtime import LoopMainThread, Outcome
from cockpit.storage.secrets import Secrets
from tests.fakes.keyrings import MemoryKeyring
from tests.fakes.token_server import TokenServer
from ui import crash

CANARY = "cnry/7f+Kq=2~Zx9-token"  # characters that quoting changes
HEADER = "canary-4b1d-in-a-variable"
VARIABLE = "COCKPIT_TEST_CANARY"


def forms(token: str) -> set[bytes]:
    """The ways in which it could be written."""
    raw = token.encode()
    quoted = {urllib.parse.quote(token), urllib.parse.quote(token, safe=""), urllib.parse.quote_plus(token)}
    coded = {base64.b64encode(raw), base64.urlsafe_b64encode(raw), base64.b64encode(b"x:" + raw), raw.hex().encode()}
    # the middle of a longer text that was coded as a whole
    coded |= {base64.b64encode(b"\0" * n + raw)[4 * (n > 0) : -4] for n in range(3)}
    return {raw, json.dumps(token).strip('"').encode(), token.encode("latin-1")} | coded | {q.encode() for q in quoted}


ALL = forms(CANARY) | forms(HEADER)


def clean(where: str, content: bytes | str) -> None:
    raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    assert not [form for form in ALL if form in raw], f"the canary is in {where}"


class Stage:
    """A window's core over the playground, with a system beside it that misbehaves."""

    def __init__(self, folder: Path, config: str, server: TokenServer) -> None:
        self.paths, self.server, self.main = find_paths(folder), server, LoopMainThread()
        self.paths.data.mkdir()
        self.paths.config.write_text(config, "utf-8")
        self.core: Cockpit = build(self.paths, self.main)
        self.ring = MemoryKeyring()
        self.core.secrets = Secrets(os.environ, lambda: self.ring)
        self.core.notices.hide = self.core.secrets.hide
        self.shown: list[str] = []
        self.over = False
        self.core.notices.subscribe(lambda notice: self.shown.append(repr(notice)))

    def ask(self, deed: Callable[..., None], *arguments: Any) -> Outcome[Any]:
        answers: list[Outcome[Any]] = []
        deed(*arguments, answers.append)
        assert self.main.run_until(lambda: bool(answers), 40)
        self.shown.append(f"{answers[0].value!r} {answers[0].error!s} {answers[0].error!r} {vars(answers[0].error or self.server)}")
        if answers[0].error is None:
            self.shown[-1] = repr(answers[0].value)
        return answers[0]

    def meet(self, mode: str, title: str) -> None:
        """The system begins to misbehave, and both connections feel it."""
        self.server.mode = mode
        for source in ("leaky", "hearsay"):
            self.core.sync.refresh_now(source)

            def felt(source: str = source) -> bool:
                problem = self.core.sync.health(source).problem
                return problem is not None and problem.title == title

            assert self.main.run_until(felt, 20), (mode, self.core.sync.health(source))
            self.ask(self.core.sync.test, source)
        self.ask(self.core.systems.test, Draft("new", "ci-v1", {"url": self.server.url}), CANARY)

    def close(self) -> None:
        """Once."""
        if not self.over:
            self.over = True
            self.core.close()

    def children(self) -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)


@pytest.fixture
def stage(tmp_path: Path, playground: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv(VARIABLE, HEADER)
    server = TokenServer("")
    more = f'\n[connections.hearsay]\nkind = "deployment-v1"\nurl = "{server.url}"\nservices = ["risk-engine"]\ntoken_env = "{VARIABLE}"\n'
    made = Stage(tmp_path / "data", playground.config_text().replace('"repo"', f'"{playground.directory}/repo"') + more, server)
    yield made
    made.close()
    server.close()


@pytest.mark.e2e
@pytest.mark.logs(".*")
def test_nothing_that_is_written_shown_or_passed_on_holds_the_canary(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    core, main = stage.core, stage.main
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(core.notices.hidden(handler.format(record)))  # type: ignore[method-assign]
    logging.getLogger("cockpit").addHandler(handler)
    close_log = crash.log_to(stage.paths.log, core.notices.hidden)
    restore = crash.install(core.notices, main.post)
    elsewhere = TokenServer("")
    stage.server.elsewhere = elsewhere.url.replace("127.0.0.1", "localhost")
    try:
        core.start()
        assert main.run_until(lambda: core.ready and core.policy is not None and core.policy.accepted is not None, 30)
        kind = offer().kind("ci-v1")
        draft = Draft("leaky", "ci-v1", {"url": stage.server.url}, ("risk-engine",))
        assert stage.ask(core.systems.save, draft, kind, CANARY).error is None
        assert main.run_until(lambda: core.sync.health("leaky").last_success_us > 0, 20), core.sync.health("leaky")
        assert {given for _, given in stage.server.seen if given} >= {f"Bearer {HEADER}"}, "the canary was really sent"
        assert any("7f+Kq" in given for _, given in stage.server.seen)

        for mode, title in (("echo", "Not authorised"), ("forbidden", "Not authorised"), ("boom", "Not reachable")):
            stage.meet(mode, title)
        stage.server.mode = "redirect"
        for source in ("leaky", "hearsay"):
            stage.ask(core.sync.test, source)
        assert not [given for _, given in elsewhere.seen if given], "a redirect to another host got the token"

        # a defect that repeats what it was given, in a thread and in the window
        sys.excepthook(*_failure(f"cannot use {CANARY} and {HEADER}"))
        main.run_until(lambda: any("defect" in n.title.lower() for n in core.notices.history), 5)
        for health in core.store.state.sources.values():
            clean(f"the health of {health.id}", repr(health))

        _processes(stage)
        entries = core.actions.activity()
        for form in ("csv", "json"):
            clean(f"the exported {form}", core.actions.export_activity(entries, form))
        clean("the notices", "\n".join([*(repr(n) for n in core.notices.history), *stage.shown]))
        clean("what is known", msgspec.json.encode(core.store.state, enc_hook=repr))
        clean("the core's words of itself", f"{core.secrets!r} {core.settings!r} {core.connections.all!r}")
        core.save()
    finally:
        restore()
        close_log()
        logging.getLogger("cockpit").removeHandler(handler)
        elsewhere.close()
    clean("the log", "\n".join(records))
    stage.close()
    _commands(stage, monkeypatch, capsys)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    names = {p.name for p in files}
    assert {"cockpit.toml", "cockpit.sqlite", "cockpit.log"} <= names, names
    for path in files:
        clean(path.name, path.read_bytes())


def _failure(words: str) -> tuple[Any, Any, Any]:
    try:
        raise RuntimeError(words)
    except RuntimeError as error:
        return type(error), error, error.__traceback__


def _processes(stage: Stage) -> None:
    """Command lines and environments of everything that was started."""
    found = stage.children()
    reading = [p for p in found if "cockpit.reading" in p.cmdline()]
    assert reading, "the reading process runs"
    for child in found:
        try:
            clean(f"a command line: {child.name()}", "\0".join(child.cmdline()))
            environment = child.environ()
        except psutil.Error:
            continue  # it ended meanwhile
        if child in reading:
            clean("the environment of the reading process", repr(environment))
        assert CANARY not in repr(environment)


def _commands(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same from a terminal."""
    stage.server.mode = "echo"
    real = cli_session.app.build

    def with_the_ring(*arguments: Any, **options: Any) -> Cockpit:
        core: Cockpit = real(*arguments, **options)
        core.secrets = Secrets(os.environ, lambda: stage.ring)
        core.notices.hide = core.secrets.hide
        return core

    monkeypatch.setattr(cli_session.app, "build", with_the_ring)
    where = ["--data-dir", str(stage.paths.data)]
    for words in (
        ["sources", "--json"],
        ["sources"],
        ["sources", "--test", "leaky", "--json"],
        ["activity", "--json"],
        ["activity", "--csv"],
    ):
        cli.main([*where, *words])
    cli.main([*where, "connect", "--test", "hearsay"])
    out, err = capsys.readouterr()
    assert "leaky" in out
    assert "Not authorised" in out + err
    clean("what commands print", out + err)
