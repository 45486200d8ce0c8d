"""Alerts of Alertmanager (interface v2), and silences that end with what they were made for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Literal

from msgspec import Meta, Struct

from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.http_answers import HINT_INTERFACE, decode
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line, plain
from cockpit.connectors.wire_values import LAST_US, Id, Name, Text, web_address
from cockpit.domain.alerts import Alert, Matcher
from cockpit.domain.errors import BadPayload, NotFound, Rejected

START_EARLY_US = 60_000_000  # it moves a past start to its own now; a start ahead of its clock would wait instead
MAX_TEXT = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)

Time = Annotated[datetime, Meta(tz=True)]


class AlertStatusWire(Struct):
    """What becomes of an alert."""

    state: Literal["unprocessed", "active", "suppressed"]
    silencedBy: tuple[Id, ...] = ()
    inhibitedBy: tuple[Id, ...] = ()


class AlertWire(Struct):
    """One alert; unknown fields are ignored."""

    fingerprint: Id
    labels: dict[str, Text]
    startsAt: Time
    status: AlertStatusWire
    annotations: dict[str, Text] = {}
    generatorURL: Name = ""


class SilenceStatusWire(Struct):
    """pending, active or expired."""

    state: Literal["pending", "active", "expired"]


class SilenceWire(Struct):
    """One silence, as much of it as is needed to know it again."""

    id: Id
    status: SilenceStatusWire
    comment: Text = ""


class MadeWire(Struct):
    """POST /api/v2/silences."""

    silenceID: Id


class VersionWire(Struct):
    """What runs there."""

    version: Name = ""


class ClusterWire(Struct, frozen=True):
    """The state of the group of servers; "disabled" where there is one alone."""

    status: Name = ""


class StatusWire(Struct):
    """GET /api/v2/status."""

    versionInfo: VersionWire
    cluster: ClusterWire = ClusterWire()


class Labels(Struct, frozen=True):
    """The labels that name an alert's service and environment."""

    service: str = "service"
    environment: str = "environment"


_LABELS = Labels()


def parse_alerts(body: bytes, labels: Labels = _LABELS) -> tuple[Alert, ...]:
    """All alerts, newest first, each once."""
    found = {wire.fingerprint: _alert(wire, labels) for wire in decode(body, tuple[AlertWire, ...])}
    return tuple(sorted(found.values(), key=lambda alert: (-alert.since_us, alert.id)))


def parse_silences(body: bytes) -> tuple[SilenceWire, ...]:
    """All silences, those that ended lately too."""
    return decode(body, tuple[SilenceWire, ...])


def parse_silence(body: bytes) -> SilenceWire:
    """One silence."""
    return decode(body, SilenceWire)


def parse_made(body: bytes) -> str:
    """The id of a new silence."""
    return decode(body, MadeWire).silenceID


def parse_status(body: bytes) -> Probe:
    """What "test connection" shows."""
    status = decode(body, StatusWire)
    missing = ("the group of servers settles",) if status.cluster.status == "settling" else ()
    return Probe(one_line(f"Alertmanager {status.versionInfo.version}".strip(), 200), missing=missing)


def parse_nothing(body: bytes) -> None:
    """The answer to an ended silence is empty; what a proxy says instead is no answer."""
    if body.strip() not in (b"", b"{}", b"null"):
        raise BadPayload("The answer to ending a silence is not empty.", hint=HINT_INTERFACE)


def mark(key: str) -> str:
    """How a silence's comment ends that was made with this key."""
    return f"[release-cockpit {one_line(key)}]"


def _alert(wire: AlertWire, named: Labels) -> Alert:
    labels = {one_line(name, 200): one_line(value, MAX_TEXT) for name, value in wire.labels.items()}
    return Alert(
        id=wire.fingerprint,
        name=labels.get("alertname", ""),
        labels=labels,
        annotations={one_line(name, 200): plain(value, MAX_TEXT) for name, value in wire.annotations.items()},
        since_us=min(LAST_US, max(0, (wire.startsAt - _EPOCH) // _US)),
        state=wire.status.state,
        silenced_by=wire.status.silencedBy,
        inhibited_by=wire.status.inhibitedBy,
        url=plain(web_address(wire.generatorURL)),
        service=labels.get(named.service, ""),
        environment=labels.get(named.environment, ""),
    )


def _moment(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=min(LAST_US, max(0, at_us)))).isoformat().replace("+00:00", "Z")


def _now_us() -> int:
    return time.time_ns() // 1000


class Alertmanager:
    """AlertsApi over HTTP. Blocks; ConnectorErrors only."""

    def __init__(self, client: HttpClient, now_us: Callable[[], int] = _now_us, labels: Labels = _LABELS) -> None:
        self._client = client
        self._now_us = now_us
        self._labels = labels
        self._parse = partial(parse_alerts, labels=labels)

    def close(self) -> None:
        """Close kept connections."""
        self._client.close()

    def alerts(self) -> tuple[Alert, ...]:
        """All that fire, newest first, the silenced and the inhibited too."""
        return self._client.read("/api/v2/alerts", self._parse)

    def covering(self, service: str, environment: str, names: tuple[str, ...]) -> tuple[Matcher, ...]:
        """The place's two labels, and any of the names, each meant as it is written."""
        any_of = "|".join(re.escape(name) for name in names)
        place = (Matcher(self._labels.service, service), Matcher(self._labels.environment, environment))
        return (*place, Matcher("alertname", any_of, regex=True))

    def silence(self, matchers: tuple[Matcher, ...], until_us: int, who: str, reason: str, key: str) -> str:
        """Silence what fits all matchers until then and answer the silence's id; the same key never makes a second one.

        Rejected where it would silence everything or has ended before it began. After OutcomeUnknown the same call settles it.
        """
        now_us = self._now_us()
        if not key.strip():
            raise Rejected("A silence without a key could be made twice.", hint="Give it the key of the deployment it is made for.")
        if not any(matcher.name and matcher.value and not matcher.negated for matcher in matchers):
            raise Rejected("This silence would cover every alert.", hint="Name at least one label that the alerts must have.")
        if until_us <= now_us:
            raise Rejected("The silence ends before it begins.", hint="Choose an end that is still to come.")
        ending = mark(key)
        # an ended one counts as well: asked again late, the same key must not silence anew
        for known in self._client.read("/api/v2/silences", parse_silences):
            if known.comment.endswith(ending):
                return known.id
        body = {
            "matchers": [{"name": m.name, "value": m.value, "isRegex": m.regex, "isEqual": not m.negated} for m in matchers],
            "startsAt": _moment(now_us - START_EARLY_US),
            "endsAt": _moment(until_us),
            "createdBy": one_line(who, 200) or "release-cockpit",
            "comment": f"{plain(reason, MAX_TEXT)} {ending}".strip(),
        }
        return self._client.write("/api/v2/silences", body, parse_made)

    def end_silence(self, silence_id: str) -> None:
        """End it now; ending what has ended changes nothing. NotFound where it does not exist."""
        try:
            known = self._client.read(segments("api", "v2", "silence", silence_id), parse_silence)
        except Rejected as error:
            if error.status in (400, 422):  # its ids are UUIDs, and it refuses others instead of not finding them
                what = f"{self._client.name} has no silence “{one_line(silence_id, 100)}”."
                raise NotFound(what, hint="It may be gone already.") from None
            raise
        if known.status.state != "expired":
            self._client.write(segments("api", "v2", "silence", silence_id), None, parse_nothing, method="DELETE")

    def probe(self) -> Probe:
        """The server's version."""
        return self._client.read("/api/v2/status", parse_status)
