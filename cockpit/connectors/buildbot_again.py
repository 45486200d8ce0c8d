"""Starting a build of Buildbot once more, and knowing again what was started with a key."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from cockpit.connectors.buildbot_session import Session
from cockpit.connectors.buildbot_wire import (
    BuildsetWire,
    BuildWire,
    ForceWire,
    RequestWire,
    SourceWire,
    parameters,
    parse_builds,
    parse_buildsets,
    parse_forces,
    parse_requests,
    parse_started,
    query,
)
from cockpit.domain.errors import AuthFailed, BadPayload, ConnectorError, OutcomeUnknown, Rejected

KEPT_KEYS = 1000


class _Sent(Struct, frozen=True):
    """A rebuild that was asked for: of which build, the last buildset before it, and its request once it is known."""

    of: int
    after: int
    request: int = 0


class Again:
    """Blocks; one call at a time; ConnectorErrors only."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sent: OrderedDict[str, _Sent] = OrderedDict()

    def known(self, key: str) -> int:
        """The request that was made with this key, 0 where there is none."""
        mark = _mark(key)
        for buildset in self._session.read("buildsets" + query(reason__contains=mark, order="-bsid", limit=20), parse_buildsets):
            if buildset.reason.rstrip().endswith(mark):
                return self._request_of(buildset)
        sent = self._sent.get(key)
        if sent is None or sent.request:
            return sent.request if sent else 0
        # its answer was lost: it is the first rebuild of that build since then
        later = self._session.read("buildsets" + query(order="-bsid", limit=200), parse_buildsets)
        made = [buildset for buildset in later if buildset.bsid > sent.after and buildset.rebuilt_buildid == sent.of]
        return self._request_of(made[-1]) if made else 0

    def _request_of(self, buildset: BuildsetWire) -> int:
        requests = self._session.read("buildrequests" + query(buildsetid=buildset.bsid), parse_requests)
        if not requests:
            raise BadPayload(f"{self._session.name} has a buildset without a request.", hint="Look at it there.")
        return requests[0].buildrequestid

    def start(self, request: RequestWire, build: BuildWire, key: str) -> int:
        """Start what that request asked for and that build built; answers the new request."""
        buildset = next(iter(self._session.read(f"buildsets/{request.buildsetid}", parse_buildsets)), None)
        asked = self._session.read(f"buildrequests/{request.buildrequestid}" + query(("*",)), parse_requests)[0].properties or {}
        build = self._session.read(f"builds/{build.buildid}" + query(("*",)), parse_builds)[0]
        values = {name: value for name, (value, _) in asked.items()}
        revisions = _revisions(build)
        sources = buildset.sourcestamps if buildset is not None else ()
        for force in self._session.read(f"builders/{request.builderid}/forceschedulers", parse_forces):
            form = _form(force, sources, revisions, values)
            if form is not None:
                sent = form | {"builderid": request.builderid, "reason": _mark(key)}
                try:
                    return self._session.command(f"forceschedulers/{force.name}", "force", sent, parse_started)
                except (AuthFailed, Rejected):
                    continue  # nothing was done, and a rebuild asks for the same
        return self._rebuild(build, buildset, key)

    def _rebuild(self, build: BuildWire, buildset: BuildsetWire | None, key: str) -> int:
        last = self._session.read("buildsets" + query(order="-bsid", limit=1), parse_buildsets)
        root = buildset.rebuilt_buildid if buildset is not None and buildset.rebuilt_buildid is not None else build.buildid
        sent = _Sent(root, last[0].bsid if last else 0)
        self._sent[key] = sent
        if len(self._sent) > KEPT_KEYS:
            self._sent.popitem(last=False)
        try:
            request = self._session.command(f"builds/{build.buildid}", "rebuild", {}, parse_started)
        except OutcomeUnknown:
            raise
        except ConnectorError:
            del self._sent[key]
            raise
        self._sent[key] = _Sent(root, sent.after, request)
        return request


def _mark(key: str) -> str:
    return f"[release-cockpit {key}]"


def _revisions(build: BuildWire) -> dict[str, str]:
    value = (build.properties or {}).get("got_revision", ("", ""))[0]
    found = value if isinstance(value, dict) else {"": value}
    return {name: revision for name, revision in found.items() if isinstance(name, str) and isinstance(revision, str)}


def _form(
    force: ForceWire, sources: tuple[SourceWire, ...], revisions: dict[str, str], values: dict[str, object]
) -> dict[str, object] | None:
    """What to write into this scheduler's form so that the same is built; None where the form cannot say it."""
    fields = parameters(force)
    if fields.get("reason", "") is not None:
        return None
    form: dict[str, object] = {name: value for name, value in values.items() if name in fields and name not in ("reason", "username")}
    for source in sources:
        if source.patch is not None:
            return None
        prefix = f"{source.codebase}_" if source.codebase else ""
        wanted = {
            "branch": source.branch or "",
            "revision": source.revision or revisions.get(source.codebase, ""),
            "repository": source.repository or "",
            "project": source.project or "",
        }
        for name, value in wanted.items():
            only = fields.get(prefix + name, "")  # a field that the form does not have says nothing
            if only is not None and only != value:
                return None
            form[prefix + name] = value
    return form if sources else None
