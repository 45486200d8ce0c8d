"""What a connection's test, its saving and its failing say, as rows of a form. Pure."""

from __future__ import annotations

from cockpit.domain.connection import Kept, Trial
from cockpit.domain.errors import ConfigError
from ui.models.text import ms_text, plain

Content = tuple[str, str, str, str]  # state, words, figure, place


def trial_rows(trial: Trial) -> list[Content]:
    """What was reached, as whom, how fast, and what is missing; or why not, with the way out."""
    if trial.error is not None:
        return error_rows(trial.error)
    who = f" as {plain(trial.identity, 200)}" if trial.identity else ""
    rows: list[Content] = [("ok", f"Reached {plain(trial.reached, 300)}{who} in {ms_text(trial.took_ms)}.", "", "")]
    return rows + [("warning", f"Missing: {plain(m, 300)}", "", "") for m in trial.missing]


def error_rows(error: BaseException | None) -> list[Content]:
    """An error in words, each mistake of it in a row, and the way out."""
    title = str(getattr(error, "title", "It failed"))
    problems = error.problems if isinstance(error, ConfigError) else ()
    told = problems if len(problems) > 1 else (str(getattr(error, "message", error)),)
    rows: list[Content] = [("failed", f"{plain(title, 100)}: {plain(words, 600)}", "", "") for words in told]
    hint = plain(str(getattr(error, "hint", "")), 600)
    return [*rows, ("", f"Way out: {hint}", "", "")] if hint else rows


def kept_words(kept: Kept, token_only: bool = False) -> tuple[str, str]:
    """(state, words) of what was saved."""
    if kept.memory or kept.waits:
        return "warning", " ".join(plain(words, 400) for words in (kept.waits, kept.memory) if words)
    if token_only:
        return "ok", "The new token is in the keyring; it is used from the next question on."
    made = " The settings file is new; the playground goes on until `release-cockpit playground stop`." if kept.first else ""
    return "ok", f"Saved in {plain(kept.path, 200)}.{made}"
