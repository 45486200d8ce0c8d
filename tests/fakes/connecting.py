"""Connections for the tests of the window: the real kinds and checks, over a settings file of the test; testing and saving are recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from cockpit.connect import as_toml
from cockpit.connect_draft import Offer, offer, problems
from cockpit.domain.connection import Draft, Kept, Kind, Trial
from cockpit.domain.errors import CockpitError, NotAllowed
from cockpit.services.runtime import Outcome

CI = Draft("ci", "ci-v1", {"url": "https://ci.example.org"}, ("order-gateway",), "", {"kind": "ci-v1", "url": "https://ci.example.org"})


class FakeSystems:
    """What the Sources view asks of `cockpit.systems`."""

    def __init__(self) -> None:
        self.services: tuple[str, ...] = ("market-data", "order-gateway", "risk-engine")
        self.names: tuple[str, ...] = ("ci", "deployer")
        self.first = False
        self.read_only = ""
        self.keyring = ("", "")
        self.refusal: NotAllowed | None = None
        self.drafts = {"ci": CI}
        self.found = Trial(12.4, "ci 1.0 at ci.example.org", "release-bot")
        self.error: CockpitError | None = None
        self.kept = Kept("/etc/cockpit.toml")
        self.calls: list[tuple[Any, ...]] = []
        self.later: list[Callable[[], None]] | None = None  # a list: answers wait in it
        self._offer: Offer | None = None

    def why_not(self) -> NotAllowed | None:
        return self.refusal

    def offer(self, done: Callable[[Outcome[Offer]], None]) -> None:
        self._offer = self._offer or offer()
        done(Outcome(self._offer))

    def add_kind(self, kind: Kind) -> None:
        """A kind of an installed package."""
        known = self._offer or offer()
        self._offer = replace(known, kinds=(*known.kinds, kind))

    def draft(self, connection_id: str) -> Draft:
        if connection_id not in self.drafts:
            raise NotAllowed(f"There is no connection “{connection_id}” in cockpit.toml.", hint="It is no connection.", title="Not there")
        return self.drafts[connection_id]

    def problems(self, draft: Draft, kind: Kind) -> dict[str, str]:
        return problems(draft, kind, draft.services if self.first else self.services, self.names)

    def as_toml(self, draft: Draft, kind: Kind) -> str:
        return as_toml(draft, kind)

    def _answer(self, done: Callable[[Outcome[Any]], None], value: Any) -> None:
        outcome: Outcome[Any] = Outcome(error=self.error) if self.error is not None else Outcome(value)
        if self.later is None:
            done(outcome)
        else:
            self.later.append(lambda: done(outcome))

    def test(self, draft: Draft, secret: str, done: Callable[[Outcome[Trial]], None]) -> None:
        self.calls.append(("test", draft, secret))
        self._answer(done, self.found)

    def save(self, draft: Draft, kind: Kind, secret: str, done: Callable[[Outcome[Kept]], None]) -> None:
        self.calls.append(("save", draft, secret))
        self._answer(done, self.kept)

    def remove(self, draft: Draft, done: Callable[[Outcome[Kept]], None]) -> None:
        self.calls.append(("remove", draft.id))
        self._answer(done, self.kept)

    def new_token(self, connection_id: str, secret: str, done: Callable[[Outcome[Kept]], None]) -> None:
        self.calls.append(("new_token", connection_id, secret))
        self._answer(done, self.kept)
