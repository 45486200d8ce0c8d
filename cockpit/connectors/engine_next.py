"""The container that takes the place of another one: made as it was made, of another image. Pure."""

from __future__ import annotations

from typing import Any

from cockpit.connectors.engine_wire import Container

# what an image sets and a container may set anew
_INHERITED = (
    "Cmd",
    "Entrypoint",
    "WorkingDir",
    "User",
    "Healthcheck",
    "StopSignal",
    "StopTimeout",
    "Shell",
    "ExposedPorts",
    "Volumes",
    "OnBuild",
)
_TAKEN = ("Tty", "OpenStdin", "StdinOnce", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "NetworkDisabled")


def successor(old: Container, old_image: dict[str, Any], image: str, labels: dict[str, str], prefix: str) -> dict[str, Any]:
    """The body that creates a container as `old` was created, of another image: what `old` only had from its image is left to the new one.

    Labels that begin with `prefix` are not taken over; `labels` are added.
    """
    config = old.config
    body: dict[str, Any] = {name: config[name] for name in _TAKEN if config.get(name)}
    body |= {name: config[name] for name in _INHERITED if config.get(name) and config[name] != old_image.get(name)}
    inherited = set(_texts(old_image.get("Env")))
    body["Env"] = [item for item in _texts(config.get("Env")) if item not in inherited and not item.startswith(("HOSTNAME=", "container="))]
    of_image = old_image.get("Labels") if isinstance(old_image.get("Labels"), dict) else {}
    own = {name: value for name, value in old.labels.items() if (of_image or {}).get(name) != value and not name.startswith(prefix)}
    if config.get("Hostname") and not old.id.startswith(str(config["Hostname"])):
        body["Hostname"] = config["Hostname"]
    host = {name: value for name, value in old.host_config.items() if value not in (None, "", [], {}) and name != "ContainerIDFile"}
    if isinstance(host.get("Ulimits"), list):  # Podman tells them by one name and takes them by another
        host["Ulimits"] = [_ulimit(limit) for limit in host["Ulimits"] if isinstance(limit, dict)]
    mode = str(host.get("NetworkMode") or "default")
    if mode in old.networks and mode not in ("host", "none", "bridge", "default"):
        body["NetworkingConfig"] = {"EndpointsConfig": {mode: endpoint(old, mode)}}
    return body | {"Image": image, "Labels": own | labels, "HostConfig": host}


def _ulimit(limit: dict[str, Any]) -> dict[str, Any]:
    return limit | {"Name": str(limit.get("Name", "")).removeprefix("RLIMIT_").lower()}


def endpoint(old: Container, network: str) -> dict[str, Any]:
    """How a container is known in a network: its own settings, without what the engine gave it."""
    settings = old.networks[network]
    aliases = [name for name in _texts(settings.get("Aliases")) if not old.id.startswith(name)]
    return {"Aliases": aliases} | ({"IPAMConfig": settings["IPAMConfig"]} if settings.get("IPAMConfig") else {})


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
