"""Connections to workloads of Kubernetes, made from their settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cockpit.connectors.http import HttpClient
from cockpit.connectors.image_names import checked_pattern
from cockpit.connectors.kube_deployments import KubeDeployments
from cockpit.connectors.kube_images import Images
from cockpit.connectors.kube_view import Kind, Look
from cockpit.connectors.kube_workloads import Names
from cockpit.connectors.oci_registry import OciRegistry
from cockpit.domain.errors import ConfigError

Options = Mapping[str, str]


def made(kind: Kind, options: Options, secret: Callable[[], str]) -> KubeDeployments:
    """A connection to workloads of that kind; nothing is contacted yet. ConfigError names what is wrong with an option."""
    environments = tuple(dict.fromkeys(options.get("environments", "").replace(",", " ").split()))
    places = ("service", "environment")
    names = Names(
        options.get("kubeconfig", ""),
        checked_pattern("context", options.get("context", ""), ("environment",)),
        checked_pattern("namespace", options.get("namespace", "") or "{environment}", ("environment",)),
        checked_pattern("workload", options.get("workload", "") or "{service}", places),
        environments,
    )
    if "{environment}" in names.context and not environments:
        hint = "Without their names nobody could look through all clusters for a deployment."
        raise ConfigError("environments: must be named where each has a context of its own.", hint=hint)
    look = Look(
        options.get("container", ""),
        checked_pattern("image", options.get("image", ""), ("service", "version")),
        checked_pattern("node_url", options.get("node_url", ""), ("ip", "pod", "node", *places)),
    )
    return KubeDeployments(kind, names, look, _images(options, look.image, secret))


def _images(options: Options, pattern: str, secret: Callable[[], str]) -> Images | None:
    address = options.get("registry", "")
    if not address:
        return None
    if "{version}" not in pattern:
        raise ConfigError("image: does not say where the version is.", hint="With a registry it is needed, as team/{service}:{version}.")
    user, ca_file = options.get("registry_user", ""), options.get("ca_file", "")
    return Images(OciRegistry(HttpClient(address, name="The registry", token=secret, user=user, ca_file=ca_file)), pattern)
