"""What is read after something was changed: an error then says nothing of the change, which was made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cockpit.domain.errors import ConnectorError, OutcomeUnknown


@contextmanager
def a_change(name: str) -> Iterator[None]:
    """Errors of the reads inside become OutcomeUnknown: elsewhere they mean that nothing was sent."""
    try:
        yield
    except OutcomeUnknown:
        raise
    except ConnectorError as error:
        words = f"{name} did as asked, and how things stand now is not known: {error.message}"
        raise OutcomeUnknown(words, hint="Look again in a moment; nothing has to be sent again.") from None
