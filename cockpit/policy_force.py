"""Which settings are in force: the accepted policy with each person's own sections, or the file itself where none was accepted yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.errors import ConfigError, StorageError
from cockpit.storage.policy_copy import KEY_FILES, Policy, PolicyCopy
from cockpit.storage.settings import Settings, load_lenient, read, tables

# each person's own: never guarded, and never taken from a repository
OWN: Final = ("me", "window", "policy", "notices")
# of a local file these take effect at once, too
LOCAL_OWN: Final = (*OWN, "poll")


class Local(Struct, frozen=True):
    """This machine's own file: each person's own sections, and where the policy is; `problems` of these alone.

    `text` is None where it cannot be read, `content` where it is no TOML either.
    """

    text: str | None = None
    content: dict[str, Any] | None = None
    own: dict[str, Any] = {}
    settings: Settings = Settings()
    problems: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        return bool(self.settings.policy.repository)

    @property
    def lost(self) -> bool:
        """Whether it cannot be said where the policy is: then what this file says is none."""
        return self.content is None or any(section(problem) == "policy" for problem in self.problems)


class Start(Struct, frozen=True):
    """What is in force when the program starts, and the mistakes to tell. `waiting`: the policy must be read before there is any."""

    settings: Settings
    mistakes: ConfigError | None = None
    error: StorageError | None = None
    waiting: bool = False


def in_force(config: Path, directory: Path) -> Start:
    """The settings in force: the accepted policy with each person's own sections; the file itself where none was accepted yet.

    Fast: reads two small files. `directory` is where the accepted copy is kept.
    """
    local = read_local(config)
    try:
        accepted = PolicyCopy(directory).read()
    except StorageError as error:
        return Start(local.settings, own_mistakes(local, config), error, True)
    if accepted is not None:
        settings, mistakes = merged(accepted.policy, local, config, directory)
        return Start(settings, mistakes)
    if local.shared or (local.lost and local.content is not None):
        return Start(local.settings, own_mistakes(local, config), None, True)
    return Start(*load_lenient(config))


def read_local(config: Path) -> Local:
    """Each person's own sections of the local file; nothing of a file that cannot be read."""
    try:
        raw = config.read_bytes()
    except OSError:
        return Local()
    text = raw.decode("utf-8", "surrogateescape")
    try:
        content = tables(raw)
    except ValueError:
        return Local(text)
    own = {name: table for name, table in content.items() if name in LOCAL_OWN}
    settings, mistakes = read(own, str(config), config.absolute().parent)
    return Local(text, content, own, settings, mistakes.problems if mistakes else ())


def merged(policy: Policy, local: Local, config: Path, directory: Path) -> tuple[Settings, ConfigError | None]:
    """The settings that a policy gives with this person's own sections. The mistakes are those of both."""
    raw = policy.text.encode("utf-8", "surrogateescape")
    try:
        said = guarded(tables(raw), OWN if policy.origin else LOCAL_OWN)
    except ValueError as error:
        return local.settings, ConfigError(f"The policy is no settings file: {error}.", problems=(str(error),))
    own = local.own if "poll" not in said else {name: table for name, table in local.own.items() if name != "poll"}
    settings, mistakes = read(said | own, _name_of(policy, config), config.absolute().parent)
    copy, approvals = PolicyCopy(directory), settings.approvals
    # git reads the accepted copies: the files that the policy names may have changed since
    kept = {name: str(copy.key_file(name)) for name in KEY_FILES if getattr(approvals, name)}
    return replace(settings, approvals=replace(approvals, **kept)), mistakes


def guarded(content: dict[str, Any], own: tuple[str, ...]) -> dict[str, Any]:
    """The tables that a person must agree to before they take effect."""
    return {name: table for name, table in content.items() if name not in own}


def _name_of(policy: Policy, config: Path) -> str:
    return f"the policy {policy.commit[:12]} of {policy.origin}" if policy.origin else str(config)


def own_mistakes(local: Local, config: Path) -> ConfigError | None:
    """The mistakes in a person's own sections; all of a file that is no TOML."""
    return load_lenient(config)[1] if local.content is None else _mistakes(local.problems, config)


def _mistakes(problems: tuple[str, ...], config: Path) -> ConfigError | None:
    hint = "Correct the file; what is right in it is in use."
    return ConfigError(f"Mistakes in {config}: {'; '.join(problems)}.", hint=hint, problems=problems) if problems else None


def section(problem: str) -> str:
    """The section that a problem's path begins with."""
    return problem.partition(":")[0].partition(".")[0]
