"""Keyring backends in memory: one that works, one that stays locked, one whose prompt nobody answers."""

from __future__ import annotations

import threading


class MemoryKeyring:
    """Works and forgets."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class PromptingKeyring(MemoryKeyring):
    """Asks for its password and waits until `answered`; `asked` counts."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = threading.Event()
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        assert self.answered.wait(60)
        return super().get_password(service, username)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.asked += 1
        assert self.answered.wait(60)
        super().set_password(service, username, password)
