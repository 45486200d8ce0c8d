"""Every error a person can meet: a title, what happened, and the way out."""

from __future__ import annotations

from typing import Any


class CockpitError(Exception):
    """Base of all errors that are shown: `title` (a few words), `message` (what happened), `hint` (the way out)."""

    title = "Something went wrong"

    def __init__(self, message: str, *, hint: str = "", title: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if title:
            self.title = title

    def __str__(self) -> str:
        return f"{self.title}: {self.message}" + (f" {self.hint}" if self.hint else "")

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross from the reading process whole; what only a keyword sets would be lost otherwise."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[CockpitError], arguments: tuple[Any, ...], content: dict[str, Any]) -> CockpitError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(content)
    return error


class ConfigError(CockpitError):
    """The settings cannot be used; `problems` lists each mistake with its path."""

    title = "The settings have mistakes"

    def __init__(self, message: str, *, hint: str = "", title: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint, title=title)
        self.problems = problems


class StorageError(CockpitError):
    """The data directory, the database or the journal could not be read or written."""

    title = "The data could not be stored"


class NotAllowed(CockpitError):
    """The cockpit itself refuses; `reasons` names each reason. Nothing was sent."""

    title = "Refused"

    def __init__(self, message: str, *, hint: str = "", title: str = "", reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint, title=title)
        self.reasons = reasons or (message,)


class ConnectorError(CockpitError):
    """A connected system failed or refused."""

    title = "A connected system failed"


class Unreachable(ConnectorError):
    """No connection, a time-out, or a 5xx answer: it may pass by itself; reading again is safe."""

    title = "Not reachable"


class RateLimited(ConnectorError):
    """The system asks for fewer requests; wait `retry_after_s` seconds."""

    title = "Too many requests"

    def __init__(self, message: str, *, retry_after_s: float, hint: str = "", title: str = "") -> None:
        super().__init__(message, hint=hint, title=title)
        self.retry_after_s = retry_after_s


class AuthFailed(ConnectorError):
    """401 or 403: polling stops until the credentials change."""

    title = "Not authorised"


class NotFound(ConnectorError):
    """404: the thing asked for does not exist there."""

    title = "Not found"


class Rejected(ConnectorError):
    """The system understood the request and refused it (400, 409, 422): nothing was done."""

    title = "The system refused"

    def __init__(self, message: str, *, hint: str = "", title: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint, title=title)
        self.status = status


class BadPayload(ConnectorError):
    """The answer is not what the interface promises."""

    title = "The answer makes no sense"


class OutcomeUnknown(ConnectorError):
    """A write was sent and no answer came: it may or may not have happened. Never shown as failed; settled by asking for its key."""

    title = "Outcome not known yet"
