"""Tokens by connection, in the platform's keyring or in memory. The only home of `keyring`."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

SERVICE_NAME: Final = "release-cockpit"
# only stores that keep secrets encrypted without asking on a terminal; keyring by itself might choose a plain-text one
_NATIVE: Final = (
    ("SecretService", "Keyring"),
    ("kwallet", "DBusKeyring"),
    ("macOS", "Keyring"),
    ("Windows", "WinVaultKeyring"),
)


class Backend(Protocol):
    """The part of a keyring backend that is used here."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class Secrets:
    """Tokens by connection id: the environment variable first, then what was set in this run, then the keyring.

    Without a keyring that can be used, secrets are held in memory until the program ends, and `reason` says so. Nothing is ever written
    in plain text, and no value appears in an error, a log or a repr. Every method may block for as long as the keyring asks the
    person to unlock it: call them in worker threads only.
    """

    def __init__(self, environ: Mapping[str, str], find_backend: Callable[[], Backend | None] | None = None) -> None:
        self._environ = environ
        self._find_backend = find_backend or native_backend
        self._lock = threading.Lock()
        self._asked = False
        self._backend: Backend | None = None
        self._memory: dict[str, str] = {}
        self.reason = ""

    def __repr__(self) -> str:
        return f"<Secrets {'in memory' if self.reason else SERVICE_NAME}>"

    def get(self, connection_id: str, token_env: str = "") -> str:
        """The token, or "" where there is none."""
        given = self._environ.get(token_env, "").strip() if token_env else ""
        if given:
            return given
        with self._lock:
            if connection_id in self._memory:
                return self._memory[connection_id]
        found = self._ask(lambda backend: backend.get_password(SERVICE_NAME, connection_id))
        return str(found or "").strip()

    def set(self, connection_id: str, value: str) -> bool:
        """Keep a token; False when it is held in memory only (`reason` says why)."""
        with self._lock:
            # held here too: the keyring may be locked again before the next request needs it
            self._memory[connection_id] = value.strip()

        def keep(backend: Backend) -> bool:
            backend.set_password(SERVICE_NAME, connection_id, value.strip())
            return True

        return self._ask(keep) is True

    def delete(self, connection_id: str) -> None:
        """Forget a token here and in the keyring; one that is not there is no error."""
        with self._lock:
            self._memory.pop(connection_id, None)

        def drop(backend: Backend) -> None:
            if backend.get_password(SERVICE_NAME, connection_id) is not None:
                backend.delete_password(SERVICE_NAME, connection_id)

        self._ask(drop)

    def _ask(self, question: Callable[[Backend], Any]) -> Any:
        """The keyring's answer, or None with `reason` saying why. An error's own text may hold the secret: it is dropped."""
        backend = self._found()
        if backend is None:
            return None
        try:
            answer = question(backend)
        except Exception as error:  # noqa: BLE001 - backends raise whatever their D-Bus or platform library raises
            self.reason = f"The keyring did not answer ({type(error).__name__}): secrets are held in memory until the window closes."
            return None
        self.reason = ""
        return answer

    def _found(self) -> Backend | None:
        with self._lock:
            if not self._asked:
                self._asked = True
                self._backend = self._find_backend()
                if self._backend is None:
                    self.reason = "There is no keyring here: secrets are held in memory until the window closes."
            return self._backend


def native_backend() -> Backend | None:
    """The platform's own keyring that works best here, or None. Imports keyring, and may talk to D-Bus: some 100 ms."""
    try:
        from keyring import backends
    except ImportError:
        return None
    usable: list[tuple[float, Any]] = []
    for module, name in _NATIVE:
        try:
            kind = getattr(importlib.import_module(f"{backends.__name__}.{module}"), name)
            usable.append((float(kind.priority), kind))
        except Exception:  # noqa: BLE001, S112 - each backend says "not here" by an error of its own
            continue
    if not usable:
        return None
    made: Backend = max(usable, key=lambda found: found[0])[1]()
    return made
