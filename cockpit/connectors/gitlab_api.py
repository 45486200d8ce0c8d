"""How GitLab is asked: the address of a service's project, pages, and what was asked of it before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cockpit.connectors.forge_text import filled
from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.http_pace import Remembered
from cockpit.domain.errors import AuthFailed, NotFound

T = TypeVar("T")
Params = Mapping[str, str | int]

PAGE = 100  # the most that GitLab hands out at once
MAX_PAGES = 50
_HINT = "Check how the projects are named in the settings, and that the account may see them."


class GitlabApi:
    """One GitLab for all services; `project` is the pattern of their projects' paths. From any thread. Raises ConnectorErrors only."""

    def __init__(self, client: HttpClient, project: str) -> None:
        self.client = client
        self.pattern = project
        self._services: dict[str, None] = {}
        self._kept = Remembered(5000)

    @property
    def services(self) -> tuple[str, ...]:
        """The services that were asked about so far; with a pattern that names one project they are all in it."""
        return tuple(self._services)

    def project(self, service: str) -> str:
        """The path of the service's project; NotFound for a service that cannot have one."""
        if not service or any(part in ("", ".", "..") for part in service.split("/")) or not service.isprintable():
            raise NotFound("That is no name of a service.", hint=_HINT)
        return filled(self.pattern, service=service)

    def path(self, service: str, *parts: str | int) -> str:
        """The address of something in the service's project."""
        return segments("api", "v4", "projects", self.project(service), *(str(part) for part in parts))

    def note(self, service: str) -> None:
        """The service exists."""
        self._services.setdefault(service)

    def pages(self, path: str, parse: Callable[[bytes], tuple[T, ...]], params: Params, enough: int, size: int = PAGE) -> tuple[T, ...]:
        """The first `enough` of a list, page by page; ends at a short page, and at one that repeats what came before."""
        found: list[T] = []
        for page in range(1, MAX_PAGES + 1):
            items = self.client.read(path, parse, {**params, "per_page": size, "page": page})
            if not items or (found and items[-1] in found[-size:]):
                break
            found += items
            if len(items) < size or len(found) >= enough:
                break
        return tuple(found[:enough])

    def once(self, path: str, parse: Callable[[bytes], T], params: Params | None = None) -> T:
        """What never changes again: read once, then remembered."""
        known = self.recall(path)
        if known is None:
            known = self.client.read(path, parse, params)
            self.keep(path, known)
        value: T = known
        return value

    def optional(self, path: str, parse: Callable[[bytes], T], other: T) -> T:
        """The answer, or `other` where this GitLab has no such thing or does not show it to this account."""
        try:
            return self.client.read(path, parse)
        except (NotFound, AuthFailed):
            return other

    def recall(self, key: str) -> Any:
        """What was kept, or None."""
        return self._kept.get((key,))[1]

    def keep(self, key: str, value: Any) -> None:
        """Remember it; the least used is forgotten first."""
        self._kept.put((key,), "kept", value)
