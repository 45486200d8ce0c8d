"""Connections as a person meets them: the kinds to choose from, a form that is not saved yet, what testing and saving it brought."""

from __future__ import annotations

from msgspec import Struct

from cockpit.domain.errors import CockpitError

OTHER = "Other"
# the order in which a release manager meets them
GROUPS = ("Code and reviews", "Tests", "Deployments", "Traffic and venue", "Latency and alerts", "People and calendars", OTHER)
# by port: (what it is for, what it does in plain words)
PORTS: dict[str, tuple[str, str]] = {
    "SourceControl": (GROUPS[0], "versions and commits"),
    "Reviews": (GROUPS[0], "reviews count as approvals"),
    "CiSystem": (GROUPS[1], "test runs"),
    "DeploymentApi": (GROUPS[2], "what runs where, deploying, rolling back"),
    "Holds": (GROUPS[2], "holding versions back"),
    "Gates": (GROUPS[2], "steps that wait for a person"),
    "Traffic": (GROUPS[3], "shares of traffic"),
    "Drain": (GROUPS[3], "taking single nodes out"),
    "Venue": (GROUPS[3], "trading mode"),
    "MetricsApi": (GROUPS[4], "latency and errors"),
    "AlertsApi": (GROUPS[4], "alerts and silences"),
    "Notifier": (GROUPS[5], "telling people"),
    "Calendar": (GROUPS[5], "freezes"),
}


class KindField(Struct, frozen=True):
    """One thing that a kind must be told. kind: text, url, path, number, choice or secret."""

    name: str
    title: str
    kind: str = "text"
    required: bool = True
    default: str = ""
    description: str = ""
    choices: tuple[str, ...] = ()


class Kind(Struct, frozen=True):
    """A kind of connection: what it is for (`group`), what it does and which rights it needs, in plain words; `origin` "" is built in."""

    kind: str
    title: str
    group: str
    ports: tuple[str, ...]
    words: tuple[str, ...]
    fields: tuple[KindField, ...]
    rights: tuple[str, ...] = ()
    origin: str = ""

    @property
    def secret(self) -> KindField | None:
        """What must be kept secret, if anything."""
        return next((f for f in self.fields if f.kind == "secret"), None)

    @property
    def plain(self) -> tuple[KindField, ...]:
        """What stands in the settings."""
        return tuple(f for f in self.fields if f.kind != "secret")


class Draft(Struct, frozen=True):
    """A connection that is not saved yet. The secret is never part of it. `before`: its table as the form found it, None for a new one."""

    id: str
    kind: str
    options: dict[str, str] = {}
    services: tuple[str, ...] = ()
    token_env: str = ""
    before: dict[str, object] | None = None


class Trial(Struct, frozen=True):
    """What testing a draft brought: what was reached, as whom, what is missing and how long it took; or why not, with the way out."""

    took_ms: float
    reached: str = ""
    identity: str = ""
    missing: tuple[str, ...] = ()
    error: CockpitError | None = None


class Kept(Struct, frozen=True):
    """What saving brought. `memory`: why a secret is held in memory only; `waits`: why it is not in use yet; `first`: the file is new."""

    path: str
    memory: str = ""
    waits: str = ""
    first: bool = False


def group_of(ports: tuple[str, ...]) -> str:
    """What a kind of connection is for: what its first port is for."""
    return next((PORTS[port][0] for port in ports if port in PORTS), OTHER)


def words_of(ports: tuple[str, ...]) -> tuple[str, ...]:
    """The ports in plain words; a port that is not known by its name."""
    return tuple(PORTS[port][1] if port in PORTS else port for port in ports)
