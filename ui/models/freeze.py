"""Freezes in words: the header's line, its tooltip, and the rows of the page. All functions are pure."""

from __future__ import annotations

from cockpit.domain.calendar import Freeze, Freezes
from cockpit.domain.statements import Override
from ui.models.text import duration_text, plain
from ui.models.trust import NAME, moment_text

FOREVER_US = 1 << 62  # a window without an end


def label(freezes: Freezes | None, passed: Override | None, now_us: int) -> tuple[str, str]:
    """(state's word, words) for the header. What is not known never reads as "none"."""
    if freezes is None:
        return "unknown", "freeze: not known"
    hard = next((f for f in freezes.now if f.hard), None)
    if passed is not None and hard is None and (freezes.now or not freezes.unknown):
        return "warning", f"freeze passed by {plain(passed.who, NAME)} until {moment_text(passed.until_us, now_us)}"
    if freezes.now:
        return "frozen", f"frozen until {moment_text(_end(freezes.now), now_us)}: {plain((hard or freezes.now[0]).name, 80)}"
    if freezes.unknown:
        return "unknown", f"freeze unknown: {plain(freezes.unknown[0], NAME)} does not answer"
    if freezes.next is None:
        return "ok", "freeze: none planned"
    return "ok", f"freeze: none - next {moment_text(freezes.next.start_us, now_us)}"


def _end(now: tuple[Freeze, ...]) -> int:
    return max(f.end_us for f in now)


def safe_words(freezes: Freezes | None, now_us: int, duration_s: float) -> str:
    """The next window without a freeze that fits the expected duration."""
    if freezes is None:
        return "Whether a window is safe is not known."
    if freezes.unknown:
        return f"No window is known to be safe: {', '.join(plain(u, NAME) for u in freezes.unknown)} does not answer."
    if freezes.safe is None:
        return f"No window of {duration_text(duration_s)} is in sight."
    start_us, end_us = freezes.safe
    until = "" if end_us >= FOREVER_US else f" until {moment_text(end_us, now_us)}"
    begins = "now" if start_us <= now_us else f"from {moment_text(start_us, now_us)}"
    return f"Next safe window: {begins}{until}; what is planned takes about {duration_text(duration_s)}."


def freeze_words(freeze: Freeze, now_us: int) -> str:
    """One freeze: its name, from when to when, whose rule, and whether it can be passed."""
    times = f"{moment_text(freeze.start_us, now_us)} to {moment_text(freeze.end_us, now_us)}"
    hard = ", hard: no override passes it" if freeze.hard else ""
    source = f", by {plain(freeze.source, 200)}" if freeze.source else ""
    return f"{plain(freeze.name, 120)}: {times}{hard}{source}"


def tip(freezes: Freezes | None, passed: Override | None, now_us: int, duration_s: float) -> str:
    """All of it, as lines."""
    lines = [label(freezes, passed, now_us)[1]]
    if freezes is not None:
        lines += [freeze_words(f, now_us) for f in freezes.now]
        if freezes.next is not None:
            lines.append(f"next: {freeze_words(freezes.next, now_us)}")
    lines.append(safe_words(freezes, now_us, duration_s))
    return "\n".join([*lines, "A click opens the freezes."])
