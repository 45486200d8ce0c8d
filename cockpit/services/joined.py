"""A connection that serves several ports is polled as one: one health, one rhythm, one lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cockpit.domain.errors import AuthFailed, RateLimited
from cockpit.services.sync import Job


class Joined:
    """Several jobs of one connection. What one of them meets does not keep the others from being asked, unless nobody may ask."""

    def __init__(self, jobs: tuple[Job, ...]) -> None:
        self._jobs = jobs

    def prepare(self) -> Callable[[], list[tuple[Job, Any, Exception | None]]]:
        """What each of them wants to know."""
        works = [(job, job.prepare()) for job in self._jobs]

        def work() -> list[tuple[Job, Any, Exception | None]]:
            answers: list[tuple[Job, Any, Exception | None]] = []
            for job, ask in works:
                try:
                    answers.append((job, ask(), None))
                except (AuthFailed, RateLimited) as error:
                    answers.append((job, None, error))
                    break
                except Exception as error:  # noqa: BLE001 - told by apply; the others are asked all the same
                    answers.append((job, None, error))
            return answers

        return work

    def apply(self, result: list[tuple[Job, Any, Exception | None]]) -> Exception | None:
        """Give each its answer; the first error is the connection's."""
        first: Exception | None = None
        for job, answer, error in result:
            met = error if error is not None else job.apply(answer)
            first = first or met
        return first

    @property
    def changed(self) -> bool:
        """Whether any of them brought anything new."""
        return any(getattr(job, "changed", True) for job in self._jobs)

    def interval_s(self, base_s: float) -> float:
        """As often as the most impatient."""
        return min(job.interval_s(base_s) for job in self._jobs)
