"""Secrets in a real gnome-keyring on a session bus of its own: no bus, locked, a wrong password, a prompt without an answer; then kept."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from tests.fakes.keyring_session import Desktop, desktop

TOKEN = "tökén-✓-" + "x" * 200


def test_without_any_bus_it_is_said_at_once_and_held_in_memory(tmp_path: Path) -> None:
    with ExitStack() as stack:
        nowhere = Desktop(tmp_path, "", stack)
        begun = time.monotonic()
        found = nowhere.secrets(("get", "ci"), ("set", "ci", TOKEN), ("get", "ci"))
        assert found["answers"] == ["", False, TOKEN]
        assert "no keyring" in found["reason"]
        assert "memory only" in found["reason"]
        assert time.monotonic() - begun < 30
    assert not [p for p in tmp_path.rglob("*") if p.is_file()], "nothing is written without a keyring"


def test_a_bus_without_a_keyring_is_the_same(tmp_path: Path) -> None:
    with desktop(tmp_path) as here:
        found = here.secrets(("set", "ci", TOKEN), ("get", "ci"))
    assert found["answers"] == [False, TOKEN]
    assert "memory only" in found["reason"]


def test_kept_in_one_session_and_found_in_the_next_with_the_right_password_only(tmp_path: Path) -> None:
    with desktop(tmp_path) as here:
        here.login("right")
        found = here.secrets(("get", "ci"), ("delete", "ci"), ("set", "ci", TOKEN), ("set", "dé/pløy", "2"), ("get", "ci"))
        assert found["answers"] == ["", True, True, True, TOKEN]
        assert found["reason"] == ""
        assert here.secrets(("get", "ci"), ("get", "dé/pløy"))["answers"] == [TOKEN, "2"], "another process of the same session"
    files = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert files
    assert not any(TOKEN.encode() in content for content in files), "encrypted on the disk"

    for password in ("wrong", None):
        with desktop(tmp_path) as here:
            here.login(password)
            found = here.secrets(("get", "ci"), ("set", "ci", "new"), ("get", "ci"))
            assert found["answers"] == ["", False, "new"], password
            assert "locked" in found["reason"] or "dismissed" in found["reason"]
            assert "memory only" in found["reason"]
            assert "nlock" in found["hint"]

    with desktop(tmp_path) as here:
        here.login("right")
        assert here.secrets(("get", "ci"), ("delete", "ci"), ("get", "ci"))["answers"] == [TOKEN, True, ""]


def test_a_keyring_that_nobody_made_and_a_question_that_is_dismissed(tmp_path: Path) -> None:
    with desktop(tmp_path) as here:
        here.login(None)
        found = here.secrets(("set", "ci", TOKEN))
    assert found["answers"] == [False]
    assert "dismissed" in found["reason"]


def test_a_prompt_that_nobody_answers_holds_nobody_up(tmp_path: Path) -> None:
    with desktop(tmp_path) as here:
        here.login("right")
        assert here.secrets(("set", "ci", TOKEN))["answers"] == [True]
    with desktop(tmp_path) as here:
        here.prompter()
        here.login(None)
        begun = time.monotonic()
        found = here.secrets(("get", "ci"), ("get", "ci"), ("set", "x", "y"), ("get", "x"), prompt_s=1.0)
        assert time.monotonic() - begun < 30
    assert found["answers"] == ["", "", False, "y"]
    assert "nobody answered" in found["reason"]
