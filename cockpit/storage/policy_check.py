"""Check who may approve and who may pass what: groups, the approvals of environments, signatures, overrides, the policy's own place."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Final

from msgspec.structs import replace

from cockpit.domain.calendar import BUILTIN
from cockpit.storage.validate import Checked, cut, faultless, is_email, join, named, nearest, show

# stands for nobody: no group can have this name
NOBODY: Final = ("",)
_FINGERPRINT: Final = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
# a name or an address; what runs a program (ext::) is none
_REMOTE: Final = re.compile(r"(?!-)(?!.*::)\S+")
_NO_REF: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[/-]|/$|\.$|^@$|\.lock$")


def check_groups(checked: Checked) -> dict[str, tuple[str, ...]]:
    """The groups without a mistake, their members in lower case."""
    found: dict[str, tuple[str, ...]] = {}
    for name, members in checked.value.groups.items():
        path = join("groups", name)
        people = tuple(member.strip().lower() for member in members)
        if not people:
            checked.problems.append(f"{path}: has no members")
        for number, person in enumerate(people):
            if not is_email(person):
                checked.problems.append(f"{path}[{number}]: {show(members[number])} is no e-mail address")
            elif person in people[:number] and members[number] not in members[:number]:
                checked.problems.append(f"{path}[{number}]: {show(members[number])} stands there twice")
        found[name] = people
    return faultless("groups", found, checked.problems)


def check_environments(checked: Checked, groups: dict[str, tuple[str, ...]]) -> None:
    """Name what is wrong with the approvals, strategies and freezes of the environments."""
    for name, environment in checked.value.environments.items():
        path = join("environments", name)
        _known_groups(checked, f"{path}.groups", environment.groups)
        for group in environment.quorum:
            _known_group(checked, join(f"{path}.quorum", group), group)
        if all(group in groups for group in (*environment.groups, *environment.quorum)):
            _check_counts(path, environment, groups, checked.problems)
        if environment.strategy and environment.strategy not in named(checked, "strategies"):
            known = named(checked, "strategies")
            checked.problems.append(
                f"{path}.strategy: there is no strategy {show(environment.strategy)}{nearest(environment.strategy, known)}"
            )
        for number, rule in enumerate(environment.freezes):
            if rule not in BUILTIN:
                choices = ", ".join(f'"{name}"' for name in BUILTIN)
                checked.problems.append(f"{path}.freezes[{number}]: must be one of {choices}, not {show(rule)}{nearest(rule, BUILTIN)}")


def _check_counts(path: str, environment: Any, groups: dict[str, tuple[str, ...]], problems: list[str]) -> None:
    """An approval count that nobody can reach would stop every version for ever; one below a quorum says two things.

    Who is in a quorum's group may approve, too, whether or not that group stands among the approving ones.
    """
    named_groups = (*environment.groups, *environment.quorum) if environment.groups else ()
    allowed = {person for group in named_groups for person in groups[group]}
    if allowed and environment.approvals > len(allowed):
        problems.append(
            f"{path}.approvals: must be at most {len(allowed)}, as many people as are in the groups, not {environment.approvals}"
        )
    for group, least in environment.quorum.items():
        able = len(set(groups[group]))
        if least > able:
            where = join(f"{path}.quorum", group)
            problems.append(f"{where}: must be at most {able}, as many people as are in this group, not {least}")
        elif least > environment.approvals:
            problems.append(f"{path}.approvals: must be at least {least} for the quorum of {show(group)}, not {environment.approvals}")


def unusable(environment: Any, checked: Checked, groups: dict[str, Any], strategies: dict[str, Any]) -> bool:
    """Whether an environment without a mistake of its own rests on something that has one."""
    if any(group not in groups for group in (*environment.groups, *environment.quorum)):
        return True
    if environment.strategy and environment.strategy not in strategies:
        return True
    # without its mistake the section might ask for signatures
    return bool(environment.approvals) and _section_faulty(checked, "approvals")


def _section_faulty(checked: Checked, section: str) -> bool:
    misspelt = f'(did you mean "{section}"?)'
    return any(p.startswith((f"{section}.", f"{section}:")) or (": unknown" in p and p.endswith(misspelt)) for p in checked.problems)


def check_signing(checked: Checked) -> Any:
    """The approvals section, addresses in lower case and fingerprints without spaces."""
    approvals, problems = checked.value.approvals, checked.problems
    keys: dict[str, str] = {}
    for person, fingerprint in approvals.openpgp.items():
        path, key = join("approvals.openpgp", person), fingerprint.replace(" ", "").upper()
        if not is_email(person):
            problems.append(f"{path}: {show(person)} is no e-mail address")
        if not _FINGERPRINT.fullmatch(key):
            problems.append(f"{path}: must be a whole fingerprint of 40 or 64 hexadecimal digits, not {show(fingerprint)}")
        if person.lower() in keys:
            problems.append(f"{path}: {show(person)} stands there twice")
        keys[person.lower()] = key
    if approvals.revoked_keys and not approvals.allowed_signers:
        problems.append("approvals.allowed_signers: missing, for there are revoked_keys")
    if approvals.remote and not _REMOTE.fullmatch(approvals.remote):
        problems.append(f"approvals.remote: {show(approvals.remote)} cannot be a git remote")
    return replace(approvals, openpgp=keys)


def check_overrides(checked: Checked) -> Any:
    """Who may pass what. Where `clear` has a mistake nobody may: empty would mean everybody."""
    overrides = checked.value.overrides
    for field in ("freeze", "emergency", "clear"):
        _known_groups(checked, f"overrides.{field}", getattr(overrides, field))
    if any(p.startswith(("overrides:", "overrides.clear")) for p in checked.problems) or not _clear_is_safe(checked):
        return replace(overrides, clear=NOBODY)
    return overrides


def _clear_is_safe(checked: Checked) -> bool:
    if checked.value.overrides.clear:
        return True
    misspelt = any(p.startswith("overrides.") and ": unknown" in p for p in checked.problems)
    return not misspelt and ("overrides" in checked.given or not _section_faulty(checked, "overrides"))


def check_source(checked: Checked) -> None:
    """Name what is wrong with the place of the policy."""
    source, problems = checked.value.policy, checked.problems
    if "://" in source.repository:
        problems.append(f"policy.repository: must be a folder on this machine, not {show(source.repository)}: clone it first")
    if not source.ref or _NO_REF.search(source.ref):
        problems.append(f"policy.ref: {show(source.ref)} cannot be the name of a branch")
    if not stays_inside(source.file):
        problems.append(f"policy.file: must be the path of a file inside the repository, not {show(source.file)}")
    if source.remote and not _REMOTE.fullmatch(source.remote):
        problems.append(f"policy.remote: {show(source.remote)} cannot be a git remote")
    if source.remote and not source.repository:
        problems.append("policy.repository: missing, for there is a policy.remote")


def stays_inside(path: str) -> bool:
    """Whether a path names something inside the folder that it is relative to."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path


def _known_groups(checked: Checked, path: str, groups: tuple[str, ...]) -> None:
    for number, group in enumerate(groups):
        _known_group(checked, f"{path}[{number}]", group)


def _known_group(checked: Checked, path: str, group: str) -> None:
    known = named(checked, "groups")
    if group not in known:
        checked.problems.append(f'{path}: there is no group "{cut(group)}"{nearest(group, known)}')
