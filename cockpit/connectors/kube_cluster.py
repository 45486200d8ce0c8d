"""One cluster's API server, reached and logged in to as a kubeconfig says."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import msgspec
from msgspec import Struct

from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.kube_watch import NextChange, watch_address
from cockpit.connectors.kubeconfig import Credentials, Held, load
from cockpit.domain.errors import AuthFailed, BadPayload, ConnectorError, Rejected

T = TypeVar("T")
Page = Callable[[bytes], tuple[tuple[T, ...], str]]

PAGE = 500
MAX_PAGES = 40
FRESH_S = 30.0  # credentials younger than this are not fetched again, whatever the server says
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


class _Login(Struct):
    """A client with the credentials it was made with, and when (time.monotonic)."""

    client: HttpClient
    held: Held
    at_s: float
    watches: bool = True

    def close(self) -> None:
        self.client.close()
        self.held.close()


class Cluster:
    """The API of one context of a kubeconfig. Blocks; from any thread; ConnectorErrors only.

    Credentials that a plugin made end by themselves, so a read that is not let in is asked once more with new ones.
    """

    def __init__(self, kubeconfig: str, context: str, limits: Limits | None = None) -> None:
        self._kubeconfig, self._context = kubeconfig, context
        self._limits = limits or Limits()
        self._lock = Lock()
        self._login: _Login | None = None
        self._known: Credentials | None = None

    def close(self) -> None:
        """Close kept connections and forget the credentials; it may be used again."""
        with self._lock:
            login, self._login = self._login, None
            self._known = None
        if login is not None:
            login.close()

    def get(self, path: str, parse: Callable[[bytes], T], params: dict[str, str | int] | None = None) -> T:
        """One object."""
        login = self._logged_in()
        try:
            return login.client.read(path, parse, params)
        except AuthFailed:
            if time.monotonic() - login.at_s < FRESH_S or not self._again(login):
                raise
        return self._logged_in().client.read(path, parse, params)

    def items(self, path: str, parse: Page[T], selector: str = "") -> tuple[T, ...]:
        """All of a list, page by page. A list that grew too old on the way (410) is read once more from its beginning."""
        try:
            return self._pages(path, parse, selector)
        except Rejected as error:
            if error.status != 410:
                raise
        return self._pages(path, parse, selector)

    def wait(self, listed: str, name: str, version: str) -> None:
        """Until the object changes, or a second passes, whatever becomes of the watch. Who may not watch asks again at once."""
        login = self._logged_in()
        if login.watches:
            try:
                login.client.listen(watch_address(listed, name, version), NextChange())
            except AuthFailed:
                login.watches = False
            except ConnectorError:
                return  # reading it anew tells what is wrong, if that is more than a watch that ended

    def patch(self, path: str, kind: str, body: object, parse: Callable[[bytes], T]) -> T:
        """Change an object; sent once. Rejected with status 409 or 422 where it is not as the patch takes it to be."""
        client = self._logged_in().client
        return client.write(path, msgspec.json.encode(body), parse, method="PATCH", headers={"Content-Type": kind})

    def _pages(self, path: str, parse: Page[T], selector: str) -> tuple[T, ...]:
        found: list[T] = []
        asked: dict[str, str | int] = {"limit": PAGE} | ({"labelSelector": selector} if selector else {})
        following, seen = "", set[str]()
        for _ in range(MAX_PAGES):
            page, following = self.get(path, parse, asked | ({"continue": following} if following else {}))
            found += page
            if not following:
                return tuple(found)
            if following in seen:
                break
            seen.add(following)
        raise BadPayload("The cluster's list has no end.", hint="Name a namespace with fewer objects, or look at the API server's log.")

    def _logged_in(self) -> _Login:
        with self._lock:
            if self._login is None:
                self._known = load(self._kubeconfig, self._context)
                self._login = self._client(self._known)
            return self._login

    def _again(self, old: _Login) -> bool:
        """Read the kubeconfig anew; whether it says anything else than before."""
        with self._lock:
            if self._login is not old:
                return True
            fresh = load(self._kubeconfig, self._context)
            if fresh == self._known:
                old.at_s = time.monotonic()
                return False
            old.client.close()  # its files stay until the end: another thread may be about to read them
            made = self._client(fresh, old.held)
            self._known, self._login = fresh, made
            return True

    def _client(self, told: Credentials, held: Held | None = None) -> _Login:
        held = held or Held()
        shown = (held.path(told.certificate), held.path(told.key)) if told.certificate and told.key else None
        client = HttpClient(
            told.host,
            name="The cluster",
            token=(lambda: told.token) if told.token else None,
            limits=self._limits,
            ca_file=held.path(told.authority) if told.authority else "",
            user=told.user,
            certificate=shown,
        )
        return _Login(client, held, time.monotonic())
