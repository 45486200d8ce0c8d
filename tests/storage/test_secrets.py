"""Secrets: never on disk in plain text, never in words."""

from __future__ import annotations

import pytest

from cockpit.storage import secrets as module
from cockpit.storage.secrets import SERVICE_NAME, Secrets, native_backend


class MemoryKeyring:
    """A keyring backend that works and forgets."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


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
