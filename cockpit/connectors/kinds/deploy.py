"""What puts versions onto nodes, and what shares the traffic out among them. Each connector is imported when one is created."""

from __future__ import annotations

from typing import Any

from cockpit.connectors.kinds.common import CA_FILE, TOKEN, URL, Options, Secret, client
from cockpit.connectors.ports import ConnectorSpec, Field


def _deployment(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.open_deployment import OpenDeployment

    return OpenDeployment(client(options, secret, "The deployment system"))


def _haproxy(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.haproxy import Haproxy

    return Haproxy(options["socket"], options["backend"], options["server"], options["timeout_s"])


def _venue_command(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.venue_command import VenueCommand

    return VenueCommand(options["mode_command"], options["set_command"], options["timeout_s"])


KINDS: tuple[ConnectorSpec, ...] = (
    ConnectorSpec(
        kind="deployment-v1",
        title="Deployment system (open interface)",
        ports=("DeploymentApi", "Holds", "Venue", "Traffic"),
        fields=(URL, TOKEN, CA_FILE),
        create=_deployment,
        rights=(
            "read environments, artifacts and deployments",
            "start and abort deployments",
            "where it offers that: hold versions back, switch trading modes, share the traffic out",
        ),
        exclusive=True,
        shared=True,
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
)
