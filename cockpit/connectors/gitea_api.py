"""How Gitea and Forgejo are asked: the address of a service's repository, and pages of the size that they allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from cockpit.connectors.forge_text import filled
from cockpit.connectors.gitea_wire import parse_page_size
from cockpit.connectors.http import HttpClient, segments
from cockpit.connectors.http_pace import Remembered
from cockpit.domain.errors import AuthFailed, NotFound, Rejected

T = TypeVar("T")

PAGE = 50  # what both hand out at most unless their owner changed it
MAX_PAGES = 100
_HINT = "Check how the repositories are named in the settings: as owner/name."


class GiteaApi:
    """One Gitea or Forgejo for all services; `repository` is the pattern owner/name. From any thread. Raises ConnectorErrors only."""

    def __init__(self, client: HttpClient, repository: str) -> None:
        self.client = client
        self.pattern = repository
        self.services: dict[str, None] = {}
        self.kept = Remembered(5000)
        self._size = 0

    def path(self, service: str, *parts: str | int) -> str:
        """The address of something in the service's repository."""
        names = filled(self.pattern, service=service).split("/")
        if len(names) != 2 or not service.isprintable():
            raise NotFound("That is no name of a repository.", hint=_HINT)
        return segments("api", "v1", "repos", *names, *(str(part) for part in parts))

    def pages(self, path: str, parse: Callable[[bytes], tuple[T, ...]], params: Mapping[str, str | int], enough: int) -> tuple[T, ...]:
        """The first `enough` of a list; ends at a page that is not full, and at one that repeats what came before."""
        size = self._page_size()
        found: list[T] = []
        for page in range(1, MAX_PAGES + 1):
            items = self.client.read(path, parse, {**params, "limit": size, "page": page})
            if not items or (found and items[-1] in found[-size:]):
                break
            found += items
            if len(items) < size or len(found) >= enough:
                break
        return tuple(found[:enough])

    def _page_size(self) -> int:
        """A page shorter than asked for ends a list only where it is shorter than the system allows."""
        if not self._size:
            try:
                self._size = min(PAGE, self.client.read("/api/v1/settings/api", parse_page_size))
            except (NotFound, AuthFailed, Rejected):
                self._size = PAGE
        return self._size
