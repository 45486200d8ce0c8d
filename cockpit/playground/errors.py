"""The playground's one error that a person can meet."""

from __future__ import annotations


class PlaygroundError(Exception):
    """`title` (a few words), `message` (what happened), `hint` (the way out)."""

    def __init__(self, title: str, message: str, hint: str = "") -> None:
        super().__init__(f"{title}: {message}" + (f" {hint}" if hint else ""))
        self.title = title
        self.message = message
        self.hint = hint
