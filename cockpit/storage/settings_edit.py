"""Changes one connection in a settings file and nothing else: comments and order stay, and a file is replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cockpit.domain.errors import ConfigError, NotAllowed, StorageError
from cockpit.storage.settings import parse, tables

_CONNECTIONS: Final = "connections"
_BOM: Final = "\ufeff"
_HEAD: Final = """\
# Release Cockpit. `release-cockpit policy schema` says all that may stand here.
# Say who you are: what you approve and do carries it.
# [me]
# name = ""
# email = ""
"""


def content_of(path: Path) -> bytes | None:
    """The file as it is, None where there is none. StorageError where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.", hint="Check the rights of the file.") from error


def connection_in(content: bytes | None, connection_id: str) -> dict[str, Any] | None:
    """The table of that connection as it stands there; None where there is none. ConfigError where the file is no TOML."""
    if content is None:
        return None
    found = _tables(content).get(_CONNECTIONS)
    entry = found.get(connection_id) if isinstance(found, dict) else None
    return entry if isinstance(entry, dict) else None


def snippet(connection_id: str, values: Mapping[str, Any]) -> str:
    """The connection as TOML, to be put into a file by hand."""
    import tomlkit

    table = tomlkit.table()
    for name, value in values.items():
        table.add(name, value)
    above = tomlkit.table(True)
    above.add(connection_id, table)
    document = tomlkit.document()
    document.add(_CONNECTIONS, above)
    return tomlkit.dumps(document)


def first_file(services: tuple[str, ...]) -> bytes:
    """A settings file that names these services and nothing else."""
    import tomlkit

    document = tomlkit.document()
    above = tomlkit.table(True)
    for name in services:
        above.add(name, tomlkit.table())
    document.add("services", above)
    return f"{_HEAD}\n{tomlkit.dumps(document)}".encode()


def with_connection(content: bytes, connection_id: str, values: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> bytes:
    """The file with this connection as `values` say; None removes it. `before` is what is thought to stand there, None for nothing.

    ConfigError where the file is no TOML; NotAllowed where something else stands there, or it is written in a way that cannot be changed
    without a risk for the rest.
    """
    stands = connection_in(content, connection_id)
    if stands != before:
        _refuse(connection_id, stands, before)
    text = content.decode("utf-8-sig")
    changed = _appended(text, connection_id, values) if stands is None else _edited(text, connection_id, values, stands)
    if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
        changed = changed.replace("\r\n", "\n").replace("\n", "\r\n")
    answer = ((_BOM if content.startswith(_BOM.encode()) else "") + changed).encode()
    _prove(content, answer, connection_id, values)
    return answer


def _refuse(connection_id: str, stands: Any, before: Any) -> None:
    if before is None:
        raise NotAllowed(
            f"There is a connection “{connection_id}” already.", hint="Choose another name, or change that one.", title="Taken"
        )
    what = "was removed" if stands is None else "was changed"
    raise NotAllowed(
        f"The connection “{connection_id}” {what} in the file meanwhile.",
        hint="Nothing was written. Look at it again, then change it.",
        title="Changed meanwhile",
    )


def _appended(text: str, connection_id: str, values: Mapping[str, Any] | None) -> str:
    gap = "" if not text.strip() else "\n" if text.endswith("\n") else "\n\n"
    return f"{text}{gap}{snippet(connection_id, values or {})}"


def _edited(text: str, connection_id: str, values: Mapping[str, Any] | None, stands: Mapping[str, Any]) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        connections: Any = document[_CONNECTIONS]
        if values is None:
            below = _comments_below(connections[connection_id])
            del connections[connection_id]
            return _put_back(text, tomlkit.dumps(document), below)
        entry = connections[connection_id]
        for name in [n for n in stands if n not in values]:
            del entry[name]
        for name, value in values.items():
            # what says the same stays as it was written
            if name not in stands or stands[name] != value:
                entry[name] = value
        return tomlkit.dumps(document)
    except (TOMLKitError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise _by_hand(connection_id) from error


def _comments_below(entry: Any) -> str:
    """The comments between the table's last value and what follows: they speak of what follows, or of the whole file."""
    from tomlkit.items import Comment, Table, Whitespace

    if not isinstance(entry, Table):
        return ""
    below = []
    for _, item in reversed(entry.value.body):
        if not isinstance(item, Comment | Whitespace):
            break
        below.append(item.as_string())
    return "".join(reversed(below)) if any("#" in piece for piece in below) else ""


def _put_back(before: str, after: str, kept: str) -> str:
    """`after` is `before` without one piece, and `kept` is how that piece ends: only that stays."""
    gone = len(before) - len(after)
    same = next((n for n, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), min(len(before), len(after)))
    for at in range(same, -1, -1) if kept else ():
        if before[at + gone - len(kept) : at + gone] == kept and before[:at] + before[at + gone :] == after:
            return before[:at] + kept.lstrip("\r\n") + before[at + gone :]
    return after


def _prove(before: bytes, after: bytes, connection_id: str, values: Mapping[str, Any] | None) -> None:
    """What comes out must be what went in, but for this one connection."""
    wanted = _tables(before)
    found = wanted.setdefault(_CONNECTIONS, {})
    try:
        said = tables(after)
    except ValueError:
        raise _by_hand(connection_id) from None
    if not isinstance(found, dict):
        raise _by_hand(connection_id)
    if values is None:
        found.pop(connection_id, None)
    else:
        found[connection_id] = dict(values)
    said.setdefault(_CONNECTIONS, {})
    if said != wanted:
        raise _by_hand(connection_id)


def _by_hand(connection_id: str) -> NotAllowed:
    return NotAllowed(
        f"The way in which connections are written in this file leaves no room to change “{connection_id}” safely.",
        hint="Nothing was written. Write it as a table of its own, [connections.NAME], by hand.",
        title="Not changed",
    )


def _tables(content: bytes) -> dict[str, Any]:
    try:
        return tables(content)
    except ValueError as error:
        raise ConfigError(
            f"The settings are no TOML, so nothing can be added to them: {error}.",
            hint="Correct the file first; nothing was written.",
            problems=(str(error),),
        ) from None


def new_problems(before: bytes | None, after: bytes, path: Path) -> tuple[str, ...]:
    """The mistakes that the change would bring; those that were there already do not count."""
    folder = path.absolute().parent
    known = parse(before, str(path), folder)[1] if before is not None else None
    found = parse(after, str(path), folder)[1]
    old = set(known.problems) if known is not None else set()
    return tuple(p for p in found.problems if p not in old) if found is not None else ()


def replace_file(path: Path, before: bytes | None, after: bytes) -> None:
    """Put `after` where `before` stands, in one step; None: where nothing stands.

    NotAllowed where the file changed meanwhile; StorageError where it is read-only or the disk refuses. Then it is as it was.
    """
    target = path.resolve()  # a link stays a link
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode(target) if before is not None else 0o600
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        if content_of(target) != before:
            raise NotAllowed(f"{path} was changed meanwhile.", hint="Nothing was written: do it again.", title="Changed meanwhile")
        os.replace(name, target)
        _settle(target.parent)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _mode(target: Path) -> int:
    mode = stat.S_IMODE(target.stat().st_mode)
    if not mode & stat.S_IWUSR:
        raise StorageError(f"{target} is read-only.", hint="Nothing was written. Make it writable, or ask who looks after it.")
    return mode


def _settle(folder: Path) -> None:
    """The new name itself must outlive a loss of power."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritten(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} could not be written: {error.strerror or error}.", hint="It is as it was. Check the rights and the space on the disk."
    )
