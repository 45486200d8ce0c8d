"""The settings, declared once: type, default, limits, title, description. A bad file tells all its mistakes at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from cockpit.domain.errors import ConfigError
from cockpit.domain.release import Environment, Service
from cockpit.storage.cross_check import cross_check
from cockpit.storage.settings_watch import WatchSettings
from cockpit.storage.validate import Checked, read_settings


class Me(Struct, frozen=True):
    """Who acts here; approvals and the journal carry it."""

    name: Annotated[str, Meta(title="Your name", description="Shown beside what you approve and do.")] = ""
    email: Annotated[str, Meta(title="Your e-mail", description="Four eyes compare it with the authors of the commits.")] = ""
    signing: Annotated[
        Literal["", "ssh", "openpgp"], Meta(title="Signing", description="What kind of key signs your approvals; empty signs none.")
    ] = ""
    signing_key: Annotated[
        str, Meta(title="Signing key", description="The file of an SSH key, or the id of an OpenPGP key, as git's user.signingKey.")
    ] = ""


class ServiceSettings(Struct, frozen=True):
    """One service: where its history is and which tags are its versions."""

    repository: Annotated[
        str,
        Meta(
            title="Repository",
            description="A git working tree or bare repository on disk, relative to this file; none where a connection tells its versions.",
            min_length=1,
        ),
    ] = ""
    tag_pattern: Annotated[
        str,
        Meta(
            title="Tag pattern",
            description='Such as "gateway/v{version}"; empty recognises any scheme.',
            extra={"placeholder": "{version}"},
        ),
    ] = ""
    path: Annotated[str, Meta(title="Path", description="Only commits that touch this folder count; empty counts all.")] = ""
    live: Annotated[str, Meta(title="Live version", description="The version in use, where no deployment system tells.")] = ""
    depends_on: Annotated[
        tuple[str, ...],
        Meta(
            title="Depends on", description='Services that go first, such as "risk-engine" or "risk-engine>=3.3.0"; back in reverse order.'
        ),
    ] = ()
    config_paths: Annotated[
        tuple[str, ...], Meta(title="Configuration", description="Files or folders whose change is a change of configuration.")
    ] = ()
    contract_paths: Annotated[
        tuple[str, ...], Meta(title="API contract", description="Files or folders whose change is a change of the interface to clients.")
    ] = ()
    one_way: Annotated[
        dict[str, str],
        Meta(title="One-way versions", description="Versions that cannot be taken back, each with the reason, whatever their commits say."),
    ] = {}
    safe_until: Annotated[
        dict[str, str],
        Meta(title="Safe until", description="Versions that can be taken back until a date (2026-12-01) or while a version is the newest."),
    ] = {}


class EnvironmentSettings(Struct, frozen=True):
    """One environment on the way to production."""

    rank: Annotated[int, Meta(title="Rank", description="Its place on the way to production, lowest first.", ge=0, le=1000)] = 0
    approvals: Annotated[int, Meta(title="Approvals needed", description="How many people must approve a version.", ge=0, le=20)] = 0
    production: Annotated[bool, Meta(title="Production", description="Real customers are served here.")] = False
    after: Annotated[str, Meta(title="Comes after", description="The environment that must run a version first.")] = ""
    groups: Annotated[
        tuple[str, ...],
        Meta(title="Approving groups", description="Only members of these groups, and of a quorum's, approve; empty means anybody."),
    ] = ()
    quorum: Annotated[
        dict[str, Annotated[int, Meta(ge=1, le=20)]],
        Meta(title="Quorum", description="At least so many approvals from a group, by the group's name."),
    ] = {}
    apart: Annotated[
        tuple[Literal["author", "requester", "deployer"], ...],
        Meta(title="Kept apart", description="Whose own approval never counts: of the author, the requester, the deployer."),
    ] = ("author", "requester")
    expires_h: Annotated[
        float, Meta(title="Approvals expire", description="Hours after which an approval counts no more; 0 is never.", ge=0, le=8760)
    ] = 0.0
    strategy: Annotated[str, Meta(title="Strategy", description="The plan of steps by which versions are deployed here.")] = ""
    freezes: Annotated[
        tuple[str, ...], Meta(title="Freezes", description="Venue rules that hold here; calendars name their environments themselves.")
    ] = ()
    lock: Annotated[
        Literal["auto", "always", "never"],
        Meta(title="Lock", description="The shared lock is taken where the deployment system has none (auto), always, or never."),
    ] = "auto"
    watch: Annotated[WatchSettings, Meta(title="Watch", description="How a deployment is watched, and what a bad one leads to.")] = (
        WatchSettings()
    )


class ConnectionSettings(Struct, frozen=True):
    """One connected system. Further keys are the options of its kind."""

    kind: Annotated[str, Meta(title="Kind", description="Which connector serves it, such as ci-v1.", min_length=1)]
    url: Annotated[str, Meta(title="Address", description="Where the system answers, http or https.")] = ""
    services: Annotated[tuple[str, ...], Meta(title="Services", description="The services it knows; empty means all.")] = ()
    token_env: Annotated[
        str, Meta(title="Token variable", description="The environment variable that holds the token; empty asks the keyring.")
    ] = ""
    interval_s: Annotated[
        float, Meta(title="Interval", description="Seconds from question to question; 0: as its kind and [poll] say.", ge=0, le=3600)
    ] = 0.0
    options: dict[str, str] = {}


class AlertSettings(Struct, frozen=True):
    """Which alerts a deployment is expected to cause; they are silenced for its length where they come from."""

    expected: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(title="Expected alerts", description="Names of alerts that are silenced while a deployment is under way; empty: none."),
    ] = ()
    silence_minutes: Annotated[
        float, Meta(title="Longest silence", description="Minutes after which such a silence ends by itself.", ge=1, le=1440)
    ] = 30.0


class CheckSettings(Struct, frozen=True):
    """Which suites must pass."""

    required: Annotated[
        tuple[str, ...],
        Meta(title="Required suites", description="Suites that must pass before a version may ship; empty means all of a run."),
    ] = ()


class ApprovalSettings(Struct, frozen=True):
    """How words are signed and who may sign. Without allowed signers words stand unsigned in this machine's journal."""

    allowed_signers: Annotated[
        str, Meta(title="Allowed signers", description="git's allowed-signers file, relative to this file; empty: words are not signed.")
    ] = ""
    revoked_keys: Annotated[
        str, Meta(title="Revoked keys", description="A file of SSH keys that count no more, relative to this file.")
    ] = ""
    openpgp: Annotated[
        dict[str, str], Meta(title="OpenPGP keys", description="E-mail addresses with the fingerprint of the key that signs for them.")
    ] = {}
    remote: Annotated[
        str, Meta(title="Remote", description="The git remote that signed words are pushed to and fetched from; empty: they stay here.")
    ] = ""


class OverrideSettings(Struct, frozen=True):
    """Which groups may pass what. Nobody may where none is named."""

    freeze: Annotated[tuple[str, ...], Meta(title="Pass a freeze", description="Groups that may, with a reason and an end.")] = ()
    emergency: Annotated[
        tuple[str, ...],
        Meta(title="Act alone", description="Groups that may deploy without approvals in an emergency; reviewed afterwards."),
    ] = ()
    clear: Annotated[tuple[str, ...], Meta(title="Clear a hold", description="Groups that may; empty: every named person.")] = ()


class StepSettings(Struct, frozen=True):
    """One step of a strategy."""

    do: Annotated[
        Literal["deploy", "bake", "hold", "gate", "weight", "mode"],
        Meta(
            title="Do", description="deploy to nodes, bake (wait), hold (for a person), gate (ask), weight (traffic), mode (of the venue)."
        ),
    ]
    nodes: Annotated[
        tuple[str, ...], Meta(title="Nodes", description='A count such as "1", "rest", "all", or patterns of names such as "*-green-*".')
    ] = ()
    seconds: Annotated[float, Meta(title="Seconds", description="How long to bake.", ge=0, le=604_800)] = 0.0
    ask: Annotated[
        tuple[Literal["checks", "approvals", "freeze", "fleet", "verdict"], ...],
        Meta(title="Ask", description="What a gate asks for again before the rollout goes on."),
    ] = ()
    percent: Annotated[int, Meta(title="Percent", description="The share of the traffic that the nodes get.", ge=0, le=100)] = 100
    mode: Annotated[str, Meta(title="Mode", description="The venue's mode: open, post-only, cancel-only.")] = ""


class StrategySettings(Struct, frozen=True):
    """A named plan of steps."""

    steps: Annotated[tuple[StepSettings, ...], Meta(title="Steps", description="In this order.")] = ()


class SetSettings(Struct, frozen=True):
    """Services that are rolled back together, in the order of their dependencies."""

    services: Annotated[tuple[str, ...], Meta(title="Services", description="Two or more of the services above.")]
    on_failure: Annotated[
        Literal["stop", "back"], Meta(title="When one fails", description="stop where it stands, or go back: undo what was done.")
    ] = "stop"


class PolicySource(Struct, frozen=True):
    """Where the team's policy is kept. What it says replaces everything here but who you are and how the window looks."""

    repository: Annotated[str, Meta(title="Policy repository", description="A git repository on disk, relative to this file.")] = ""
    ref: Annotated[str, Meta(title="Branch", description="The branch that holds what is in force.")] = "main"
    file: Annotated[str, Meta(title="File", description="The file in that repository.")] = "cockpit.toml"
    remote: Annotated[str, Meta(title="Remote", description="The git remote that it is fetched from and that holds the locks.")] = ""


class PollSettings(Struct, frozen=True):
    """How often sources are asked, and when what they said is too old, in seconds."""

    interval_s: Annotated[float, Meta(title="Interval", description="Seconds between two questions to a source.", ge=0.5, le=3600)] = 2.0
    deadline_s: Annotated[
        float, Meta(title="Deadline", description="Older than so many seconds is stale, and arms no button.", ge=1, le=86_400)
    ] = 15.0


class NoticeSettings(Struct, frozen=True):
    """How a person is called for what is bad in production."""

    desktop: Annotated[bool, Meta(title="Desktop notifications", description="Shown while this window is not the active one.")] = True
    sound: Annotated[bool, Meta(title="Sound", description="A short one for errors in production.")] = True
    quiet: Annotated[
        tuple[str, ...],
        Meta(title="Quiet hours", description='Such as "22:00-07:00"; rollbacks in production are told all the same.'),
    ] = ()
    quiet_zone: Annotated[str, Meta(title="Time zone", description="Of the quiet hours, such as Europe/Berlin; empty: this machine's.")] = (
        ""
    )


class WindowSettings(Struct, frozen=True):
    """How the window looks."""

    theme: Annotated[Literal["dark", "light", "contrast"], Meta(title="Theme", description="Colours of the window.")] = "dark"


class Settings(Struct, frozen=True):
    """Everything a person can set. Repositories are absolute paths once loaded."""

    me: Me = Me()
    services: Annotated[dict[str, ServiceSettings], Meta(title="Services", description="What is released on its own, by name.")] = {}
    environments: Annotated[
        dict[str, EnvironmentSettings], Meta(title="Environments", description="Where services run, by name; empty: only pending versions.")
    ] = {}
    connections: Annotated[dict[str, ConnectionSettings], Meta(title="Connections", description="Connected systems, by any name.")] = {}
    groups: Annotated[
        dict[str, tuple[str, ...]], Meta(title="Groups", description="Named groups of people, each a list of e-mail addresses.")
    ] = {}
    checks: CheckSettings = CheckSettings()
    alerts: AlertSettings = AlertSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    overrides: OverrideSettings = OverrideSettings()
    strategies: Annotated[dict[str, StrategySettings], Meta(title="Strategies", description="Plans of steps, by name.")] = {}
    sets: Annotated[dict[str, SetSettings], Meta(title="Sets", description="Services that go back together, by name.")] = {}
    policy: PolicySource = PolicySource()
    poll: PollSettings = PollSettings()
    window: WindowSettings = WindowSettings()
    notices: NoticeSettings = NoticeSettings()

    def members(self, groups: Iterable[str]) -> frozenset[str]:
        """Everybody in these groups, in lower case; nobody for a name that is no group."""
        return frozenset(person for group in groups for person in self.groups.get(group, ()))

    def domain_services(self) -> tuple[Service, ...]:
        """The services as the domain knows them, in the order of the file."""
        return tuple(
            Service(name, s.repository, s.tag_pattern, s.path, s.live, s.depends_on, s.config_paths, s.contract_paths)
            for name, s in self.services.items()
        )

    def domain_environments(self) -> tuple[Environment, ...]:
        """The environments by rank; those of equal rank in the order of the file."""
        found = (Environment(name, e.rank, e.production, e.approvals, e.after) for name, e in self.environments.items())
        return tuple(sorted(found, key=lambda environment: environment.rank))


def load(path: Path) -> Settings:
    """The settings in a TOML file. ConfigError lists every mistake with its path and, where one is near, the right name."""
    settings, error = load_lenient(path)
    if error is not None:
        raise error
    return settings


def load_lenient(path: Path) -> tuple[Settings, ConfigError | None]:
    """As `load`, but what is good is kept, so that the window opens: a bad value falls back to its default.

    An entry with a mistake is left out as a whole where a default could let through what the file forbids; see `cross_check`.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Settings(), ConfigError(f"There is no settings file at {path}.", hint="Make one, or start without it to see the playground.")
    except OSError as error:
        return Settings(), ConfigError(f"{path} cannot be read: {error.strerror or error}.", hint="Check the rights of the file.")
    return parse(content, str(path), path.absolute().parent)


def parse(content: bytes, name: str, folder: Path) -> tuple[Settings, ConfigError | None]:
    """As `load_lenient`, of a text that is called `name`; what is relative in it is relative to `folder`, an absolute path."""
    try:
        given = tables(content)
    except ValueError as error:
        return Settings(), _mistakes(name, (str(error),))
    return read(given, name, folder)


def read(given: dict[str, Any], name: str, folder: Path) -> tuple[Settings, ConfigError | None]:
    """As `parse`, of tables that are read already."""
    checked = read_settings(given, Settings)
    settings = _located(cross_check(checked), folder)
    return settings, _mistakes(name, tuple(checked.problems)) if checked.problems else None


def tables(content: bytes) -> dict[str, Any]:
    """The tables of a TOML text as they stand there. ValueError says why it is none."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {_lower_first(str(error))}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def schema() -> dict[str, Any]:
    """The JSON Schema of the settings, for editors and forms: titles, descriptions, limits, forms of names."""
    from cockpit.storage.schema import completed

    return completed(msgspec.json.schema(Settings))


def check(content: dict[str, Any]) -> Checked:
    """Check settings that are not in a file yet, as a form has them: the same problems as `load` would list."""
    checked = read_settings(content, Settings)
    cross_check(checked)
    return checked


def _located(settings: Settings, folder: Path) -> Settings:
    """The same with every path absolute."""
    approvals, policy, me = settings.approvals, settings.policy, settings.me
    # git takes a key itself in place of its file
    a_file = me.signing == "ssh" and not me.signing_key.startswith(("key::", "ssh-", "ecdsa-", "sk-"))
    return replace(
        settings,
        services={name: replace(s, repository=_absolute(s.repository, folder)) for name, s in settings.services.items()},
        approvals=replace(
            approvals,
            allowed_signers=_absolute(approvals.allowed_signers, folder),
            revoked_keys=_absolute(approvals.revoked_keys, folder),
        ),
        policy=replace(policy, repository=_absolute(policy.repository, folder)),
        me=replace(me, signing_key=_absolute(me.signing_key, folder)) if a_file else me,
    )


def _absolute(text: str, folder: Path) -> str:
    if not text:
        return ""
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        path = Path(text)
    return str(folder / path)


def _mistakes(name: str, problems: tuple[str, ...]) -> ConfigError:
    count = "One mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return ConfigError(
        f"{count} in {name}: {'; '.join(problems)}.", hint="Correct the file; what is right in it is in use.", problems=problems
    )


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
