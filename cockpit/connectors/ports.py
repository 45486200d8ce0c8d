"""What the cockpit asks of the systems around it. Every method blocks, runs in a worker thread, and raises only `ConnectorError`s.

A connector is created for one connection of the settings and may be called from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from cockpit.domain.alerts import Alert, Matcher
from cockpit.domain.approvals import Approval
from cockpit.domain.calendar import Freeze
from cockpit.domain.checks import CheckRun
from cockpit.domain.gates import Gate
from cockpit.domain.metrics import Reading
from cockpit.domain.release import Artifact, Changes, Deployment, Fleet, Node, Service, Version
from cockpit.domain.statements import Statement


class Field(Struct, frozen=True):
    """One thing a connector must be told. kind: text, url, path, number, choice or secret (kept in the keyring only)."""

    name: str
    title: str
    kind: str = "text"
    required: bool = True
    default: str = ""
    description: str = ""
    choices: tuple[str, ...] = ()


class Probe(Struct, frozen=True):
    """What "test connection" found: what was reached, as whom, and what is missing."""

    reached: str
    identity: str = ""
    missing: tuple[str, ...] = ()


class DeployRequest(Struct, frozen=True):
    """What to put where. `kind` is deploy or rollback; `digest` names the artifact; the key travels beside it.

    `nodes` names the only nodes to change; empty: all of them.
    """

    service: str
    environment: str
    version: str
    digest: str
    kind: str
    requested_by: str
    reason: str = ""
    nodes: tuple[str, ...] = ()


@runtime_checkable
class SourceControl(Protocol):
    """A repository with released versions."""

    def versions(self, service: Service) -> tuple[Version, ...]:
        """All versions of the service, newest first by version order; tags that are no version are left out. Without digests."""

    def changes(self, service: Service, base: str, head: str, limit: int = 500) -> Changes:
        """Commits that lead from `base` to `head` (tags or commit ids; base "" = all history), newest first, at most `limit` each way.

        Only commits that touch `service.path` where it is set. NotFound where a name does not exist.
        """

    def fingerprint(self) -> str:
        """Changes whenever a ref changed; costs well under a millisecond, so it can be asked each second."""

    def probe(self) -> Probe:
        """What this connection reaches."""


@runtime_checkable
class CiSystem(Protocol):
    """Runs of test suites."""

    def runs(self, service: str, limit: int = 50) -> tuple[CheckRun, ...]:
        """The newest runs first; suites with counts; single tests only for runs under way and for failures."""

    def run(self, run_id: str) -> CheckRun:
        """One run with all tests."""

    def log(self, run_id: str, suite: str) -> str:
        """A suite's log, the last 200 kB at most; untrusted text."""

    def rerun(self, run_id: str, key: str) -> CheckRun:
        """Ask for the same suites again. The same key never starts a second run."""

    def stop(self, run_id: str) -> CheckRun:
        """Stop a run; stopping what has ended changes nothing."""

    def probe(self) -> Probe:
        """What this connection reaches."""


@runtime_checkable
class DeploymentApi(Protocol):
    """Where versions are put onto nodes."""

    def fleet(self, service: str, environment: str) -> Fleet:
        """Every node with the digest it runs, and the deployment under way. A node that does not answer is there, with healthy False."""

    def artifacts(self, service: str) -> tuple[Artifact, ...]:
        """What can be deployed, newest first."""

    def history(self, service: str, environment: str, limit: int = 50) -> tuple[Deployment, ...]:
        """Past and current deployments, newest first."""

    def deploy(self, request: DeployRequest, key: str) -> Deployment:
        """Start a deployment. Sent once, never retried; the same key answers with the same deployment and does nothing new.

        Rejected where the system refused (busy, unknown digest); OutcomeUnknown where it was sent and no answer came;
        Unreachable only where it certainly was not sent.
        """

    def find(self, key: str) -> Deployment | None:
        """The deployment started with this key, or None where the system never saw it."""

    def deployment(self, deployment_id: str) -> Deployment:
        """One deployment with its steps, node by node."""

    def abort(self, deployment_id: str) -> Deployment:
        """Stop after the node under way; aborting what has ended changes nothing."""

    def probe(self) -> Probe:
        """What this connection reaches."""


@runtime_checkable
class MetricsApi(Protocol):
    """Latency histograms of running nodes."""

    def read(self, nodes: tuple[Node, ...]) -> tuple[Reading, ...]:
        """One cumulative reading for each node that answered. Unreachable when none did; an empty tuple for no nodes."""

    def probe(self) -> Probe:
        """What this connection reaches."""


@runtime_checkable
class AlertsApi(Protocol):
    """Alerts that fire, and silences for the time of a deployment."""

    def alerts(self) -> tuple[Alert, ...]:
        """All that fire, newest first, the silenced and the inhibited too."""

    def covering(self, service: str, environment: str, names: tuple[str, ...]) -> tuple[Matcher, ...]:
        """What a silence asks for so that it covers the alerts of these names at that place and no others; asks nobody."""

    def silence(self, matchers: tuple[Matcher, ...], until_us: int, who: str, reason: str, key: str) -> str:
        """Silence what fits all matchers until then; answers the silence's id. The same key never makes a second one.

        Rejected where it would cover everything or ends before it begins. After OutcomeUnknown the same call again settles it.
        """

    def end_silence(self, silence_id: str) -> None:
        """End it now; ending what has ended changes nothing. NotFound where it does not exist."""

    def probe(self) -> Probe:
        """What this connection reaches."""


@runtime_checkable
class Holds(Protocol):
    """What a DeploymentApi may offer besides: telling a system that deploys by itself to leave a version alone."""

    def hold(self, service: str, environment: str, digest: str, held: bool, reason: str) -> Fleet:
        """Forbid (or allow again) that this artifact is deployed there. Doing it twice changes nothing."""


@runtime_checkable
class Reviews(Protocol):
    """Reviews that a forge already holds."""

    def reviews(self, service: Service, versions: tuple[Version, ...]) -> tuple[Approval, ...]:
        """Who approved or rejected the commits of these versions there, `source` "forge"; `environment` "" = it counts for every one.

        Bound to the version's commit; a review of an earlier commit has that commit's id. The digest is "" where the forge builds nothing.
        """

    def probe(self) -> Probe:
        """What this connection reaches."""


@runtime_checkable
class Calendar(Protocol):
    """Times in which nothing may be released."""

    def freezes(self, start_us: int, end_us: int) -> tuple[Freeze, ...]:
        """All that touch [start_us, end_us), by their start."""

    def probe(self) -> Probe:
        """What this connection reaches."""


@runtime_checkable
class Traffic(Protocol):
    """How requests are shared among the nodes of a service."""

    def weights(self, service: str, environment: str) -> dict[str, int]:
        """Percent by node."""

    def set_weights(self, service: str, environment: str, weights: dict[str, int]) -> dict[str, int]:
        """Set the percent of these nodes and answer what holds then. Setting the same twice changes nothing."""

    def probe(self) -> Probe:
        """What this connection reaches."""


@runtime_checkable
class Drain(Protocol):
    """What a load balancer may offer besides shares: taking one node out at once, and bringing it back in."""

    def drain(self, service: str, environment: str, node: str) -> dict[str, int]:
        """No new requests for this node; answers the shares then. Rejected for the last one that serves. Twice changes nothing."""

    def ready(self, service: str, environment: str, node: str) -> dict[str, int]:
        """The node serves again as it did before; answers the shares then. Twice changes nothing."""


@runtime_checkable
class Gates(Protocol):
    """Steps of another system that wait for a person, answered from here."""

    def gates(self, service: str) -> tuple[Gate, ...]:
        """What waits now for this service in any environment, the longest waiting first."""

    def decide(self, gate: Gate, approve: bool, comment: str, key: str) -> None:
        """Answer it; sent once, never again by itself. NotFound or Rejected where it waits no longer; OutcomeUnknown as everywhere."""

    def probe(self) -> Probe:
        """What this connection reaches, and as whom."""


@runtime_checkable
class Venue(Protocol):
    """The trading mode of a service, as the venue offers it: open, post-only, cancel-only, halted."""

    def mode(self, service: str, environment: str) -> str:
        """The mode now."""

    def set_mode(self, service: str, environment: str, mode: str) -> str:
        """Switch it and answer what holds then. Setting the same twice changes nothing."""

    def probe(self) -> Probe:
        """What this connection reaches."""


@runtime_checkable
class SignedWords(Protocol):
    """Statements that people signed, kept where a team shares them."""

    def statements(self) -> tuple[Statement, ...]:
        """All of them, verified: who and `signer` come from the signature, `why_not` names why one counts for nothing."""

    def sign(self, statement: Statement) -> Statement:
        """Sign it with the person's key and share it. Rejected where it is there already or the key cannot sign; nothing is shared then.

        OutcomeUnknown where it was signed here and could not be shared: `sync` shares it later.
        """

    def sync(self) -> None:
        """Fetch what others signed, and share what could not be shared before."""

    def probe(self) -> Probe:
        """What this connection reaches, and as whom."""


class Message(Struct, frozen=True):
    """What people are told. `kind`: deployment_started, verdict, rollback or approval_wanted; `link` is an address of http(s), or ""."""

    kind: str
    title: str
    text: str
    link: str = ""
    service: str = ""
    environment: str = ""
    version: str = ""
    at_us: int = 0


@runtime_checkable
class Notifier(Protocol):
    """Where people are told what happens."""

    def notify(self, message: Message, key: str) -> None:
        """Tell them; sent once, never again by itself. The key travels along, so that who gets it twice can see that.

        Rejected, AuthFailed, NotFound, RateLimited and Unreachable: nobody was told. OutcomeUnknown: perhaps they were.
        """

    def probe(self) -> Probe:
        """What this connection reaches; tells nobody anything."""


class LockHeld(Struct, frozen=True):
    """Who holds an environment, since when and why; `token` names this very holding."""

    environment: str
    who: str
    reason: str
    at_us: int
    token: str


@runtime_checkable
class Lock(Protocol):
    """One action at a time in an environment, for everybody who shares the place where it is kept."""

    def take(self, environment: str, who: str, reason: str, at_us: int) -> LockHeld:
        """Take it. Rejected where somebody else holds it, and says who; Unreachable where the place cannot be reached."""

    def release(self, held: LockHeld) -> None:
        """Give it back; nothing happens where it was broken meanwhile."""

    def holder(self, environment: str) -> LockHeld | None:
        """Who holds it, None where nobody does."""

    def break_(self, held: LockHeld) -> None:
        """Take away exactly this holding, whoever's it is."""


class ConnectorSpec(Struct, frozen=True):
    """A kind of connection: its name in the settings, the ports it serves, its fields, the rights it needs, and how to make one.

    `exclusive`: the system itself lets only one deployment at a time into an environment. `shared`: its methods may be called from several
    threads at once; one connector then serves them all, else each thread gets its own. `every_s`: how often such a system may be asked at
    most while all is calm (0 = as often as the settings say); nothing new stretches it to four times that.
    `create(options, secret)`: options are the validated fields (text), secret() answers the token or "" (asked when it is needed).
    """

    kind: str
    title: str
    ports: tuple[str, ...]
    fields: tuple[Field, ...]
    create: Callable[[dict[str, str], Callable[[], str]], Any]
    rights: tuple[str, ...] = ()
    exclusive: bool = False
    shared: bool = False
    every_s: float = 0.0
