"""Secrets: never on disk in plain text, never in words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cockpit.storage import secrets as module
from cockpit.storage.secrets import SERVICE_NAME, Secrets, native_backend
from tests.fakes.keyrings import MemoryKeyring, PromptingKeyring


class LockedKeyring(MemoryKeyring):
    """A keyring backend that stays locked, and repeats the secret in its error."""

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("locked")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"cannot store {password}")


def test_without_a_keyring_secrets_are_held_in_memory_and_it_is_said() -> None:
    secrets = Secrets({}, lambda: None)
    assert secrets.set("ci", "s3cret") is False
    assert secrets.get("ci") == "s3cret"
    assert "memory" in secrets.reason
    assert "s3cret" not in repr(secrets) + str(vars(secrets).get("reason"))
    secrets.delete("ci")
    assert secrets.get("ci") == ""


def test_a_locked_keyring_is_said_without_the_secret() -> None:
    secrets = Secrets({}, LockedKeyring)
    assert secrets.set("ci", "s3cret") is False
    assert secrets.get("ci") == "s3cret"
    assert secrets.get("other") == ""
    assert "memory" in secrets.reason
    assert "s3cret" not in secrets.reason
    secrets.delete("ci")
    assert secrets.get("ci") == ""


def test_the_keyring_keeps_and_forgets() -> None:
    backend = MemoryKeyring()
    secrets = Secrets({}, lambda: backend)
    assert secrets.set("ci", " s3cret\n") is True
    assert backend.kept == {(SERVICE_NAME, "ci"): "s3cret"}
    assert secrets.reason == ""
    assert Secrets({}, lambda: backend).get("ci") == "s3cret"
    secrets.delete("ci")
    secrets.delete("ci")
    assert backend.kept == {}


def test_the_named_variable_comes_first_and_an_empty_one_does_not_count() -> None:
    backend = MemoryKeyring()
    backend.set_password(SERVICE_NAME, "ci", "kept")
    secrets = Secrets({"CI_TOKEN": "given\n", "EMPTY": " "}, lambda: backend)
    assert secrets.get("ci", "CI_TOKEN") == "given"
    assert secrets.get("ci", "EMPTY") == "kept"
    assert secrets.get("ci", "MISSING") == "kept"


def test_no_keyring_is_asked_for_while_a_variable_answers() -> None:
    def never() -> None:
        pytest.fail("the keyring was asked for")

    assert Secrets({"T": "x"}, never).get("ci", "T") == "x"


def test_only_native_backends_are_ever_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    found = native_backend()
    assert found is None or type(found).__module__.removeprefix("") in {name for name, _ in module._NATIVE}
    monkeypatch.setattr(module, "_NATIVE", (("no_such_module", "Keyring"), ("fail", "NoSuchClass")))
    assert native_backend() is None


# -- why it does not, and how long one waits --------------------------------------------------------------------------------------


class KeyringLocked(Exception):
    """As keyring says it."""


class PromptDismissedException(Exception):
    """As SecretStorage says it."""


class Failing(MemoryKeyring):
    """Raises this at every question."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        raise self.error

    def set_password(self, service: str, username: str, password: str) -> None:
        self.asked += 1
        raise self.error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyringLocked("Failed to unlock the collection!"), "locked"),
        (caused(RuntimeError("Failed to create the collection"), PromptDismissedException("x")), "dismissed"),
        (RuntimeError("Failed to create the collection: Prompt dismissed.."), "dismissed"),
        (OSError("connection reset"), "did not answer (OSError)"),
    ],
)
def test_each_failure_has_its_words_and_a_way_out(error: Exception, words: str) -> None:
    secrets = Secrets({}, lambda: Failing(error))
    assert secrets.set("ci", "s3cret") is False
    assert words in secrets.reason
    assert "memory" in secrets.reason
    assert secrets.hint


def test_a_prompt_that_nobody_answers_holds_nobody_up_and_what_it_brings_later_counts(eventually: Callable[..., Any]) -> None:
    backend = PromptingKeyring()
    backend.kept[SERVICE_NAME, "ci"] = "kept"
    secrets = Secrets({}, lambda: backend, prompt_s=0.05)
    assert secrets.get("ci") == ""
    assert "nobody answered" in secrets.reason
    # while it still waits nobody else is made to
    assert secrets.get("other") == ""
    assert secrets.set("other", "x") is False
    assert secrets.get("other") == "x"
    assert backend.asked == 1
    backend.answered.set()
    eventually(lambda: secrets.reason == "")
    assert secrets.get("ci") == "kept"


def test_closing_lets_go_of_everybody_who_waits() -> None:
    backend = PromptingKeyring()
    secrets = Secrets({}, lambda: backend, prompt_s=60)
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(secrets.get("ci"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    secrets.close()
    for thread in threads:
        thread.join(30)
    assert answers == ["", "", ""]
    assert secrets.get("ci") == ""
    backend.answered.set()


def test_one_question_at_a_time_is_put_to_the_keyring() -> None:
    inside: list[int] = []

    class Counting(MemoryKeyring):
        def get_password(self, service: str, username: str) -> str | None:
            inside.append(1)
            assert sum(inside) == 1
            inside.append(-1)
            return "t"

    secrets = Secrets({}, Counting)
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(secrets.get("ci"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == ["t"] * 8


def test_who_closed_the_prompt_is_not_asked_with_every_poll() -> None:
    now, backend = [0.0], Failing(KeyringLocked("no"))
    secrets = Secrets({}, lambda: backend, again_s=300, clock_s=lambda: now[0])
    for _ in range(50):
        assert secrets.get("ci") == ""
    assert backend.asked == 1
    now[0] = 301.0
    secrets.get("ci")
    assert backend.asked == 2
    # a person who enters a token is never made to wait
    secrets.set("ci", "x")
    assert backend.asked == 3


def test_a_keyring_that_was_started_meanwhile_is_found_when_a_person_enters_a_token() -> None:
    backends: list[MemoryKeyring | None] = [None, MemoryKeyring()]
    secrets = Secrets({}, lambda: backends.pop(0))
    assert secrets.get("ci") == ""
    assert "no keyring" in secrets.reason
    assert secrets.set("ci", "x") is True
    assert secrets.reason == ""
