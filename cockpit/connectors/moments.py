"""Moments as other systems write them (RFC 3339), as microseconds UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cockpit.connectors.text import one_line
from cockpit.domain.errors import BadPayload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_moment(text: str | None, field: str = "a time") -> int:
    """Microseconds UTC, 0 for nothing and for what lies before 1970; BadPayload where it is no date with a zone."""
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return max(0, (moment - _EPOCH) // timedelta(microseconds=1))
    except (ValueError, OverflowError):
        hint = "The system speaks another version of the interface."
        raise BadPayload(f"{field} is no date with a zone: “{one_line(text, 60)}”.", hint=hint) from None
