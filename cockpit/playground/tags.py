"""The released versions in the playground's repository, and what is made of them: artifacts named by their content."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import threading
from pathlib import Path

from msgspec import Struct

from cockpit.playground.errors import PlaygroundError
from cockpit.playground.processes import RecordLog, now_us, write_atomic

SERVICES = ("order-gateway", "market-data", "risk-engine")
_GIT_LIMIT_S = 60.0


class Tag(Struct, frozen=True):
    """One released version: `commit` is peeled, `at_us` when the tag was made."""

    service: str
    version: str
    name: str
    commit: str
    at_us: int


def version_key(version: str) -> tuple[tuple[int, ...], bool, str]:
    """Sorts versions by number; a pre-release (1.2.0-rc1) comes before its release."""
    core, _, rest = version.partition("-")
    return tuple(int(n) for n in re.findall(r"\d+", core)), not rest, rest


def git(repository: Path, *arguments: str) -> bytes:
    """Run git in the repository without anybody's settings or hooks; PlaygroundError with git's words where it fails."""
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    environ |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_CEILING_DIRECTORIES": str(repository.parent)}
    command = ["git", "-C", str(repository), "-c", f"core.hooksPath={os.devnull}", "-c", "gc.auto=0", *arguments]
    try:
        done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlaygroundError("git did not answer", str(error), "Is git installed?") from error
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip()
        raise PlaygroundError("git refused", words or f"exit status {done.returncode}", "Reset the playground to make its repository anew.")
    return done.stdout


def read_tags(repository: Path, services: tuple[str, ...] = SERVICES) -> list[Tag]:
    """All tags `<service>/v<version>` of these services, newest version of each service first; one git process, a few milliseconds."""
    form = "%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(creatordate:unix)"
    tags = []
    for line in git(repository, "for-each-ref", f"--format={form}", "refs/tags").decode("utf-8", "replace").splitlines():
        name, own, peeled, at_s = line.split("\0")
        service, _, version = name.partition("/v")
        if service in services and re.fullmatch(r"\d+[0-9A-Za-z.+-]*", version):
            tags.append(Tag(service, version, name, peeled or own, int(at_s or 0) * 1_000_000))
    return sorted(tags, key=lambda t: (t.service, version_key(t.version)), reverse=True)


class Artifact(Struct, frozen=True):
    """A built version: the sha256 of its tar names it."""

    service: str
    version: str
    commit: str
    digest: str
    built_at_us: int


class Artifacts:
    """Artifacts in `directory`/artifacts and their unpacked form in `directory`/releases. Thread-safe; `lock` guards the log."""

    def __init__(self, directory: Path, log: RecordLog, lock: threading.RLock) -> None:
        self._repository = directory / "repo"
        self._tars = directory / "artifacts"
        self._releases = directory / "releases"
        self._log = log
        self._lock = lock
        self._unpacking = threading.Lock()
        for leftover in self._releases.glob(".new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        self._built = {name: Artifact(**value) for name, value in log.get("artifact").items()}

    def build(self, tag: Tag) -> Artifact:
        """The artifact of a tag, built where it is not there yet; a tag that was moved is built anew."""
        known = self._built.get(tag.name)
        if known is not None and known.commit == tag.commit and self._path(known.digest).exists():
            return known
        data = git(self._repository, "archive", "--format=tar", "--end-of-options", tag.commit, f"services/{tag.service}")
        artifact = Artifact(tag.service, tag.version, tag.commit, hashlib.sha256(data).hexdigest(), now_us())
        write_atomic(self._path(artifact.digest), data)
        with self._lock:
            self._log.put("artifact", tag.name, artifact)
            self._built[tag.name] = artifact
        return artifact

    def of(self, service: str) -> list[Artifact]:
        """What can be deployed, newest version first."""
        with self._lock:
            built = list(self._built.values())
        mine = [a for a in built if a.service == service and self._path(a.digest).exists()]
        return sorted(mine, key=lambda a: version_key(a.version), reverse=True)

    def find(self, service: str, digest: str) -> Artifact | None:
        """The newest version with these bytes, or None."""
        return next((a for a in self.of(service) if a.digest == digest), None)

    def _path(self, digest: str) -> Path:
        return self._tars / f"{digest}.tar"

    def verify(self, digest: str) -> Path:
        """The tar, its content checked against its name; PlaygroundError where it is gone or was changed."""
        path = self._path(digest)
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            words = f"{digest[:12]} cannot be read: {error.strerror}"
            raise PlaygroundError("The artifact is gone", words, "Delete its file; it is built again from its tag.") from error
        if found != digest:
            words = f"the file of {digest[:12]} has the digest {found[:12]}: it was changed after it was built"
            raise PlaygroundError("The artifact was changed", words, "Delete its file; it is built again from its tag.")
        return path

    def release(self, artifact: Artifact) -> Path:
        """The directory with the artifact's run.py, unpacked from the verified tar; made anew where a file differs from it."""
        path = self.verify(artifact.digest)
        target = self._releases / artifact.digest
        with self._unpacking, tarfile.open(path) as tar:
            if not _same(tar, target):
                self._unpack(tar, target)
        return target / "services" / artifact.service

    def _unpack(self, tar: tarfile.TarFile, target: Path) -> None:
        self._releases.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=self._releases, prefix=".new-"))
        try:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(temporary, filter="data")
            else:
                # Python before 3.11.4: the digest, which was verified, is what vouches for the members
                tar.extractall(temporary)  # noqa: S202
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _same(tar: tarfile.TarFile, target: Path) -> bool:
    """Whether the directory holds exactly the archive's files."""
    if not target.is_dir():
        return False
    expected = {m.name: m for m in tar.getmembers() if m.isfile()}
    present = {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()}
    if present != set(expected):
        return False
    for name, member in expected.items():
        content = tar.extractfile(member)
        if content is None or content.read() != (target / name).read_bytes():
            return False
    return True
