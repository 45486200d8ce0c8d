"""The playground's words on the command line, against a launcher that only remembers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cockpit import cli


class Remembering:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def drift(self, directory: Path, node: str, on: bool) -> str:
        self.asked.append((node, on))
        return f"{node} is set {'unlike' if on else 'like'} the others"

    def automatic(self, directory: Path, service: str, environment: str, on: bool) -> str:
        self.asked.append((service, environment, on))
        return "deployed to production by itself: \x1bnothing"

    def set_regime(self, directory: Path, regime: str) -> str:
        self.asked.append((regime,))
        return regime


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Remembering:
    made = Remembering()
    monkeypatch.setattr("cockpit.app.playground_launcher", lambda: made)
    return made


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("start", "calm"), "playground traffic calm"),
        (("status", "now"), "playground status"),
        (("traffic", "party"), "traffic calm|volatile|crash"),
        (("traffic", "calm", "crash"), "traffic calm|volatile|crash"),
        (("drift",), "drift NODE [on|off]"),
        (("drift", "node-1", "maybe"), "drift NODE [on|off]"),
        (("automatic", "gateway", "production"), "automatic SERVICE ENVIRONMENT on|off"),
        (("automatic", "gateway", "production", "maybe"), "automatic SERVICE ENVIRONMENT on|off"),
    ],
)
def test_words_that_do_not_belong_are_bad_usage(
    launcher: Remembering, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], hint: str
) -> None:
    assert cli.main(["--data-dir", str(tmp_path), "--json", "playground", *words]) == 2
    assert hint in json.loads(capsys.readouterr().out)["error"]["hint"]
    assert launcher.asked == []


@pytest.mark.parametrize(
    ("words", "asked", "said"),
    [
        (("drift", "node-1"), ("node-1", True), "node-1 is set unlike the others."),
        (("drift", "node-1", "on"), ("node-1", True), "node-1 is set unlike the others."),
        (("drift", "node-1", "off"), ("node-1", False), "node-1 is set like the others."),
        (("automatic", "gateway", "production", "on"), ("gateway", "production", True), "by itself: \ufffdnothing."),
        (("automatic", "gateway", "production", "off"), ("gateway", "production", False), "by itself: \ufffdnothing."),
        (("traffic", "crash"), ("crash",), "The traffic is crash."),
    ],
)
def test_words_that_belong_are_done_and_said(
    launcher: Remembering, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], asked: tuple[Any, ...], said: str
) -> None:
    assert cli.main(["--data-dir", str(tmp_path), "playground", *words]) == 0
    assert said in capsys.readouterr().out
    assert launcher.asked == [asked]
