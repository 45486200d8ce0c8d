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


def _commands(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.commands import CommandDeploy

    return CommandDeploy(options)


def _containers(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.containers import Containers
    from cockpit.connectors.engine_hosts import make_hosts
    from cockpit.connectors.oci_registry import OciRegistry

    registry = OciRegistry(client(options | {"url": options["registry"]}, secret, "The registry")) if options.get("registry") else None
    return Containers(make_hosts(options), registry)


def _supervisor(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.supervisor import Supervisor

    user, address = options.get("user", ""), options.get("address", "")
    return Supervisor(options["nodes"], user=user, token=secret, ca_file=options.get("ca_file", ""), address=address)


def _kubernetes(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.kubernetes import kubernetes

    return kubernetes(options, secret)


def _argo_rollouts(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.argo_rollouts import ArgoRollouts

    return ArgoRollouts(options, secret)


def _argo_cd(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.argo_cd import ArgoCd

    application, environments = options["application"], options.get("environments", "")
    return ArgoCd(client(options, secret, "Argo CD"), application, environments, options.get("image", ""), options.get("tag_pattern", ""))


_ENVIRONMENTS = Field("environments", "Environments", required=False, description="Their names, with spaces; empty: those asked for so far")


def _workload_fields(workload: str) -> tuple[Field, ...]:
    """What a connection to workloads of Kubernetes is told."""
    return (
        Field("kubeconfig", "Kubeconfig", kind="path", required=False, description="Empty: $KUBECONFIG, else the usual place"),
        Field("context", "Context", required=False, description="Empty: its current one; {environment} is filled in"),
        _ENVIRONMENTS,
        Field("namespace", "Namespace", required=False, default="{environment}"),
        Field("workload", workload, required=False, default="{service}", description="How it is named"),
        Field("container", "Container", required=False, description="Empty: the one named as the service, else the first"),
        Field("image", "Image", required=False, description="Such as registry.example.org/team/{service}:v{version}; empty: as it runs"),
        Field("node_url", "Address of a node", required=False, description="Such as http://{ip}:8080; {pod} and {node} are known too"),
        Field(
            "registry", "Registry", kind="url", required=False, description="Where the images are, without /v2; tells what can be deployed"
        ),
        Field("registry_user", "Registry's user", required=False),
        Field("token", "Registry's token or password", kind="secret", required=False, description="Kept in the keyring only"),
        Field(
            "ca_file", "Registry's CA certificate", kind="path", required=False, description="PEM file of a private certificate authority"
        ),
    )


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
        ports=("Traffic", "Drain"),
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
    ConnectorSpec(
        kind="containers",
        title="Docker or Podman on hosts",
        ports=("DeploymentApi",),
        fields=(
            Field(
                "nodes", "Nodes", description="environment/node=unix:///run/docker.sock or https://host:2376, separated by spaces or lines"
            ),
            Field("image", "Images", description="Their repository, such as registry.example.org/team/{service}"),
            Field("container", "Container", required=False, default="{service}", description="How a service's container is named"),
            Field("registry", "Registry", kind="url", required=False, description="Its address; empty: what lies on every host"),
            Field(
                "health", "Health address", required=False, description="Such as http://{host}:8080/healthz; empty: the image's own check"
            ),
            Field("address", "Address of a node", required=False, description="Such as http://{host}:8080"),
            Field("check_s", "Healthy within (seconds)", kind="number", required=False, default="60"),
            Field("stop_s", "Stops within (seconds)", kind="number", required=False, default="10"),
            Field("certificate", "Client certificate", kind="path", required=False, description="PEM file for engines behind TLS"),
            Field("certificate_key", "Its key", kind="path", required=False, description="PEM file"),
            Field("token", "Registry token", kind="secret", required=False, description="Kept in the keyring only"),
            CA_FILE,
        ),
        create=_containers,
        rights=("the engine's interface on each host: that is as much as root there",),
        shared=True,
    ),
    ConnectorSpec(
        kind="supervisor",
        title="Hosts run by supervisord",
        ports=("DeploymentApi",),
        fields=(
            Field("nodes", "Nodes", description="environment/node=http://host:9001 of each supervisord, separated by spaces or lines"),
            Field("user", "User", required=False, description="Of [inet_http_server] on the hosts"),
            Field("token", "Password", kind="secret", required=False, description="The same for all hosts; kept in the keyring only"),
            Field(
                "address", "Address of a node", required=False, description="Such as http://{host}:8080; {node} and {service} are known too"
            ),
            CA_FILE,
        ),
        create=_supervisor,
        rights=("the XML-RPC interface of each host, with its extension for releases (resources/supervisor) installed",),
        shared=True,
    ),
    ConnectorSpec(
        kind="kubernetes",
        title="Kubernetes (Deployments)",
        ports=("DeploymentApi",),
        fields=_workload_fields("Deployment"),
        create=_kubernetes,
        rights=("get, list and patch deployments", "list replicasets and pods", "where a registry is named: read its images"),
        shared=True,
    ),
    ConnectorSpec(
        kind="argo-rollouts",
        title="Argo Rollouts",
        ports=("DeploymentApi", "Gates"),
        fields=_workload_fields("Rollout"),
        create=_argo_rollouts,
        rights=(
            "get, list and patch rollouts and rollouts/status",
            "list replicasets and pods",
            "where a registry is named: read its images",
        ),
        shared=True,
    ),
    ConnectorSpec(
        kind="commands-deploy",
        title="Deployments by commands",
        ports=("DeploymentApi",),
        fields=(
            Field("fleet_command", "Command that tells the fleet", description="{service} and {environment} are filled in; it prints JSON"),
            Field("artifacts_command", "Command that lists artifacts", description="{service}"),
            Field("history_command", "Command that lists deployments", description="{service}, {environment} and {limit}"),
            Field(
                "deploy_command",
                "Command that starts a deployment",
                description="{service} {environment} {version} {digest} {kind} {key} {nodes}; it gets them as JSON on its input too",
            ),
            Field("find_command", "Command that finds one by its key", description="{key}; it ends with status 3 where there is none"),
            Field("deployment_command", "Command that tells one deployment", description="{deployment}"),
            Field("abort_command", "Command that stops one", required=False, description="{deployment}; empty: nothing can be stopped"),
            Field("timeout_s", "Time limit (seconds)", kind="number", required=False, default="30", description="Then it is ended"),
        ),
        create=_commands,
        rights=("start these commands as you",),
        shared=True,
    ),
    ConnectorSpec(
        kind="argo-cd",
        title="Argo CD",
        ports=("DeploymentApi", "Holds"),
        fields=(
            Field("url", "Address", kind="url", description="Where Argo CD is, without /api"),
            Field("application", "Application", required=False, default="{service}-{environment}", description="How they are named"),
            _ENVIRONMENTS,
            Field("image", "Image", required=False, description="Such as team/{service}:v{version}: the pods' versions by their tags"),
            Field("tag_pattern", "Tags", required=False, description="Such as {service}/v{version}; empty: any scheme"),
            TOKEN,
            CA_FILE,
        ),
        create=_argo_cd,
        rights=("get, update and sync applications; override, where roles are enforced for rollbacks",),
        shared=True,
        every_s=5.0,
    ),
)
