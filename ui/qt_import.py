"""PySide6, imported in half of its time: without its hook in `import`, its support modules' bytecode kept, one of them left out."""

from __future__ import annotations

import builtins
import importlib.util
import marshal
import os
import sys
import zlib
from contextlib import suppress
from types import CodeType
from typing import Any

_PREFIX = "shibokensupport/"  # PySide6 carries these modules as source in its library and compiles them at each start
# writes .pyi files for those who build PySide6, imports argparse and compiles the two longest patterns of the start
_LEFT_OUT, _LOADER = f"{_PREFIX}signature/lib/pyi_generator.py", f"{_PREFIX}signature/loader.py"
_Kept = dict[str, tuple[int, CodeType]]


def import_qt() -> None:
    """Import PySide6.QtCore. Main thread, before there are others. Nothing is lost where the bytecode cannot be read or kept."""
    plain_import, plain_compile = builtins.__import__, builtins.compile
    path = f"{importlib.util.cache_from_source(__file__)}.support"
    kept = _read(path)
    fresh: _Kept = {}
    spared = False

    def compile_once(source: Any, filename: Any, *arguments: Any, **options: Any) -> Any:
        if not (isinstance(filename, str) and filename.startswith(_PREFIX) and isinstance(source, bytes)):
            return plain_compile(source, filename, *arguments, **options)
        nonlocal spared
        if filename == _LOADER:
            # as long as it is imported only to be there
            spared = b"pyi_generator." not in source
        elif filename == _LEFT_OUT and spared:
            source = b""
        checksum = zlib.crc32(source)
        known = kept.get(filename)
        code = known[1] if known is not None and known[0] == checksum else plain_compile(source, filename, *arguments, **options)
        fresh[filename] = (checksum, code)
        return code

    builtins.compile = compile_once
    try:
        import PySide6.QtCore  # noqa: F401
    finally:
        builtins.compile = plain_compile
        # the hook looks for `from __feature__ import ...`, which nothing here uses, in the source of every module imported later
        builtins.__import__ = plain_import
    if {k: v[0] for k, v in fresh.items()} != {k: v[0] for k, v in kept.items()} and not sys.dont_write_bytecode:
        _write(path, fresh)


def _read(path: str) -> _Kept:
    """What an earlier start kept beside the bytecode of this file, trusted like that."""
    try:
        with open(path, "rb") as file:
            found = marshal.loads(file.read())  # noqa: S302 - a bytecode cache, as Python's own
    except (OSError, EOFError, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: str, fresh: _Kept) -> None:
    with suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = f"{path}.{os.getpid()}"
        with open(part, "wb") as file:
            marshal.dump(fresh, file)
        os.replace(part, path)
