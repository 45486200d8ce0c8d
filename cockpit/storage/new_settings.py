"""Writes a first settings file: one service and nothing else. Never over a file that exists."""

from __future__ import annotations

import os
from pathlib import Path

from cockpit.domain.errors import NotAllowed, StorageError
from cockpit.domain.release import Service

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def write_first(path: Path, service: Service) -> None:
    """A file with this one service. NotAllowed where a file stands there already; StorageError where the disk refuses."""
    lines = [f"[services.{_quoted(service.name)}]", f"repository = {_quoted(str(Path(service.repository).absolute()))}"]
    for key, value in (("tag_pattern", service.tag_pattern), ("path", service.path), ("live", service.live_version)):
        if value:
            lines.append(f"{key} = {_quoted(value)}")
    try:
        content = ("\n".join(lines) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        raise StorageError(
            "The repository's path is no UTF-8 text, so it cannot stand in a settings file.", hint="Rename the folder."
        ) from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        # made only if it is not there, in one step: nobody's file is ever overwritten
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        hint = "Add the service there by hand; nothing was changed."
        raise NotAllowed(f"There are settings already at {path}.", hint=hint, title="Settings exist") from None
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        path.unlink(missing_ok=True)  # half a file would stand in the way of the next attempt
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} could not be written: {error.strerror or error}.", hint="Check the rights and the space on the disk.")


def _quoted(text: str) -> str:
    safe = (_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if ord(c) < 0x20 or ord(c) == 0x7F else c) for c in text)
    return f'"{"".join(safe)}"'
