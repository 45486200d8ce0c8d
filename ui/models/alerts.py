"""Alerts as people read them: a row of the table, and a place's alerts in a few words. All functions are pure.

What is known of a place (`firing`, `quiet`, `late`, `asked`, `oldest_us`, `critical`) is read by its attributes: models know no services.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from cockpit.domain.alerts import Alert
from ui.models.table import Column
from ui.models.text import NONE, age_text, plain, plain_lines, plural, time_tooltip

NAMED = 8  # alerts that a tooltip names


class AlertRow(Struct, frozen=True):
    """An alert, the connection that told it, and whether that told it too long ago."""

    alert: Alert
    source: str
    late: bool = False

    @property
    def word(self) -> str:
        """firing, silenced, inhibited or suppressed."""
        alert = self.alert
        if alert.fires:
            return "firing"
        return "silenced" if alert.silenced_by else "inhibited" if alert.inhibited_by else "suppressed"

    @property
    def state(self) -> str:
        """The state whose shape and colour it has."""
        if self.late:
            return "stale"
        return "held" if not self.alert.fires else "bad" if self.alert.critical else "warning"

    @property
    def order(self) -> tuple[bool, bool, int]:
        """The loud first, then the newest."""
        return not self.alert.fires, not self.alert.critical, -self.alert.since_us


def alert_columns(clock_us: Callable[[], int]) -> tuple[Column, ...]:
    """Columns for AlertRow."""

    def word(row: AlertRow) -> str:
        return f"was {row.word}" if row.late else row.word

    return (
        Column("State", word, sort_key=lambda r: r.order, state=lambda r: r.state, width=124),
        Column("Severity", lambda r: plain(r.alert.severity, 40) or NONE, width=76),
        Column("Alert", lambda r: plain(r.alert.name, 200) or NONE, tooltip=lambda r: plain(r.alert.name), width=136),
        Column("Where", lambda r: where(r.alert), tooltip=lambda r: plain_lines(_labels(r.alert)), width=148),
        Column("Age", lambda r: age_text((clock_us() - r.alert.since_us) / 1e6), sort_key=lambda r: -r.alert.since_us,
               tooltip=lambda r: f"since {time_tooltip(r.alert.since_us)}", align="right", width=56, quiet=True),
        Column("Summary", lambda r: plain(r.alert.summary), tooltip=lambda r: plain_lines(r.alert.summary), width=120, stretch=True),
    )  # fmt: skip


def where(alert: Alert) -> str:
    """order-gateway · production, or what of it the alert names."""
    return " · ".join(plain(part, 80) for part in (alert.service, alert.environment) if part) or "no place named"


def _labels(alert: Alert) -> str:
    return "\n".join(f"{name}: {value}" for name, value in sorted(alert.labels.items()))


def detail_rows(row: AlertRow) -> list[tuple[str, str, str, str]]:
    """The chosen alert whole, for a list of rows."""
    alert = row.alert
    severity = f", {plain(alert.severity, 40)}" if alert.severity else ""
    rows = [(row.state, f"{plain(alert.name) or 'An alert without a name'}{severity}: {plain(alert.summary)}", "", "")]
    more = alert.annotations.get("description", "")
    if more and more != alert.summary:
        rows.append(("", plain(more), "", ""))
    rows.append(("", f"{where(alert)}, since {time_tooltip(alert.since_us).splitlines()[0]}, told by {plain(row.source, 80)}", "", ""))
    if alert.silenced_by:
        rows.append(("held", f"silenced by {plain(', '.join(alert.silenced_by), 200)}", "", ""))
    if alert.inhibited_by:
        rows.append(("held", f"inhibited by the alert {plain(', '.join(alert.inhibited_by), 200)}", "", ""))
    rows.append(("", plain(", ".join(f"{k}={v}" for k, v in sorted(alert.labels.items())), 600), "", ""))
    return rows


def quiet_words(alerts: Sequence[Alert]) -> str:
    """2 silenced, 1 inhibited: nobody silenced what another alert or a time of day suppresses."""
    silenced, inhibited = sum(a.silenced for a in alerts), sum(not a.silenced and bool(a.inhibited_by) for a in alerts)
    rest = len(alerts) - silenced - inhibited
    words = [f"{n} {word}" for n, word in ((silenced, "silenced"), (inhibited, "inhibited"), (rest, "suppressed")) if n]
    return ", ".join(words) or "0 silenced"


def glance(seen: Any, now_us: int) -> tuple[str, str, str]:
    """(state, words, tooltip) of a place's alerts, short enough to stand beside its name. What is old is never "none"."""
    firing, quiet = len(seen.firing), f", {quiet_words(seen.quiet)}" if seen.quiet else ""
    names = "\n".join(f"{a.name}: {a.summary}" for a in seen.firing[:NAMED])
    old = f"{age_text((now_us - seen.oldest_us) / 1e6)} ago" if seen.oldest_us else "never"
    if seen.late:
        late = f"{', '.join(seen.late)} answered last: {old}. What fires now is not known."
        known = f"alerts: {firing} when last heard" if firing else "alerts: not known"
        return "stale", f"{known} (stale)" if seen.oldest_us else known, f"{late}\n{names}".strip()
    if not firing:
        return "ok", f"no alert{quiet}", "Nothing fires here. A click opens the alerts."
    critical = f", {seen.critical} critical" if seen.critical else ""
    return ("bad" if seen.critical else "warning"), f"{plural(firing, 'alert')}{critical}{quiet}", names
