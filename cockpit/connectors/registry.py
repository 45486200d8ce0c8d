"""All kinds of connections: built in, and from installed packages (entry points `release_cockpit.connectors`).

The only file that names connectors; each is imported when one is created.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, cast

from cockpit.connectors.ports import ConnectorSpec, Field, Lock, Probe, SignedWords
from cockpit.domain.errors import BadPayload, CockpitError, ConfigError, ConnectorError

ENTRY_POINTS = "release_cockpit.connectors"
Secret = Callable[[], str]

_URL = Field("url", "Address", kind="url", description="Where the interface lives, without /v1")
_TOKEN = Field("token", "Token", kind="secret", required=False, description="Kept in the keyring only")
_CA_FILE = Field("ca_file", "CA certificate", kind="path", required=False, description="PEM file of a private certificate authority")


def _client(options: dict[str, str], secret: Secret, name: str) -> Any:
    from cockpit.connectors.http import HttpClient

    return HttpClient(options["url"], name=name, token=secret, ca_file=options.get("ca_file", ""))


def _ci(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.open_ci import OpenCi

    return OpenCi(_client(options, secret, "The CI system"))


def _deployment(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.open_deployment import OpenDeployment

    return OpenDeployment(_client(options, secret, "The deployment system"))


def _openmetrics(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.openmetrics import Names, OpenMetricsScraper

    default = Names()
    names = Names(
        histogram=options.get("histogram") or default.histogram,
        errors=options.get("errors") or default.errors,
        operation_label=options.get("operation_label") or default.operation_label,
    )
    return OpenMetricsScraper(names, path=options.get("path") or "/metrics", token=secret, ca_file=options.get("ca_file", ""))


def _prometheus(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.prometheus import PrometheusMetrics, Selection

    default = Selection()
    chosen = Selection(**{name: options.get(name) or getattr(default, name) for name in Selection.__struct_fields__})
    return PrometheusMetrics(_client(options, secret, "The metrics server"), chosen, options["stale_s"])


def _alertmanager(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.alertmanager import Alertmanager

    return Alertmanager(_client(options, secret, "The alerting system"))


def _git(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.git_local import GitLocal

    return GitLocal(options["path"])


def _icalendar(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.icalendar_file import IcalendarFile

    return IcalendarFile(**options, token=secret)


def _venue_command(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.venue_command import VenueCommand

    return VenueCommand(options["mode_command"], options["set_command"], options["timeout_s"])


def _haproxy(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.haproxy import Haproxy

    return Haproxy(options["socket"], options["backend"], options["server"], options["timeout_s"])


def _slack(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.webhook import SlackWebhook

    return SlackWebhook(options["url"], secret, options.get("ca_file", ""))


def _webhook(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.webhook import SignedWebhook

    return SignedWebhook(options["url"], secret, options.get("ca_file", ""))


def _mail(options: dict[str, str], secret: Secret) -> Any:
    from cockpit.connectors.mail import Mail

    return Mail(options, secret)


def signed_words(
    path: str,
    remote: str = "",
    *,
    me: tuple[str, str] = ("", ""),
    key: tuple[str, str] = ("", ""),
    allowed_signers: str = "",
    revoked_keys: str = "",
    openpgp: dict[str, str] | None = None,
) -> SignedWords:
    """The signed words of a repository on disk. `me` is (name, e-mail), `key` is (ssh or openpgp, git's user.signingKey).

    Blocks nothing: the repository is looked at with the first question. It is no kind of connection: the policy as a whole describes it.
    """
    from cockpit.connectors.git_signed import GitSigned, Signer
    from cockpit.connectors.git_verify import Trust

    return GitSigned(path, Signer(*me, *key), Trust(allowed_signers, revoked_keys, openpgp or {}), remote)


def shared_lock(path: str, remote: str = "") -> Lock:
    """The locks of environments that a team keeps in a repository on disk and, with `remote`, in what it is a copy of."""
    from cockpit.connectors.git_lock import GitLock

    return GitLock(path, remote)


CONNECTORS: tuple[ConnectorSpec, ...] = (
    ConnectorSpec(
        kind="git",
        title="Git repository on disk",
        ports=("SourceControl",),
        fields=(Field("path", "Repository", kind="path", description="A working tree or a bare repository"),),
        create=_git,
        rights=("read the repository's files",),
    ),
    ConnectorSpec(
        kind="ci-v1",
        title="CI system (open interface)",
        ports=("CiSystem",),
        fields=(_URL, _TOKEN, _CA_FILE),
        create=_ci,
        rights=("read runs and logs", "run suites again and stop them"),
    ),
    ConnectorSpec(
        kind="deployment-v1",
        title="Deployment system (open interface)",
        ports=("DeploymentApi", "Holds", "Venue", "Traffic"),
        fields=(_URL, _TOKEN, _CA_FILE),
        create=_deployment,
        rights=(
            "read environments, artifacts and deployments",
            "start and abort deployments",
            "where it offers that: hold versions back, switch trading modes, share the traffic out",
        ),
        exclusive=True,
    ),
    ConnectorSpec(
        kind="openmetrics",
        title="Metrics pages of the nodes",
        ports=("MetricsApi",),
        fields=(
            Field("path", "Path", required=False, default="/metrics", description="The metrics page of each node"),
            Field("histogram", "Histogram", required=False, default="http_server_request_duration_seconds"),
            Field("errors", "Error counter", required=False, default="http_server_errors_total"),
            Field("operation_label", "Operation label", required=False, default="operation"),
            _TOKEN,
            _CA_FILE,
        ),
        create=_openmetrics,
        rights=("read each node's metrics page",),
    ),
    ConnectorSpec(
        kind="prometheus",
        title="Prometheus, or any PromQL engine",
        ports=("MetricsApi",),
        fields=(
            Field("url", "Address", kind="url", description="Where the query interface lives, without /api/v1"),
            Field("histogram", "Histogram", required=False, default="http_server_request_duration_seconds"),
            Field("errors", "Error counter", required=False, default="http_server_errors_total"),
            Field("operation_label", "Operation label", required=False, default="operation"),
            Field("selector", "More matchers", required=False, description='Put into the braces of each query, such as job="gateway"'),
            Field("node_label", "Node label", required=False, description="Holds a node's name; empty: instance is its host:port"),
            Field("service_label", "Service label", required=False, description="Beside the node label, where names are not unique"),
            Field("environment_label", "Environment label", required=False, description="The same"),
            Field("stale_s", "Stale after (seconds)", kind="number", required=False, default="60", description="Older counts as silent"),
            _TOKEN,
            _CA_FILE,
        ),
        create=_prometheus,
        rights=("query metrics",),
    ),
    ConnectorSpec(
        kind="alertmanager",
        title="Alertmanager",
        ports=("AlertsApi",),
        fields=(Field("url", "Address", kind="url", description="Where it lives, without /api/v2"), _TOKEN, _CA_FILE),
        create=_alertmanager,
        rights=("read alerts and silences", "make silences and end them"),
    ),
    ConnectorSpec(
        kind="haproxy",
        title="HAProxy (runtime API)",
        ports=("Traffic",),
        fields=(
            Field("socket", "Socket", description="The whole path of its stats socket, or 127.0.0.1:port"),
            Field("backend", "Backend", required=False, default="{service}-{environment}", description="How its backends are named"),
            Field("server", "Server", required=False, default="{node}", description="How a node's server is named in it"),
            Field("timeout_s", "Time limit (seconds)", kind="number", required=False, default="5"),
        ),
        create=_haproxy,
        rights=("open the socket, with the level admin: it sets weights and takes servers out",),
    ),
    ConnectorSpec(
        kind="slack",
        title="Chat (Slack-compatible webhook)",
        ports=("Notifier",),
        fields=(
            Field("url", "Address", kind="url", description="Without its secret part, such as https://hooks.slack.com/services"),
            Field("token", "Secret part of the address", kind="secret", description="As T000/B000/XXXX; kept in the keyring only"),
            _CA_FILE,
        ),
        create=_slack,
        rights=("post to the webhook's channel",),
    ),
    ConnectorSpec(
        kind="webhook",
        title="Signed webhook",
        ports=("Notifier",),
        fields=(
            Field("url", "Address", kind="url", description="Where notices are posted as JSON"),
            Field("token", "Secret to sign with", kind="secret", description="Shared with the receiver; kept in the keyring only"),
            _CA_FILE,
        ),
        create=_webhook,
        rights=("post to that address",),
    ),
    ConnectorSpec(
        kind="mail",
        title="E-mail (SMTP)",
        ports=("Notifier",),
        fields=(
            Field("host", "Mail server"),
            Field("port", "Port", kind="number", required=False, description="Usually 587 with starttls, 465 with tls"),
            Field("security", "Encryption", kind="choice", required=False, default="starttls", choices=("starttls", "tls")),
            Field("sender", "From", description="An address, such as releases@example.org"),
            Field("to", "To", description="Addresses, separated by commas"),
            Field("user", "User", required=False, description="Empty: the server asks for no login"),
            Field("token", "Password", kind="secret", required=False, description="Kept in the keyring only"),
            _CA_FILE,
        ),
        create=_mail,
        rights=("send mail from that address",),
    ),
    ConnectorSpec(
        kind="venue-command",
        title="Trading mode by commands",
        ports=("Venue",),
        fields=(
            Field("mode_command", "Command that tells the mode", description="{service} and {environment} are filled in; it prints JSON"),
            Field("set_command", "Command that sets the mode", description="The same, and {mode}; it prints the mode that holds then"),
            Field("timeout_s", "Time limit (seconds)", kind="number", required=False, default="15", description="Then it is ended"),
        ),
        create=_venue_command,
        rights=("start these two commands as you",),
    ),
    ConnectorSpec(
        kind="icalendar",
        title="Calendar of freezes (iCalendar)",
        ports=("Calendar",),
        fields=(
            Field("path", "File", kind="path", required=False, description="An iCalendar file (.ics); this or the address"),
            Field("url", "Address", kind="url", required=False, description="Where the calendar is served; this or the file"),
            Field("environments", "Environments", required=False, description="Comma separated; empty means all"),
            Field(
                "hard",
                "Hard",
                kind="choice",
                required=False,
                default="false",
                choices=("false", "true"),
                description="No override passes its events",
            ),
            _TOKEN,
            _CA_FILE,
        ),
        create=_icalendar,
        rights=("read the calendar",),
    ),
)


def installed() -> tuple[tuple[ConnectorSpec, ...], tuple[ConfigError, ...]]:
    """(connectors of installed packages, what is wrong with those left out). A broken package never stops the others."""
    from importlib.metadata import entry_points

    specs: list[ConnectorSpec] = []
    problems: list[ConfigError] = []
    taken = {spec.kind for spec in CONNECTORS}
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        try:
            found = entry.load()
        except Exception as error:  # noqa: BLE001 - code of others: whatever it raises, the cockpit runs on and says so
            problems.append(_broken(entry.name, f"it cannot be loaded ({type(error).__name__}: {error})"))
            continue
        if not isinstance(found, ConnectorSpec):
            problems.append(_broken(entry.name, "it is no ConnectorSpec"))
        elif found.kind in taken:
            problems.append(_broken(entry.name, f"the kind “{found.kind}” is taken"))
        else:
            taken.add(found.kind)
            specs.append(found)
    return tuple(specs), tuple(problems)


def _broken(name: str, why: str) -> ConfigError:
    from cockpit.connectors.text import one_line

    return ConfigError(
        f"The connector “{one_line(name, 100)}” is left out: {one_line(why, 300)}.",
        hint="Update or remove the package that brings it.",
        title="A connector is broken",
    )


def specs() -> tuple[ConnectorSpec, ...]:
    """All usable kinds, built in first."""
    return CONNECTORS + installed()[0]


def spec(kind: str) -> ConnectorSpec:
    """The connector of that kind; ConfigError with the nearest name. Packages are searched only for kinds that are not built in."""
    for known in CONNECTORS:
        if known.kind == kind:
            return known
    others = installed()[0]
    for known in others:
        if known.kind == kind:
            return known
    names = [known.kind for known in (*CONNECTORS, *others)]
    near = difflib.get_close_matches(kind, names, n=1, cutoff=0.4)
    hint = f"Did you mean “{near[0]}”?" if near else f"Known kinds: {', '.join(names)}."
    raise ConfigError(f"There is no connector of the kind “{kind[:100]}”.", hint=hint)


def create(kind: str, options: dict[str, str], secret: Secret) -> Any:
    """A connector from its options (text) and `secret`, asked when a token is needed; nothing is contacted yet.

    ConfigError names each missing or unknown option. Call `close()` on what comes back when it is no longer used.
    """
    chosen = spec(kind)
    fields = {field.name: field for field in chosen.fields if field.kind != "secret"}
    problems = [f"{name}: is missing" for name, field in fields.items() if field.required and not options.get(name)]
    for name in options:
        if name not in fields:
            near = difflib.get_close_matches(name, list(fields), n=1)
            problems.append(f"{name}: is no option of “{kind}”" + (f" (did you mean “{near[0]}”?)" if near else ""))
    if problems:
        message = f"The connection of the kind “{kind}” cannot be made: {'; '.join(problems)}."
        raise ConfigError(message, hint="Correct it in the settings.", problems=tuple(problems))
    filled = {name: field.default for name, field in fields.items() if field.default} | options
    return chosen.create(filled, secret)


def probe(connector: Any) -> Probe | ConnectorError:
    """Test a connection: what it reaches, or why not. Blocks; never raises."""
    try:
        return cast(Probe, connector.probe())
    except ConnectorError as error:
        return error
    except CockpitError as error:
        return ConnectorError(error.message, hint=error.hint, title=error.title)
    except Exception as error:  # noqa: BLE001 - a connector of others may raise anything; a test of it must still answer
        what = f"The connector failed in itself ({type(error).__name__})."
        return BadPayload(what, hint="This is a mistake in the connector; tell its makers.")
