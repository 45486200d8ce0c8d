"""Makes the playground's git repository from the script of its history in resources/playground: the same commit ids everywhere."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from cockpit.paths import resource
from cockpit.playground.errors import PlaygroundError
from cockpit.playground.weave import file_at

# What the first start deploys to staging and production.
RELEASED: dict[str, str] = {"order-gateway": "1.6.0", "market-data": "2.3.0", "risk-engine": "3.4.0"}
# Tagged, newer, and deployed nowhere yet; of order-gateway the first is good and the second is bad.
PENDING: dict[str, tuple[str, ...]] = {"order-gateway": ("1.6.1", "1.7.0"), "market-data": ("2.4.0",), "risk-engine": ()}

BRANCH = "main"
# Authors commit, then somebody reviews: the committer's date comes later.
REVIEW_S = 2820
GIT_TIMEOUT_S = 60.0
_TITLE = "No playground repository"


class _History:
    """The script of the history and the woven files it refers to."""

    def __init__(self, root: Path) -> None:
        script = tomllib.loads((root / "history.toml").read_text(encoding="utf-8"))
        self.steps: list[dict[str, Any]] = script["steps"]
        self.people: dict[str, str] = script["people"]
        self._order = {step["id"]: number for number, step in enumerate(self.steps)}
        self._woven: list[tuple[str, int, str]] = []
        for path in sorted((root / "tree").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(root / "tree").as_posix()
                service = script["services"].get(name.split("/")[1]) if name.startswith("services/") else None
                since = self._order[service["since"]] if service else 0
                self._woven.append((script["files"].get(name, name), since, _read(path)))
        for source, place in script["shared"].items():
            text = _read(root / "shared" / source)
            for service, facts in script["services"].items():
                target = f"services/{service}/{place.format(package=facts['package'])}"
                self._woven.append((target, self._order[facts["since"]], text))

    def files(self, number: int) -> dict[str, str]:
        """Every file after one step, by its path."""
        known = ((name, file_at(text, number, self._order, name)) for name, since, text in self._woven if number >= since)
        return {name: text for name, text in known if text}


def make_repository(target: Path) -> None:
    """Make the repository at `target` unless it stands there: whole or not at all, in about a second.

    Safe from several processes at once. Raises PlaygroundError; what else stands at `target` is never touched.
    """
    if (target / ".git").is_dir():
        return
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PlaygroundError(_TITLE, f"{target} exists and is not a git repository.", "Move it away.")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        _build(partial)
        partial.rename(target)
    except OSError as error:
        # Somebody else was faster: theirs is the same.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not (target / ".git").is_dir():
            raise PlaygroundError(
                _TITLE, f"it could not be written: {error.strerror or error}.", "Free space, or choose another data directory."
            ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_abandoned(target: Path) -> None:
    """Remove what an interrupted making left, but not what another live process is making."""
    for partial in target.parent.glob(f".{target.name}.*.partial"):
        pid = partial.name.split(".")[-2]
        if pid.isdigit() and (int(pid) == os.getpid() or not _is_alive(int(pid))):
            shutil.rmtree(partial, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _build(directory: Path) -> None:
    stream = _stream(_History(resource("playground")))
    options = ["--quiet", "--template=", "--object-format=sha1", f"--initial-branch={BRANCH}"]
    _git(directory.parent, "init", *options, "--end-of-options", directory.name)
    _git(directory, "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--force", stdin=stream)
    with (directory / ".git" / "config").open("a", encoding="utf-8", newline="\n") as config:
        # Worktrees made of it by others keep the bytes that the commits have.
        config.write("[core]\n\tautocrlf = false\n\tfileMode = false\n[gc]\n\tauto = 0\n")
    _git(directory, "reset", "--hard", "--quiet")


def _git(directory: Path, *arguments: str, stdin: bytes = b"") -> None:
    """Run git without any configuration of the person or the machine. Raises PlaygroundError with what git says."""
    settings = ["-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", "-c", f"core.hooksPath={os.devnull}", "-c", "core.autocrlf=false"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ATTR_NOSYSTEM": "1", "LC_ALL": "C", "TZ": "UTC"}
    command = ["git", *settings, *arguments]
    try:
        done = subprocess.run(command, cwd=directory, env=environment, input=stdin, capture_output=True, timeout=GIT_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise PlaygroundError(_TITLE, "git was not found.", "Install git, or put it on the PATH.") from error
    except subprocess.TimeoutExpired as error:
        raise PlaygroundError(_TITLE, f"git did not end within {GIT_TIMEOUT_S:.0f} s.") from error
    if done.returncode:
        raise PlaygroundError(_TITLE, f"git failed: {done.stderr.decode(errors='replace').strip()}")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _stream(history: _History) -> bytes:
    """The whole history for one `git fast-import`."""
    parts: list[bytes] = []
    before: dict[str, str] = {}
    for number, step in enumerate(history.steps):
        after = history.files(number)
        if after == before:
            raise PlaygroundError(_TITLE, f"the step {step['id']} changes nothing.")
        parts += _commit(step, history.people, number)
        parts += [f"D {name}\n".encode() for name in before if name not in after]
        for name in sorted(after):
            if after[name] != before.get(name):
                parts += [f"M 100644 inline {name}\n".encode(), _data(after[name])]
        if "tag" in step:
            parts += _tag(step, history.people, number)
        before = after
    return b"".join(parts)


def _commit(step: dict[str, Any], people: dict[str, str], number: int) -> list[bytes]:
    at_s = int(step["at"].timestamp())
    who = _person(people, step["author"])
    trailers = [f"Co-authored-by: {_person(people, name)}" for name in step.get("co_authored_by", ())]
    trailers += [f"Reviewed-by: {_person(people, name)}" for name in step["reviewed_by"]]
    trailers += [f"Rollback: {step['rollback']}"] if "rollback" in step else []
    message = f"{step['subject']}\n\n{step['body'].strip()}\n\n" + "\n".join(trailers) + "\n"
    head = f"commit refs/heads/{BRANCH}\nmark :{number + 1}\nauthor {who} {at_s} +0000\ncommitter {who} {at_s + REVIEW_S} +0000\n"
    return [head.encode(), _data(message), *([f"from :{number}\n".encode()] if number else [])]


def _tag(step: dict[str, Any], people: dict[str, str], number: int) -> list[bytes]:
    service, _, version = step["tag"].partition("/v")
    at_s = int(step["at"].timestamp()) + 2 * REVIEW_S
    head = f"tag {step['tag']}\nfrom :{number + 1}\ntagger {_person(people, step['author'])} {at_s} +0000\n"
    return [head.encode(), _data(f"{service} {version}\n")]


def _person(people: dict[str, str], short: str) -> str:
    return f"{people[short]} <{short}@playground.invalid>"


def _data(text: str) -> bytes:
    content = text.encode()
    return f"data {len(content)}\n".encode() + content + b"\n"
