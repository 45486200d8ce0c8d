"""What a person is told of a watch: one notice a place, that grows with what is found and ends when it has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from cockpit.domain.calendar import time_words
from cockpit.domain.facts import place
from cockpit.domain.watching import Watched, WatchState, brief
from cockpit.services.notices import Severity

if TYPE_CHECKING:
    from cockpit.services.notices import Notices

QUIET_S = 20.0  # a silence is told only where it lasts


class Told(Struct, frozen=True):
    """What the notice says now; `sign` is the part of it that makes it grow where it is another."""

    severity: Severity
    title: str
    message: str
    hint: str
    about: str
    kinds: tuple[str, ...]
    sign: tuple[object, ...]


def notice_key(watched: Watched) -> str:
    """The key of the place's one notice."""
    return f"watch:{place(watched.service, watched.environment)}"


def words_of(watched: Watched, now_us: int, *, metrics: bool = True, production: bool = True, told: bool = False) -> Told | None:
    """What is to be told of it; None where nothing is. That nobody uses it is news in production only.

    `told`: a notice of it stands: what is not seen any more has not passed.
    """
    name = f"{watched.service} {watched.version}"
    kinds = tuple(dict.fromkeys(f.kind for f in watched.findings))
    texts = brief("; ".join(f.text for f in watched.findings))
    sign = tuple((f.kind, f.since_us) for f in watched.findings)
    acted = (watched.countdown.announced_us if watched.countdown else 0, watched.stopped_by, watched.action)
    if watched.state is WatchState.BAD:
        title = f"{name} does badly in {watched.environment}{' after the rollback' if watched.kind == 'rollback' else ''}"
        return Told(Severity.ERROR, title, f"{texts}.", _hint(watched, now_us), _about(watched), kinds, (*sign, *acted))
    if watched.state is not WatchState.BLIND or not metrics:
        return None
    if watched.over and not watched.findings:
        title = f"Nobody can tell how {name} does in {watched.environment}"
        if watched.found is not None and watched.found.was:
            title = f"{name} did badly for a while in {watched.environment}"
        words = f"{progress(watched)}; {brief(watched.verdict.sentence)}." if watched.verdict is not None else f"{progress(watched)}."
        return Told(Severity.INFO, title, words, "Look at its latency and errors yourself.", "", (), ("over",))
    if "band" in kinds:
        title = f"p99 of {watched.service} in {watched.environment} left its band"
        hint = "The judge cannot tell yet whether the version or the market did it. The rollback card is ready: Shift+R arms it."
        judged = brief(watched.found.sentence) if watched.found is not None else "nothing was judged yet"
        return Told(Severity.WARNING, title, f"{texts}. {watched.version}: {judged}.", hint, "", kinds, sign)
    since_us = min((f.since_us for f in watched.findings), default=now_us)
    if not told and (not watched.finished_us or now_us - since_us < QUIET_S * 1e6 or not production):
        return None
    title = f"It cannot be told how {name} does in {watched.environment}"
    hint = "What is not seen is not fine: look at Sources and at the nodes."
    return Told(Severity.WARNING, title, f"{texts}.", hint, "", kinds, sign)


def _about(watched: Watched) -> str:
    return "countdown" if watched.countdown is not None else "rollback" if watched.action else ""


def _hint(watched: Watched, now_us: int) -> str:
    countdown = watched.countdown
    if countdown is not None:
        when = time_words(countdown.at_us, now_us)
        return f"It is rolled back to {countdown.version} by itself at {when}. “Stop” on its rollback card leaves it as it is."
    if watched.action:
        return f"It is being rolled back by itself (key {watched.action[:8]}): see Activity."
    manual = "The rollback card is ready: Shift+R arms it."
    if watched.stopped_by:
        return f"The automatic rollback was stopped by {watched.stopped_by}. {manual}"
    return f"{manual} Not by itself: {watched.why_not}." if watched.automatic and watched.why_not else manual


def progress(watched: Watched) -> str:
    """How much of the wanted load was seen: only 12 of 2,000 requests."""
    only = "only " if watched.requests < watched.wanted else ""
    return f"{only}{watched.requests:,.0f} of {watched.wanted:,} requests seen"


def tell(notices: Notices, watched: Watched, told: Told) -> None:
    """Show it, or let it grow."""
    notices.tell(
        told.severity,
        told.title,
        told.message,
        hint=told.hint,
        key=notice_key(watched),
        place="latency",
        group=place(watched.service, watched.environment),
        about=told.about,
        kinds=told.kinds,
    )


def over(notices: Notices, watched: Watched) -> None:
    """What the notice told has passed."""
    name = f"{watched.service} {watched.version} in {watched.environment}"
    if watched.state is WatchState.STOPPED:
        notices.over(notice_key(watched))
    elif watched.findings or not watched.requests:
        texts = brief("; ".join(f.text for f in watched.findings)) or "no request of it was seen yet"
        notices.over(notice_key(watched), f"{name}: what was told of it has passed", f"{texts[:1].upper()}{texts[1:]}.")
    elif watched.found is not None and watched.found.was:
        notices.over(notice_key(watched), f"{name}: what was told of it has passed", f"{brief(watched.found.sentence)}.")
    else:
        notices.over(notice_key(watched), f"{name}: nothing speaks against it any more", progress(watched))
