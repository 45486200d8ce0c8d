"""Where a policy comes from: this machine's cockpit.toml, or a file in the team's policy repository; and what changed in it. Blocks."""

from __future__ import annotations

import posixpath
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from cockpit.connectors.text import one_line, plain, without_secrets
from cockpit.domain.errors import BadPayload, NotFound
from cockpit.policy_force import LOCAL_OWN, OWN, guarded
from cockpit.storage.policy_check import stays_inside
from cockpit.storage.policy_copy import KEY_FILES, Policy
from cockpit.storage.settings import PolicySource, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cockpit.domain.release import Changes, Commit, Service

MAX_BYTES: Final = 1024 * 1024
_COMMITS: Final = 20
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class PolicyChange(Struct, frozen=True):
    """A policy that is not in force. All text in it comes from outside, made harmless.

    `who`, `subject`, `at_us` (UTC microseconds, 0 = not known): of the newest commit that touches it. `diff`: unified, with the commits and
    every warning at its head. `problems`: its mistakes; it cannot be accepted while there is one. `rewound`: the accepted commit is no
    longer part of the branch. `refused`: a person has refused exactly this.
    """

    commit: str
    origin: str
    digest: str
    who: str = ""
    subject: str = ""
    at_us: int = 0
    diff: str = ""
    problems: tuple[str, ...] = ()
    rewound: bool = False
    refused: bool = False


class Found(Struct, frozen=True):
    """A policy as it stands in its place now; `missing`: files it names that cannot be had, in words."""

    policy: Policy
    missing: tuple[str, ...] = ()
    at_us: int = 0


def local_policy(text: str, folder: Path) -> Found:
    """The policy in this machine's own file: all of it but what is each person's own."""
    files, missing = {}, []
    for key, name in _key_files(text):
        try:
            content = (folder / Path(name).expanduser()).read_bytes()
        except (OSError, RuntimeError) as error:
            missing.append(f"approvals.{key}: “{one_line(name, 200)}” cannot be read: {getattr(error, 'strerror', None) or error}")
            continue
        files[key] = content.decode("utf-8", "surrogateescape")
    return Found(Policy("", "", without_own(text), files), tuple(missing))


def shared_policy(source: PolicySource) -> Found:
    """The policy at the tip of the team's branch, fetched before where a remote is named. ConnectorErrors."""
    with _repository(source.repository) as git:
        tip = f"refs/heads/{source.ref}"
        if source.remote:
            tip = git.fetch(source.remote, source.ref)
        commit, content = git.file(tip, source.file)
        text = _text(content, source.file)
        files, missing = {}, []
        for key, name in _key_files(text):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source.file), name))
            if not stays_inside(path):
                missing.append(f"approvals.{key}: must be a file inside the policy repository, not “{one_line(name, 200)}”")
                continue
            try:
                files[key] = _text(git.file(commit, path)[1], path)
            except NotFound:
                missing.append(f"approvals.{key}: there is no “{one_line(name, 200)}” in the policy repository at that commit")
        return Found(Policy(origin_of(source), commit, text, files), tuple(missing))


def origin_of(source: PolicySource) -> str:
    """The place of a shared policy in words that also tell it from others; they are journaled, so without what an address may hide."""
    return without_secrets(f"{source.repository} {source.remote + '/' if source.remote else ''}{source.ref} {source.file}")


class _Git(Protocol):
    """What is asked of the policy repository: the registry's kind "git" answers it."""

    def file(self, ref: str, path: str) -> tuple[str, bytes]: ...

    def fetch(self, remote: str, branch: str) -> str: ...

    def changes(self, service: Service, base: str, head: str, limit: int = 500) -> Changes: ...

    def close(self) -> None: ...


@contextmanager
def _repository(path: str) -> Iterator[_Git]:
    from cockpit.connectors.registry import create

    git: _Git = create("git", {"path": path}, lambda: "")
    try:
        yield git
    finally:
        git.close()


def _text(content: bytes, name: str) -> str:
    if len(content) > MAX_BYTES:
        raise BadPayload(f"“{one_line(name, 200)}” is longer than {MAX_BYTES // 1024} KiB: that is no policy.", hint="Correct it in git.")
    return content.decode("utf-8", "surrogateescape")


def _key_files(text: str) -> list[tuple[str, str]]:
    """(key, path as it is written) of the files that a policy names. What is no text there is named by the check of the whole."""
    try:
        approvals = tables(text.encode("utf-8", "surrogateescape")).get("approvals")
    except ValueError:
        return []
    names = [(key, approvals.get(key)) for key in KEY_FILES] if isinstance(approvals, dict) else []
    return [(key, name) for key, name in names if isinstance(name, str) and name]


# -- what is guarded -----------------------------------------------------------------------------------------------------------


def without_own(text: str) -> str:
    """A local file's text without the tables that are each person's own; in another form where they cannot be cut out line by line."""
    try:
        content = tables(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        return text
    wanted = guarded(content, LOCAL_OWN)
    if wanted == content:
        return text
    cut = _cut(text)
    try:
        same = tables(cut.encode("utf-8", "surrogateescape")) == wanted
    except ValueError:
        same = False
    return cut if same else written(wanted)


def _cut(text: str) -> str:
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        header = line.strip()
        if header.startswith("["):
            name = header.strip("[").partition("]")[0].partition(".")[0].strip().strip("\"'")
            inside = name in LOCAL_OWN
        if not inside:
            kept.append(line)
    return "".join(kept)


def written(content: dict[str, Any]) -> str:
    """Tables as TOML, one value a line with its whole path. For reading and comparing; comments are lost."""
    return "".join(f"{path} = {value}\n" for path, value in _flat(content, ""))


def _flat(table: dict[str, Any], above: str) -> list[tuple[str, str]]:
    found = []
    for name, value in table.items():
        shown = name if _BARE.fullmatch(name) else _quoted(name)
        path = f"{above}.{shown}" if above else shown
        found += _flat(value, path) if isinstance(value, dict) and value else [(path, _value(value))]
    return found


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_quoted(name)} = {_value(item)}' for name, item in value.items())}}}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _quoted(text: str) -> str:
    import json

    # what JSON writes is TOML too, but for the control character DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def mark(policy: Policy) -> str:
    """Equal for policies that say the same, wherever they stand: comments and each person's own sections do not count."""
    import json
    from hashlib import sha256

    own = OWN if policy.origin else LOCAL_OWN
    raw = policy.text.encode("utf-8", "surrogateescape")
    try:
        said = json.dumps(guarded(tables(raw), own), sort_keys=True, default=str)
    except ValueError:
        said = raw.hex()
    return sha256(json.dumps([said, sorted(policy.files.items())]).encode()).hexdigest()


# -- what changed ---------------------------------------------------------------------------------------------------------------


def described(found: Found, before: Policy | None, source: PolicySource, problems: tuple[str, ...]) -> PolicyChange:
    """The change from the policy in force to this one, for a person to read before they agree. ConnectorErrors."""
    policy = found.policy
    head, newest, rewound = _history(policy, before, source) if policy.origin else ([], None, False)
    if before is not None and before.origin != policy.origin:
        head.insert(0, f"ANOTHER PLACE: {_place(policy)} instead of {_place(before)}")
    diff = "\n".join([*(f"# {line}" for line in head), *_diff(before, policy)])
    who = f"{newest.author} <{newest.email}>" if newest else ""
    return PolicyChange(
        policy.commit,
        policy.origin,
        policy.digest,
        one_line(who, 200),
        one_line(newest.subject, 200) if newest else "",
        newest.at_us if newest else found.at_us,
        plain(diff),
        problems,
        rewound,
    )


def _place(policy: Policy) -> str:
    return one_line(policy.origin, 400) or "this machine's cockpit.toml"


def _history(policy: Policy, before: Policy | None, source: PolicySource) -> tuple[list[str], Commit | None, bool]:
    """(lines for the diff's head, the newest commit that touches the policy, whether the accepted commit is gone from the branch)."""
    from cockpit.domain.release import Service

    known = before.commit if before is not None and before.origin == policy.origin else ""
    service = Service("policy", source.repository)
    with _repository(source.repository) as git:
        lost = ""
        try:
            changes = git.changes(service, known, policy.commit, _COMMITS)
        except NotFound:
            lost = f"REWRITTEN: the accepted commit {known[:12]} is not in this repository any more"
            changes = git.changes(service, "", policy.commit, _COMMITS)
    head = [lost] if lost else []
    if changes.total_out:
        gone = ", ".join(c.id[:12] for c in changes.missing[:5])
        head.append(f"REWOUND: {changes.total_out} accepted commits are no longer part of {one_line(source.ref, 100)}: {gone}")
        head += [f"  gone: {_commit_line(c)}" for c in changes.missing]
    if known and not lost:
        head += [_commit_line(c) for c in changes.commits]
    files = {source.file, *(posixpath.join(posixpath.dirname(source.file), name) for _, name in _key_files(policy.text))}
    newest = next((c for c in changes.commits if files.intersection(c.files)), next(iter(changes.commits), None))
    return head, newest, bool(head and (lost or changes.total_out))


def _commit_line(commit: Commit) -> str:
    day = f"{datetime.fromtimestamp(commit.at_us / 1e6, UTC):%Y-%m-%d}" if 0 < commit.at_us < 250_000_000_000_000_000 else "no date"
    return one_line(f"{commit.id[:12]} {day} {commit.author} <{commit.email}>: {commit.subject}", 300)


def _diff(before: Policy | None, after: Policy) -> list[str]:
    import difflib

    lines: list[str] = []
    for name in ("cockpit.toml", *KEY_FILES):
        old = _lines(before, name)
        new = _lines(after, name)
        if old != new:
            lines += difflib.unified_diff(old, new, f"in force/{name}", f"proposed/{name}", lineterm="")
    return lines


def _lines(policy: Policy | None, name: str) -> list[str]:
    if policy is None:
        return []
    text = policy.text if name == "cockpit.toml" else policy.files.get(name, "")
    # not splitlines: that also breaks at characters that no editor and no diff takes for the end of a line
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
