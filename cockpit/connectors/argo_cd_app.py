"""The applications of an Argo CD: reading them with their pods and versions, and changing what is written on them."""

from __future__ import annotations

import json
from threading import Lock
from typing import Any

import msgspec

from cockpit.connectors import argo_cd_state as state
from cockpit.connectors.argo_cd_wire import ApplicationWire, parse_application, parse_metadata, parse_tree
from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.image_names import checked_pattern, filled
from cockpit.connectors.moments import parse_moment
from cockpit.domain.errors import BadPayload, ConnectorError
from cockpit.domain.release import Node, parse_tag

APPLICATIONS = "/api/v1/applications"
_MAX_KNOWN = 1000


class Applications:
    """From any thread. `application`: how they are named; `tag_pattern`: how a commit's tags name versions."""

    def __init__(self, client: HttpClient, application: str, environments: str, image: str, tag_pattern: str) -> None:
        self._client = client
        self._application = checked_pattern("application", application, ("service", "environment"))
        self._image = checked_pattern("image", image, ("service", "version"))
        self._tag_pattern = tag_pattern
        self._lock = Lock()
        self._asked: dict[str, None] = dict.fromkeys(environments.replace(",", " ").split())
        self._known: dict[tuple[str, str], tuple[str, int]] = {}

    def one(self, service: str, environment: str) -> ApplicationWire:
        """An application; NotFound where there is none of that name."""
        name = filled(self._application, {"service": service, "environment": environment})
        app = self._client.read(APPLICATIONS + segments(name), parse_application)
        if app.metadata.name != name:
            raise BadPayload("Argo CD answered another application than the one asked for.", hint="Look at what stands before it.")
        with self._lock:
            self._asked.setdefault(environment)
        return app

    def path(self, app: ApplicationWire) -> str:
        """Its address."""
        return APPLICATIONS + segments(app.metadata.name)

    def environments(self) -> tuple[str, ...]:
        """Those that are named, and those that were asked about."""
        with self._lock:
            return tuple(self._asked)

    def nodes(self, app: ApplicationWire, service: str, environment: str) -> tuple[Node, ...]:
        """Its pods."""
        tree = self._client.read(f"{self.path(app)}/resource-tree", parse_tree)
        running = state.deployed(app)
        version = self.told(app, service, running)[0] if running else ""
        return state.nodes_of(app, tree, (service, environment), self._image, version)

    def patch(self, app: ApplicationWire, notes: dict[str, str | None], policy: dict[str, Any]) -> ApplicationWire:
        """Change annotations and the policy of syncing, in one step."""
        patch = {"metadata": {"annotations": notes}} | ({"spec": {"syncPolicy": policy}} if policy else {})
        body = {"name": app.metadata.name, "patch": json.dumps(patch), "patchType": "merge"}
        return self._client.write(self.path(app), body, parse_application, method="PATCH")

    def told(self, app: ApplicationWire, service: str, revision: str) -> tuple[str, int]:
        """(version, when it was committed) by the commit's tags; a commit without one is named by its id."""
        key = (app.metadata.name, revision)
        with self._lock:
            known = self._known.get(key)
        if known is not None or not revision or "+" in revision:
            return known or (revision[:12], 0)
        try:
            found = self._client.read(f"{self.path(app)}/revisions{segments(revision)}/metadata", parse_metadata)
        except ConnectorError:
            return revision[:12], 0  # a repository that is away must not hide what runs
        pattern = self._tag_pattern.replace("{service}", service)
        parsed = (parse_tag(tag, pattern) for tag in found.tags or ())
        version = next((p.name for p in parsed if p is not None and (pattern or p.prefix in ("", service))), revision[:12])
        with self._lock:
            if len(self._known) > _MAX_KNOWN:
                self._known.clear()
            self._known[key] = (version, parse_moment(found.date))
            return self._known[key]


def held_in(app: ApplicationWire) -> tuple[str, ...]:
    """Digests that are held there."""
    try:
        return msgspec.json.decode(app.notes.get(state.HELD, "[]"), type=tuple[str, ...])
    except msgspec.MsgspecError:
        return ()  # somebody else wrote it


def policy_of(saved: str) -> object:
    """Auto-sync as it was before it was switched off from here."""
    try:
        return msgspec.json.decode(saved)
    except msgspec.MsgspecError:
        raise BadPayload(f"The annotation {state.AUTOMATED} cannot be read.", hint="Switch auto-sync on in Argo CD.") from None
