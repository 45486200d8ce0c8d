"""A calendar of freezes as an iCalendar file: on disk, or behind an address."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.icalendar_parse import MAX_BYTES, Events, load, parse_calendar
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.domain.calendar import Freeze, environment_names
from cockpit.domain.errors import BadPayload, ConfigError, NotFound, Unreachable

__all__ = ["IcalendarFile", "parse_calendar"]

_ACCEPT = "text/calendar, text/plain;q=0.5, */*;q=0.1"


class IcalendarFile:
    """Calendar over one file. Blocks; one thread at a time; raises ConnectorErrors only.

    Give either `path` or `url`. `environments`: comma separated, empty means all; `hard`: "true" where no override passes its events.
    """

    def __init__(
        self,
        *,
        path: str = "",
        url: str = "",
        environments: str = "",
        hard: str = "",
        token: Callable[[], str] | None = None,
        ca_file: str = "",
    ) -> None:
        if bool(path) == bool(url):
            raise ConfigError("A calendar needs either `path` or `url`.", hint="Name one of them in the settings, not both.")
        if hard not in ("", "true", "false"):
            raise ConfigError(f"`hard` is “{one_line(hard, 40)}”.", hint="It is true or false.")
        self._environments = environment_names(environments)
        self._hard = hard == "true"
        self._body = b""
        self._events: Events | None = None
        self._asked: tuple[Events, int, int, tuple[Freeze, ...]] | None = None
        self._path = _checked_path(path) if path else Path()
        self._client: HttpClient | None = None
        if url:
            base, self._resource = _split(url)
            limits = Limits(body_bytes=MAX_BYTES)
            self._client = HttpClient(base, name="The calendar", token=token, limits=limits, ca_file=ca_file)

    def close(self) -> None:
        """Close kept connections."""
        if self._client is not None:
            self._client.close()

    def freezes(self, start_us: int, end_us: int) -> tuple[Freeze, ...]:
        """All that touch [start_us, end_us), by their start; the same object while neither calendar nor question changed."""
        events = self._read()
        if self._asked is None or self._asked[0] is not events or self._asked[1:3] != (start_us, end_us):
            found = tuple(replace(f, hard=self._hard, environments=self._environments) for f in events.freezes(start_us, end_us))
            self._asked = (events, start_us, end_us, found)
        return self._asked[3]

    def probe(self) -> Probe:
        """The calendar's own name, and how many events it has."""
        events = self._read()
        where = events.name or self._path.name or "the calendar"
        return Probe(f"{one_line(where, 100)}, {events.count} {'event' if events.count == 1 else 'events'}")

    def _read(self) -> Events:
        if self._client is not None:
            return self._client.read(self._resource, self._loaded, accept=_ACCEPT)
        return self._loaded(_read_file(self._path))

    def _loaded(self, body: bytes) -> Events:
        # also where a server sends no ETag: reading the same text again would cost seconds for nothing
        if self._events is None or body != self._body:
            self._events = None
            self._events, self._body = load(body), body
        return self._events


def _read_file(path: Path) -> bytes:
    shown = one_line(path.name, 100)
    try:
        # not blocking: a pipe by that name would be waited for without end
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb", closefd=True) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadPayload(f"“{shown}” is no file.", hint="Set `path` to an iCalendar file (.ics).")
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"The calendar file “{shown}” does not exist.", hint="Check `path` in the settings.") from None
    except OSError as error:
        what = one_line(error.strerror or type(error).__name__, 100)
        raise Unreachable(f"The calendar file “{shown}” cannot be read: {what}.", hint="Check its rights and the disk.") from None


def _checked_path(path: str) -> Path:
    try:
        wanted = Path(path).expanduser()
    except RuntimeError:
        wanted = Path(path)
    if not wanted.is_absolute() or "\0" in path:
        raise ConfigError(f"“{one_line(path, 200)}” is no absolute path.", hint="Write the whole path of the calendar file.")
    return wanted


def _split(url: str) -> tuple[str, str]:
    """(scheme and host, path and query): calendars are often handed out with a secret in the query."""
    if url.lower().startswith("webcal://"):
        url = "https" + url[6:]
    try:
        parts = urlsplit(url)
    except ValueError:
        return url, ""
    if parts.fragment:
        raise ConfigError("The calendar's address has a part after “#”.", hint="Leave it out.")
    if not parts.scheme or not parts.netloc:
        return url, ""  # the client says what is wrong with it
    return f"{parts.scheme}://{parts.netloc}", (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
