"""A watch as people read it: in a cell, in a line, as a whole. All functions are pure; times in microseconds UTC."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from cockpit.domain.facts import Fact
from cockpit.domain.watching import Countdown, Finding, Watched, WatchState
from ui.models.text import age_text, count_text, duration_text, plain, time_text

STALE_S = 60.0  # it looks every other second: what was seen so long ago says nothing of now
OLD_S = 3600.0  # a watch that was over so long ago is no news any more
BY_HAND = "roll back by hand with Shift+R"
_FINDS = {"verdict": "latency", "rule": "latency", "silence": "latency", "band": "latency", "alert": "alerts", "drift": "nodes"}
_CAUSES = {"verdict": "a bad verdict", "alerts": "a critical alert", "drift": "nodes that run something else"}
BLINDING = ("silence", "band")  # they do not speak against it: they keep one from telling
_PLACE = 60  # characters of a service's or an environment's name
_NAME = 40
NO_TRAFFIC = "no traffic"
_A_RATIO = re.compile(r"\d x\b")


class Words(Struct, frozen=True):
    """What a place says in few words: `word` gives shape and colour, `loud` fills, `why` is for the tooltip."""

    word: str
    text: str
    loud: bool = False
    why: str = ""


def left_s(countdown: Countdown, now_us: int) -> int:
    """Whole seconds that are left, never below 0."""
    return max(0, math.ceil((countdown.at_us - now_us) / 1e6))


def stale(watched: Watched, now_us: int) -> bool:
    """Whether what was seen last is too old to speak of now. What is bad stays bad; of what was never seen there is no age."""
    quiet = watched.over or watched.state is WatchState.BAD or not watched.looked_us
    return not quiet and now_us - watched.looked_us > STALE_S * 1e6


def fresh(watched: Watched | None, now_us: int) -> Watched | None:
    """The watch while it is worth showing: under way, or over for less than an hour."""
    gone = watched is None or (watched.over and now_us - watched.ended_us > OLD_S * 1e6)
    return None if gone else watched


def announced_words(watched: Watched) -> str:
    """Automatic rollback of order-gateway in production to 1.6.0."""
    version = plain(watched.countdown.version, _NAME) if watched.countdown is not None else "?"
    return f"Automatic rollback of {plain(watched.service, _PLACE)} in {plain(watched.environment, _PLACE)} to {version}"


def seconds_words(countdown: Countdown, now_us: int) -> str:
    """in 23 s, then now."""
    left = left_s(countdown, now_us)
    return f"in {left} s" if left else "now"


def why_words(watched: Watched) -> str:
    """Why it would go back."""
    return plain(watched.countdown.why, 500) if watched.countdown is not None else ""


def stopped_words(watched: Watched) -> str:
    """Stopped by Ada Quill: roll back by hand with Shift+R; "" where nobody stopped anything."""
    who = re.sub(r"\s*<[^<>]*>", "", plain(watched.stopped_by, 300)).strip()
    return f"Stopped by {who}: {BY_HAND}" if who else ""


def idle(watched: Watched, latency: Fact[Any] | None, now_us: int) -> bool:
    """Whether it cannot tell only because nobody sends requests there. `latency`: a fresh LatencyStatus of the place that counts none."""
    from cockpit.domain.judge import NO_DATA

    found = watched.found
    unseen = watched.state is WatchState.BLIND and found is not None and found.state == NO_DATA and not watched.requests
    alone = len(watched.findings) <= 1 and all(f.kind == "silence" for f in watched.findings)
    return unseen and alone and latency is not None and not latency.stale(now_us) and latency.value.point.count == 0


def idle_words(watched: Watched) -> str:
    """What to make of it where nobody sends requests."""
    version, where = plain(watched.version, _NAME), plain(watched.environment, _PLACE)
    return f"nobody sends requests in {where}: how {version} does there nobody can tell, and that is not fine"


def sentence(watched: Watched) -> str:
    """What the judge says; the first thing that was found where that is worse than the verdict, or keeps one from telling."""
    against = [f for f in watched.findings if f.kind not in BLINDING]
    if watched.state is WatchState.BAD and against and (watched.found is None or not watched.found.bad):
        return plain(against[0].text, 1000)
    unseen = next((f for f in watched.findings if f.kind == "silence"), None)
    if watched.state is WatchState.BLIND and unseen is not None:
        return plain(unseen.text, 1000)
    if watched.found is not None:
        return plain(watched.found.sentence, 1000)
    if watched.findings:
        return plain(watched.findings[0].text, 1000)
    return "nothing was judged yet"


def glance(watched: Watched, now_us: int, quiet: bool = False) -> tuple[str, str]:
    """(state's word, words) of a watch: which version, and whether anybody still looks. `quiet`: it is `idle`."""
    version = plain(watched.version, _NAME)
    if stale(watched, now_us):
        return "stale", f"{version}: stale"
    if quiet:
        return str(watched.state), f"{version}: {NO_TRAFFIC}"
    if not watched.over:
        return str(watched.state), f"{watched.state} {version}" if watched.state is WatchState.WATCHING else f"{version}: {watched.state}"
    words = {WatchState.WATCHING: "watch is over"}.get(watched.state, str(watched.state))
    return str(watched.state), f"{version}: {words}"


def beside_state(watched: Watched, quiet: bool = False) -> str:
    """The sentence where its state stands before it: that is not said twice."""
    return idle_words(watched) if quiet else sentence(watched).removeprefix(f"{watched.state}: ")


def line_words(watched: Watched, now_us: int, quiet: bool = False) -> str:
    """State and sentence in one line: 1.7.0: cannot tell: nothing was seen of the new version yet."""
    words = glance(watched, now_us, quiet)[1]
    return f"{words}: {beside_state(watched, quiet) if quiet or words.endswith(str(watched.state)) else sentence(watched)}"


def look_words(watched: Watched, now_us: int) -> str:
    """How old the last look is, or when it was over; what was looked at and not seen has no age."""
    if watched.over:
        return f"over {age_text((now_us - watched.ended_us) / 1e6)} ago"
    if watched.looked_us:
        return f"looked {age_text((now_us - watched.looked_us) / 1e6)} ago"
    return "not looked yet" if watched.found is None else ""


def time_share(watched: Watched, now_us: int) -> tuple[float, str]:
    """(0..1, words) of the time that passed of what is wanted."""
    end_us = watched.ended_us or now_us
    passed_s = max(0.0, (end_us - watched.started_us) / 1e6)
    if not watched.until_us:
        return 0.0, duration_text(passed_s)
    whole_s = max(1.0, (watched.until_us - watched.started_us) / 1e6)
    passed, whole = _minutes(passed_s), _minutes(whole_s)
    unit = whole.partition(" ")[2]
    return min(1.0, passed_s / whole_s), f"{passed.removesuffix(f' {unit}')} of {whole}"


def load_share(watched: Watched) -> tuple[float, str]:
    """(0..1, words) of the requests seen of those wanted."""
    if not watched.wanted:
        return 1.0, f"{count_text(watched.requests)} requests"
    seen, wanted = count_text(watched.requests), count_text(watched.wanted)
    if watched.requests >= watched.wanted:
        return 1.0, f"{seen} requests, {wanted} wanted"
    return watched.requests / watched.wanted, f"{seen} of {wanted} requests"


def progress_words(watched: Watched, now_us: int) -> str:
    """4 of 15 min, 812 of 2,000 requests."""
    return f"{time_share(watched, now_us)[1]}, {load_share(watched)[1]}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def ratio_words(watched: Watched, limit: float) -> str:
    """p99 of place_order: 2.4 x baseline, 95 % interval 1.9 to 3.1; the policy tolerates 1.25 x. "" where the sentence says more."""
    found = watched.found
    tolerated = f"the policy tolerates {_times(limit)}"
    if found is None or not math.isfinite(found.ratio):
        if (found is not None and found.bad) or _A_RATIO.search(sentence(watched)):
            return ""  # a rule that is broken has its own figures
        return f"No ratio to the baseline is known yet; {tolerated}"
    of = " of ".join(plain(part, 80) for part in (found.lens, found.operation) if part)
    known = math.isfinite(found.low) and math.isfinite(found.high)
    between = f", 95 % interval {found.low:.2f} to {found.high:.2f}" if known else ""
    return f"{of or 'Every operation'}: {_times(found.ratio)} the baseline{between}; {tolerated}"


def power_words(watched: Watched, limit: float) -> str:
    """What could be seen by now, and when the policy's limit can be; "" where the judge says nothing of it."""
    found = watched.found
    if found is None or found.bad:
        return ""
    seen = f"Shaded: a change below {_more(found.smallest)} cannot be seen yet" if math.isfinite(found.smallest) else ""
    when = ""
    if math.isfinite(found.visible_in_s) and found.visible_in_s > 0:
        when = f"{_more(limit)} can be seen in about {_minutes(found.visible_in_s)}"
    return "; ".join(part for part in (seen, when) if part)


def _times(ratio: float) -> str:
    return f"{ratio:.2f} x" if ratio < 9.95 else f"{ratio:.0f} x"


def _more(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.0f} %"


def finding_row(finding: Finding, now_us: int) -> tuple[str, str, str, str, str]:
    """A row of what speaks against it: state, words, age, where it leads, tooltip."""
    age = age_text((now_us - finding.since_us) / 1e6) if finding.since_us else ""
    if finding.until_us:
        words = f"Passed after {duration_text((finding.until_us - finding.since_us) / 1e6)}: {plain(finding.text, 500)}"
        tip = f"from {time_text(finding.since_us)} to {time_text(finding.until_us)}"
        return "pending", words, age_text((now_us - finding.until_us) / 1e6), _FINDS.get(finding.kind, ""), tip
    state = "unknown" if finding.kind in BLINDING else "bad"
    kind, words = plain(finding.kind, 20), plain(finding.text, 500)
    if kind and words.startswith(f"{kind} "):
        words = f"{words[:1].upper()}{words[1:]}"
    elif kind != "band":  # its words have it
        words = f"{kind.capitalize()}: {words}"
    tip = f"since {time_text(finding.since_us)}" if finding.since_us else ""
    return state, words, age, _FINDS.get(finding.kind, ""), tip


def joined(sentences: Iterable[str]) -> str:
    """Sentences after each other; one that begins small goes on after a semicolon."""
    told = ""
    for words in filter(None, sentences):
        told += f"{('. ' if words[0].isupper() else '; ') if told else ''}{words}"
    return told


def automatic_row(watched: Watched, now_us: int) -> tuple[str, str]:
    """(state's word, words): what happens by itself, and why not."""
    if watched.countdown is not None:
        return "bad", f"{announced_words(watched)} {seconds_words(watched.countdown, now_us)}: {why_words(watched)}"
    if watched.action:
        return "info", "It was rolled back automatically; the journal has why"
    if watched.stopped_by:
        return "held", stopped_words(watched)
    against = watched.state is WatchState.BAD or (watched.found is not None and watched.found.bad)
    if watched.why_not and against:
        return "held", f"No automatic rollback: {plain(watched.why_not, 500)}"
    if watched.kind == "rollback":
        return "pending", "No automatic rollback: a rollback is never rolled back"
    if not watched.automatic:
        return "pending", f"No automatic rollback: the policy of {plain(watched.environment, _PLACE)} wants none"
    if stale(watched, now_us):
        return (
            "unknown",
            f"Nobody looked for {age_text((now_us - watched.looked_us) / 1e6)}: nothing is rolled back automatically meanwhile",
        )
    if watched.over and watched.state is WatchState.FINE:
        return "ok", "No automatic rollback was needed"
    if watched.over:
        return "pending", f"Nothing was rolled back automatically; that it was not needed nobody can tell: {watched.state}"
    causes = " or ".join(_CAUSES[name] for name in _CAUSES if name in watched.rollback_on)
    return "ok", f"On {causes} it is rolled back automatically, after a countdown that a person can stop"


def cell_words(watched: Watched | None, now_us: int, quiet: bool = False) -> Words | None:
    """What a cell says of its watch; None where it is over and nobody need act. `quiet`: it is `idle`."""
    if watched is None or watched.action:
        return None
    if watched.countdown is not None:
        return Words("bad", f"back {seconds_words(watched.countdown, now_us)}", True)
    words, why = (NO_TRAFFIC, idle_words(watched)) if quiet else (str(watched.state), "")
    if watched.over:
        telling = watched.state is WatchState.BAD or (watched.state is WatchState.BLIND and fresh(watched, now_us) is not None)
        return Words(str(watched.state), words, watched.state is WatchState.BAD, why) if telling else None
    if stale(watched, now_us):
        return Words("stale", "watch stale")
    return Words(str(watched.state), words, watched.state is WatchState.BAD, why)
