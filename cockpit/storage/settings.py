"""The settings, declared once: type, default, limits, title, description. A bad file tells all its mistakes at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from cockpit.domain.errors import ConfigError
from cockpit.domain.release import Environment, Service
from cockpit.storage.validate import Checked, cross_check, read_settings


class Me(Struct, frozen=True):
    """Who acts here; approvals and the journal carry it."""

    name: Annotated[str, Meta(title="Your name", description="Shown beside what you approve and do.")] = ""
    email: Annotated[str, Meta(title="Your e-mail", description="Four eyes compare it with the authors of the commits.")] = ""


class ServiceSettings(Struct, frozen=True):
    """One service: where its history is and which tags are its versions."""

    repository: Annotated[
        str, Meta(title="Repository", description="A git working tree or bare repository on disk; relative to this file.", min_length=1)
    ]
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


class EnvironmentSettings(Struct, frozen=True):
    """One environment on the way to production."""

    rank: Annotated[int, Meta(title="Rank", description="Its place on the way to production, lowest first.", ge=0, le=1000)] = 0
    approvals: Annotated[int, Meta(title="Approvals needed", description="How many people must approve a version.", ge=0, le=20)] = 0
    production: Annotated[bool, Meta(title="Production", description="Real customers are served here.")] = False
    after: Annotated[str, Meta(title="Comes after", description="The environment that must run a version first.")] = ""


class ConnectionSettings(Struct, frozen=True):
    """One connected system. Further keys are the options of its kind."""

    kind: Annotated[str, Meta(title="Kind", description="Which connector serves it, such as ci-v1.", min_length=1)]
    url: Annotated[str, Meta(title="Address", description="Where the system answers, http or https.")] = ""
    services: Annotated[tuple[str, ...], Meta(title="Services", description="The services it knows; empty means all.")] = ()
    token_env: Annotated[
        str, Meta(title="Token variable", description="The environment variable that holds the token; empty asks the keyring.")
    ] = ""
    options: dict[str, str] = {}


class CheckSettings(Struct, frozen=True):
    """Which suites must pass."""

    required: Annotated[
        tuple[str, ...],
        Meta(title="Required suites", description="Suites that must pass before a version may ship; empty means all of a run."),
    ] = ()


class PollSettings(Struct, frozen=True):
    """How often sources are asked, and when what they said is too old, in seconds."""

    interval_s: Annotated[float, Meta(title="Interval", description="Seconds between two questions to a source.", ge=0.5, le=3600)] = 2.0
    deadline_s: Annotated[
        float, Meta(title="Deadline", description="Older than so many seconds is stale, and arms no button.", ge=1, le=86_400)
    ] = 15.0


class WindowSettings(Struct, frozen=True):
    """How the window looks."""

    theme: Annotated[Literal["dark", "light", "contrast"], Meta(title="Theme", description="Colours of the window.")] = "dark"


class Settings(Struct, frozen=True):
    """Everything a person can set. Repositories are absolute paths once loaded."""

    me: Me = Me()
    services: dict[str, ServiceSettings] = {}
    environments: dict[str, EnvironmentSettings] = {}
    connections: dict[str, ConnectionSettings] = {}
    checks: CheckSettings = CheckSettings()
    poll: PollSettings = PollSettings()
    window: WindowSettings = WindowSettings()

    def domain_services(self) -> tuple[Service, ...]:
        """The services as the domain knows them, in the order of the file."""
        return tuple(Service(name, s.repository, s.tag_pattern, s.path, s.live) for name, s in self.services.items())

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

    An environment or connection with a mistake is left out as a whole, for a default there could let through what the file forbids.
    """
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return Settings(), ConfigError(f"There is no settings file at {path}.", hint="Make one, or start without it to see the playground.")
    except OSError as error:
        return Settings(), ConfigError(f"{path} cannot be read: {error.strerror or error}.", hint="Check the rights of the file.")
    except UnicodeDecodeError as error:
        return Settings(), _mistakes(path, (f"byte {error.start}: not UTF-8 text",))
    except tomllib.TOMLDecodeError as error:
        return Settings(), _mistakes(path, (f"not TOML: {_lower_first(str(error))}",))
    except RecursionError:
        return Settings(), _mistakes(path, ("nested too deeply",))
    checked = read_settings(content, Settings)
    settings: Settings = cross_check(checked)
    settings = replace(settings, services={name: _located(s, path) for name, s in settings.services.items()})
    return settings, _mistakes(path, tuple(checked.problems)) if checked.problems else None


def schema() -> dict[str, Any]:
    """The JSON Schema of the settings, with titles, descriptions and limits."""
    return msgspec.json.schema(Settings)


def check(content: dict[str, Any]) -> Checked:
    """Check settings that are not in a file yet, as a form has them: the same problems as `load` would list."""
    checked = read_settings(content, Settings)
    cross_check(checked)
    return checked


def _located(service: ServiceSettings, path: Path) -> ServiceSettings:
    if not service.repository:
        return service
    try:
        repository = Path(service.repository).expanduser()
    except RuntimeError:
        repository = Path(service.repository)
    return replace(service, repository=str(path.absolute().parent / repository))


def _mistakes(path: Path, problems: tuple[str, ...]) -> ConfigError:
    count = "One mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return ConfigError(
        f"{count} in {path}: {'; '.join(problems)}.", hint="Correct the file; what is right in it is in use.", problems=problems
    )


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
