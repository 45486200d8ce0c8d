"""Where a repository keeps its refs, and a fingerprint of them that costs a few stat calls."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from msgspec import Struct

from cockpit.domain.errors import AuthFailed, NotFound

# A directory changed this recently may change again within the same tick of the file system's clock, unseen.
_SETTLED_NS = 100_000_000


class Place(Struct, frozen=True):
    """A repository on disk: where git is started, its own git directory, and the one it shares (a worktree's main repository)."""

    root: Path
    git_dir: Path
    common_dir: Path


def locate(path: str) -> Place:
    """The repository that `path` is or lies in; NotFound where there is none. Nothing of it is run."""
    start = Path(path).expanduser().absolute()
    try:
        for root in (start, *start.parents) if start.exists() else ():
            git_dir = _git_dir(root)
            if git_dir is not None:
                common = git_dir / "commondir"
                shared = git_dir / common.read_text().strip() if common.is_file() else git_dir
                return Place(root.resolve(), git_dir, shared)
    except PermissionError as error:
        raise AuthFailed(f"“{path}” may not be read: {error.strerror}.", hint="Give yourself the right to read the repository.") from None
    except (OSError, ValueError) as error:
        raise NotFound(f"“{path}” cannot be opened: {error}.", hint=_HINT) from None
    what = "is no git repository" if start.exists() else "does not exist"
    raise NotFound(f"“{path}” {what}.", hint=_HINT)


_HINT = "Set the repository's path in the settings; a working tree or a bare repository on disk."


def _git_dir(root: Path) -> Path | None:
    dot_git = root / ".git"
    if dot_git.is_file():  # a worktree or a submodule: a file that names the directory
        named = dot_git.read_text(errors="replace").partition("gitdir:")[2].strip()
        return (root / named) if named else None
    for candidate in (dot_git, root):
        if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
            return candidate
    return None


class RefsWatch:
    """Fingerprints of a repository's refs.

    Git replaces a ref's file by renaming another onto it, which changes its directory's time. So only directories are looked at, and one is
    read again when its time changed, or when it was last read so soon after its change that a further one could share the time.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._known: dict[str, tuple[int, bool, str, tuple[str, ...]]] = {}

    def fingerprint(self) -> str:
        """Text that changes with any ref, HEAD included; FileNotFoundError where the repository is gone."""
        common = self._place.common_dir
        parts = [
            _stat(self._place.git_dir / "HEAD", required=True),
            _stat(common / "packed-refs"),
            _stat(common / "reftable" / "tables.list"),
        ]
        waiting = [str(common / "refs")]
        seen = {}
        while waiting:
            directory = waiting.pop()
            known = self._read(directory)
            seen[directory] = known
            parts.append(known[2])
            waiting.extend(known[3])
        self._known = seen
        return hashlib.blake2b("\n".join(parts).encode(errors="replace"), digest_size=16).hexdigest()

    def _read(self, directory: str) -> tuple[int, bool, str, tuple[str, ...]]:
        known = self._known.get(directory)
        try:
            changed_ns = os.stat(directory).st_mtime_ns
            if known is not None and known[0] == changed_ns and known[1]:
                return known
            settled = time.time_ns() - changed_ns > _SETTLED_NS
            below, files = [], []
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.path)
                    elif not entry.name.endswith(".lock"):
                        files.append(f"{entry.name} {_stat(entry)}")
        except FileNotFoundError:  # a directory that git just removed
            return 0, False, "", ()
        return changed_ns, settled, "\n".join([directory, *sorted(files)]), tuple(sorted(below))


def _stat(path: Path | os.DirEntry[str], required: bool = False) -> str:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if required:
            raise
        return "-"
    return f"{found.st_mtime_ns} {found.st_ino} {found.st_size}"
