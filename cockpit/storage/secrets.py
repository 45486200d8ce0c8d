"""Tokens by connection, in the platform's keyring or in memory. The only home of `keyring`."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

SERVICE_NAME: Final = "release-cockpit"
PROMPT_S: Final = 60.0  # a person may have to look the password up; then nobody is there
AGAIN_S: Final = 300.0  # who closed the keyring's prompt is not asked again with every poll
HIDDEN_CHARS: Final = 6  # shorter ones are words that stand in any text
# only stores that keep secrets encrypted without asking on a terminal; keyring by itself might choose a plain-text one
_NATIVE: Final = (
    ("SecretService", "Keyring"),
    ("kwallet", "DBusKeyring"),
    ("macOS", "Keyring"),
    ("Windows", "WinVaultKeyring"),
)
_MEMORY: Final = "Secrets are held in memory only, until the program ends."
_UNLOCK: Final = "Unlock it (log in again, or open the desktop's password manager), then enter the token again."
# the class of an error, or of its cause, by name: no backend's library is loaded for it
_WHY: Final = {
    "PromptDismissedException": ("The keyring's question for its password was dismissed.", _UNLOCK),
    "KeyringLocked": ("The keyring is locked: it was not unlocked, or the password was wrong.", _UNLOCK),
    "LockedException": ("The keyring is locked: it was not unlocked, or the password was wrong.", _UNLOCK),
    "NoKeyringError": ("There is no keyring here.", ""),
    "SecretServiceNotAvailableException": ("The keyring's service does not run any more.", "Start it, or log in again."),
}
_NONE: Final = (
    "There is no keyring here.",
    "On Linux a Secret Service such as gnome-keyring or KWallet must run in your session; or name an environment variable instead.",
)


class Backend(Protocol):
    """The part of a keyring backend that is used here."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class Secrets:
    """Tokens by connection id: the environment variable first, then what was set in this run, then the keyring.

    Where the keyring cannot be used, secrets are held in memory until the program ends; `reason` says why, `hint` the way out. Nothing is
    ever written in plain text, and no value appears in an error, a log or a repr. Every method may block for `prompt_s` while the keyring
    asks the person to unlock it: call them in worker threads only. After `close` nobody waits any more.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        find_backend: Callable[[], Backend | None] | None = None,
        *,
        prompt_s: float = PROMPT_S,
        again_s: float = AGAIN_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        self._find_backend = find_backend or native_backend
        self._prompt_s, self._again_s, self._clock_s = prompt_s, again_s, clock_s
        self._change = threading.Condition()
        self._backend: Backend | None = None
        self._looked = False
        self._memory: dict[str, str] = {}
        self._handed: set[str] = set()  # what was ever given out or taken in: no text that is shown may hold it
        self._busy = self._stuck = self._closed = False
        self._pause_until_s = 0.0
        self.reason = ""
        self.hint = ""

    def __repr__(self) -> str:
        return f"<Secrets {'in memory' if self.reason else SERVICE_NAME}>"

    def get(self, connection_id: str, token_env: str = "") -> str:
        """The token, or "" where there is none."""
        given = self._environ.get(token_env, "").strip() if token_env else ""
        if not given:
            with self._change:
                given = self._memory.get(connection_id, "")
        if not given:
            given = str(self._ask(lambda backend: backend.get_password(SERVICE_NAME, connection_id)) or "").strip()
        self._note(given)
        return given

    def hide(self, text: str) -> str:
        """The text without any secret that was given out or taken in here. Fast; any thread."""
        with self._change:
            handed = tuple(self._handed)
        for secret in handed:
            if secret in text:
                text = text.replace(secret, "***")
        return text

    def _note(self, secret: str) -> None:
        if len(secret) >= HIDDEN_CHARS:
            with self._change:
                self._handed.add(secret)

    def set(self, connection_id: str, value: str) -> bool:
        """Keep a token; False when it is held in memory only (`reason` says why)."""
        with self._change:
            # held here too: the keyring may be locked again before the next request needs it
            self._memory[connection_id] = value.strip()
        self._note(value.strip())

        def keep(backend: Backend) -> bool:
            backend.set_password(SERVICE_NAME, connection_id, value.strip())
            return True

        return self._ask(keep, person=True) is True

    def delete(self, connection_id: str) -> bool:
        """Forget a token here and in the keyring; one that is not there is no error. False where the keyring may still hold it."""
        with self._change:
            self._memory.pop(connection_id, None)

        def drop(backend: Backend) -> bool:
            if backend.get_password(SERVICE_NAME, connection_id) is not None:
                backend.delete_password(SERVICE_NAME, connection_id)
            return True

        return self._ask(drop, person=True) is True or self._backend is None

    def close(self) -> None:
        """Let go of everybody who waits for the keyring; it is not asked any more."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _ask(self, question: Callable[[Backend], Any], person: bool = False) -> Any:
        """The keyring's answer, or None with `reason` saying why. A person who asks is not made to wait out the pause."""
        with self._change:
            if self._closed or self._stuck or (not person and self._clock_s() < self._pause_until_s):
                return None
            if not self._change.wait_for(lambda: not self._busy or self._closed, self._prompt_s) or self._closed:
                return None
            self._busy = True
        # a thread of its own: a prompt that nobody answers holds that thread, and never the one that asks here
        answer = _Answer()
        threading.Thread(target=self._carry_out, args=(question, answer, person), name="cockpit-keyring", daemon=True).start()
        with self._change:
            self._change.wait_for(lambda: answer.over or self._closed, self._prompt_s)
            if not answer.over and not self._closed:
                self._stuck = True
                self._tell(f"The keyring waits for its password, and nobody answered for {self._prompt_s:.0f} s.", _UNLOCK)
            return answer.value if answer.over else None

    def _carry_out(self, question: Callable[[Backend], Any], answer: _Answer, person: bool) -> None:
        why = hint = ""
        value: Any = None
        try:
            backend = self._found(person)
            if backend is None:
                why, hint = _NONE
            else:
                value = question(backend)
        except Exception as error:  # noqa: BLE001 - backends raise whatever their D-Bus or platform library raises
            # an error's own text may hold the secret: it is dropped
            why, hint = _words(error)
        with self._change:
            self._pause_until_s = self._clock_s() + self._again_s if why else 0.0
            self._tell(why, hint)
            answer.value, answer.over = value, True
            self._busy = self._stuck = False
            self._change.notify_all()

    def _tell(self, why: str, hint: str) -> None:
        self.reason, self.hint = (f"{why} {_MEMORY}", hint) if why else ("", "")

    def _found(self, person: bool) -> Backend | None:
        """Looked for once; a person who keeps a token looks again, for a keyring may have been started meanwhile."""
        if not self._looked or (person and self._backend is None):
            self._backend = self._find_backend()
            self._looked = True
        return self._backend


class _Answer:
    """What one question brought, once it is over."""

    def __init__(self) -> None:
        self.value: Any = None
        self.over = False


def _words(error: BaseException) -> tuple[str, str]:
    """Why the keyring did not do it, and the way out."""
    seen: BaseException | None = error
    known = []
    while seen is not None:
        known += [_WHY[kind.__name__] for kind in type(seen).__mro__ if kind.__name__ in _WHY]
        seen = seen.__cause__
    if known:
        return known[-1]
    if "dismissed" in str(error):
        return _WHY["PromptDismissedException"]
    return f"The keyring did not answer ({type(error).__name__}).", "Log in again, or name an environment variable for the token instead."


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
