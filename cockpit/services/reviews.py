"""Reviews that a forge holds already: they count as approvals where the rule lets them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from cockpit.services import status
from cockpit.services.jobs import Partial, StateJob, collect

if TYPE_CHECKING:
    from cockpit.connectors.ports import Reviews

LEAST_S = 15.0  # people do not review by the second, and forges count questions
NEWEST = 12


class ReviewsJob(StateJob):
    """Reviews of the pending versions of each service, into `state.reviews`."""

    def prepare(self) -> Callable[[], Partial]:
        """One question a service, for all that is pending in any environment."""
        forge: Reviews = self._connected.polled
        state, questions = self._state, []
        for service in (s for s in state.services if s.name in self._connected.services):
            found = {v.commit: v for e in state.environments for v in status.pending_versions(state, service.name, e.name)[:NEWEST]}
            if found:
                questions.append(("reviews", service.name, partial(forge.reviews, service, tuple(found.values()))))
        turn = self._turn
        return lambda: collect(questions, turn)

    def interval_s(self, base_s: float) -> float:
        """Seldom."""
        return max(base_s, LEAST_S)
