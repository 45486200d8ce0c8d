"""How GitHub is asked: every question with a condition, pages by their Link, answers shared among the ports for a moment.

GitHub does not count a question that it answers with “not modified”, so the same addresses are asked again and again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import urlencode

from msgspec import Struct

from cockpit.connectors.http import HttpClient, Params, segments
from cockpit.connectors.http_pace import Remembered
from cockpit.connectors.text import one_line
from cockpit.domain.errors import AuthFailed, BadPayload, ConfigError, NotFound, RateLimited, Rejected

T = TypeVar("T")

PER_PAGE = 100
MAX_PAGES = 50  # of any list; a server whose pages never end must end somewhere
MOST_KEPT = 8192
QUIET_S = 60.0  # what GitHub asks for after its secondary limit, where it names no time
HEADERS = {
    "Accept": "application/vnd.github+json, application/json;q=0.9",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "release-cockpit",
}
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}")
_NEXT = re.compile(r'<[^<>]*>\s*;[^,<>]*\brel="?next\b')
_HIDDEN = "Check its name; GitHub says the same of what the token may not see."


class Names(Struct, frozen=True):
    """How things are called there; `{service}`, `{environment}` and `{version}` are filled in."""

    repository: str
    tag_pattern: str = ""
    environment: str = "{environment}"
    workflow: str = ""
    workflow_dispatch: str = ""

    def tag_of(self, service: str) -> str:
        """The pattern of a service's tags, `{version}` in it; "" = any scheme."""
        return self.tag_pattern.replace("{service}", service)

    def place(self, service: str, environment: str) -> str:
        """What GitHub calls that environment."""
        return self.environment.replace("{service}", service).replace("{environment}", environment)

    def environment_of(self, service: str, place: str) -> str:
        """Our name of GitHub's environment; "" where it is none of this service."""
        before, found, after = self.environment.replace("{service}", service).partition("{environment}")
        if not found:
            return place if place == before else ""
        fits = place.startswith(before) and place.endswith(after) and len(place) > len(before) + len(after)
        return place[len(before) : len(place) - len(after)] if fits else ""


class _Kept:
    """An answer of a moment ago, and who had it."""

    def __init__(self, value: Any, more: bool, at_s: float) -> None:
        self.value, self.more, self.at_s = value, more, at_s
        self.had: set[str] = set()


class Budget:
    """Questions that may wait: `first` at once, then `per_hour`. From any thread."""

    def __init__(self, first: float, per_hour: float, monotonic: Callable[[], float]) -> None:
        self._left, self._first, self._per_s = first, first, per_hour / 3600
        self._monotonic, self._at_s = monotonic, monotonic()
        self._lock = Lock()

    def take(self) -> bool:
        """Whether one more may be asked now."""
        with self._lock:
            now = self._monotonic()
            self._left, self._at_s = min(self._first, self._left + (now - self._at_s) * self._per_s), now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Api:
    """Reads and writes of one GitHub. Blocks; from any thread; ConnectorErrors only."""

    def __init__(self, client: HttpClient, names: Names, base: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        if not _REPOSITORY.fullmatch(names.repository.replace("{service}", "s")):
            raise ConfigError(
                f"“{one_line(names.repository, 200)}” is no repository.", hint="It has the form owner/name or owner/{service}."
            )
        self.client, self.names, self.base, self.monotonic = client, names, base.rstrip("/") + "/", monotonic
        self._conditions = Remembered(MOST_KEPT)
        self._moment: dict[str, _Kept] = {}
        self._services: dict[str, None] = {}
        self._lock = Lock()

    def close(self) -> None:
        """Close kept connections."""
        self.client.close()

    @property
    def services(self) -> tuple[str, ...]:
        """Services that were asked for so far."""
        with self._lock:
            return tuple(self._services)

    def path(self, service: str, *parts: str) -> str:
        """An address in the service's repository."""
        name = self.names.repository.replace("{service}", service)
        if not service or not _REPOSITORY.fullmatch(name):
            raise NotFound(f"“{one_line(name, 200)}” cannot be a repository on GitHub.", hint="Check `repository` of the connection.")
        with self._lock:
            self._services[service] = None
        return segments("repos", *name.split("/"), *parts)

    @property
    def repositories(self) -> dict[str, str]:
        """A service of each repository that was asked for so far, by the repository's address; the one of all services in any case."""
        name = self.names.repository
        if "{service}" not in name:
            return {segments("repos", *name.split("/")): next(iter(self.services), "")}
        return {self.path(service): service for service in self.services}

    def read(self, path: str, parse: Callable[[bytes], T], params: Params = None, within_s: float = 0.0, who: str = "") -> T:
        """One answer, the same object while nothing changed. `within_s`: one of so long ago will do, unless `who` had that one."""
        return cast(T, self._page(path, parse, params, within_s, who).value)

    def pages(
        self,
        path: str,
        parse: Callable[[bytes], tuple[T, ...]],
        params: Params = None,
        *,
        enough: Callable[[tuple[T, ...]], bool] | None = None,
        within_s: float = 0.0,
        who: str = "",
    ) -> tuple[T, ...]:
        """All pages of a list, in its order; fewer where `enough` says so of what came. Ends where a page repeats."""
        found: tuple[T, ...] = ()
        before: object = None
        for number in range(1, MAX_PAGES + 1):
            asked = {**(params or {}), "per_page": PER_PAGE} | ({"page": number} if number > 1 else {})
            page = self._page(path, parse, asked, within_s, who)
            if page.value == before:
                break
            before, found = page.value, found + page.value
            if not page.more or not page.value or (enough is not None and enough(found)):
                break
        return found

    def _page(self, path: str, parse: Callable[[bytes], Any], params: Params, within_s: float, who: str) -> _Kept:
        url = path + (f"?{urlencode(params)}" if params else "")
        with self._lock:
            kept = self._moment.get(url)
            if kept is not None and self.monotonic() - kept.at_s <= within_s and not (who and who in kept.had):
                kept.had.add(who)
                return kept
        value, more = self._asked(url, parse)
        with self._lock:
            kept = self._moment[url] = _Kept(value, more, self.monotonic())
            kept.had.add(who)
            if len(self._moment) > MOST_KEPT:
                self._moment.pop(next(iter(self._moment)))
        return kept

    def _asked(self, url: str, parse: Callable[[bytes], Any]) -> tuple[Any, bool]:
        etag, known = self._conditions.get((url,))
        try:
            answer = self.client.get_answer(url, {"If-None-Match": etag} if etag else {})
        except (AuthFailed, NotFound) as error:
            self._refused(error)
        if answer.status == 304:
            if not etag:
                raise BadPayload(f"{self.client.name} answered “not modified” to a question without a condition.", hint=_HIDDEN)
            return cast("tuple[Any, bool]", known)
        try:
            found = parse(answer.body), _NEXT.search(answer.headers.get("link", "")) is not None
        except BadPayload as error:
            raise BadPayload(f"{self.client.name}: {error.message}", hint=error.hint) from None
        self._conditions.put((url,), answer.headers.get("etag", ""), found)
        return found

    def write(self, path: str, body: object, parse: Callable[[bytes], T]) -> T:
        """POST, once. What was known of a moment ago is forgotten."""
        try:
            return self.client.write(path, body, parse)
        except (AuthFailed, NotFound) as error:
            self._refused(error)
        finally:
            self.forget()

    def forget(self) -> None:
        """Ask everything anew."""
        with self._lock:
            self._moment.clear()

    def _refused(self, error: AuthFailed | NotFound) -> NoReturn:
        if isinstance(error, NotFound):
            raise NotFound(error.message, hint=_HIDDEN) from None
        if "rate limit" in error.message.lower():
            # the secondary limit comes as 403, sometimes without a word about when
            raise RateLimited(error.message, retry_after_s=QUIET_S, hint="It is asked again by itself after that time.") from None
        # what one identity may see must not be shown to another
        self._conditions.clear()
        self.forget()
        raise error


def parse_nothing(body: bytes) -> None:
    """An answer that nobody reads: GitHub sends an empty body or an empty object."""
    if body.strip()[:1] == b"<":
        raise BadPayload("The answer is a web page.", hint="The address may be wrong, or a login page stands before it.")


def numbered(thing: str) -> tuple[str, str]:
    """(service, number) of an id that we made: `service/number`; NotFound for any other."""
    service, _, number = thing.rpartition("/")
    if not service or not (number.isascii() and number.isdigit()) or len(number) > 19:
        raise NotFound(f"GitHub has nothing called “{one_line(thing, 100)}”.", hint="It may be gone; look at the list again.")
    return service, number


def refused(words: str, hint: str) -> Rejected:
    """A refusal of our own, in place of a request that would do harm."""
    return Rejected(words, hint=hint, status=422)


def cancel_run(api: Api, service: str, number: str) -> None:
    """End an Actions run; one that has ended meanwhile stays as it is."""
    try:
        api.write(api.path(service, "actions", "runs", number, "cancel"), None, parse_nothing)
    except Rejected as error:
        if error.status != 409:
            raise
