"""Which actions no person clicked, and why they were done."""

from __future__ import annotations

from typing import Any

from cockpit.domain.errors import CockpitError
from cockpit.domain.rollout import Action
from cockpit.domain.watching import AUTOMATIC
from ui.models.text import plain

RECENT_US = 3_600_000_000  # an automatic action that ended since is shown even where nobody saw it begin


class Automatic:
    """Asks the deployment system's answer, else the journal, once an action."""

    def __init__(self, cockpit: Any) -> None:
        self._cockpit = cockpit
        self._known: dict[str, str] = {}

    def why(self, action: Action) -> str:
        """Why it was done by itself; "" where a person did it."""
        if action.key not in self._known:
            told = action.deployment.reason if action.deployment is not None else ""
            reason = told if told.startswith(AUTOMATIC) else self._written(action.key)
            if reason is None:
                return ""  # its intent may not be written yet
            self._known[action.key] = plain(reason.removeprefix(AUTOMATIC), 1000) if reason.startswith(AUTOMATIC) else ""
        return self._known[action.key]

    def _written(self, key: str) -> str | None:
        try:
            found = self._cockpit.actions.entries_of(key)
        except CockpitError:
            return None
        intent = next((e for e in found if e.kind == "intent"), None)
        return str(intent.detail.get("reason", "")) if intent is not None else None

    def unseen(self, action: Action) -> bool:
        """Whether it ended a short while ago, and nobody clicked it: then somebody should see its proof."""
        recent = action.state.final and 0 <= self._cockpit.clock_us() - action.ended_at_us < RECENT_US
        return recent and bool(self.why(action))
