"""Alerts that fire, and what a silence covers."""

from __future__ import annotations

from msgspec import Struct

CRITICAL = frozenset({"critical", "page", "emergency", "fatal"})  # severities that call a person


class Alert(Struct, frozen=True):
    """One alert as the alerting system holds it; all text is untrusted and plain. Times in microseconds UTC.

    `service` and `environment` are those that its labels name, "" = none.
    `state` is active, suppressed or unprocessed; `silenced_by` and `inhibited_by` name what suppresses it.
    """

    id: str
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    since_us: int
    state: str = "active"
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    url: str = ""
    service: str = ""
    environment: str = ""

    @property
    def severity(self) -> str:
        """The label of that name, "" where there is none."""
        return self.labels.get("severity", "")

    @property
    def critical(self) -> bool:
        """Whether its severity calls a person."""
        return self.severity.lower() in CRITICAL

    @property
    def fires(self) -> bool:
        """Whether nothing suppresses it."""
        return self.state != "suppressed"

    def concerns(self, service: str, environment: str) -> bool:
        """Whether it is about that place: a label that is missing speaks of all, one without both of nothing here."""
        named = bool(self.service or self.environment)
        return named and self.service in ("", service) and self.environment in ("", environment)

    @property
    def summary(self) -> str:
        """What its author says in a line."""
        return self.annotations.get("summary") or self.annotations.get("description") or self.name

    @property
    def silenced(self) -> bool:
        """Whether somebody silenced it; one that another alert inhibits is not."""
        return bool(self.silenced_by)


class Matcher(Struct, frozen=True, gc=False):
    """What a silence asks of one label: `value` is equal, or a whole match of a regular expression; `negated` turns it round."""

    name: str
    value: str
    regex: bool = False
    negated: bool = False
