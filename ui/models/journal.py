"""What a journal entry says to people: one line for the table, and the whole of it for the pane below. All functions are pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ui.models.text import NONE, moment, plain, plain_lines, time_text

_DEPTH = 6  # levels of detail that are shown as lines; deeper ones stand in one
_WIDTH = 13


def who_text(who: str) -> str:
    """`Name <a@b>` -> `Name`."""
    return plain(who.partition("<")[0]) or plain(who)


def where_text(entry: Any) -> str:
    """order-gateway · production."""
    return " · ".join(plain(part) for part in (entry.service, entry.environment) if part) or NONE


def what_text(entry: Any) -> str:
    """rollback outcome; a word that stands for itself needs no "note"."""
    if entry.kind == "note" and (entry.action in _WORDS or entry.action in _NOTES):
        return plain(entry.action)
    return plain(" ".join(word for word in (entry.action, entry.kind) if word))


def detail_text(entry: Any) -> str:
    """What happened, in the words of the action: "1.7.0 → 1.6.1, because ...", "done: all 4 nodes run 1.6.1"."""
    detail = entry.detail
    known = {name: plain(str(value)) for name, value in detail.items() if value not in ("", None) and not isinstance(value, list | dict)}
    version, message, state = known.get("version", ""), known.get("message", ""), known.get("state", "")
    if entry.kind == "note" and entry.action in _WORDS:
        return _word_text(entry.action, known)
    if entry.kind == "note" and entry.action in _NOTES:
        return _NOTES[entry.action](known)
    if entry.action == "rollout":
        return _rollout_text(entry, known)
    if entry.action == "silence" and entry.kind != "outcome":
        return _silence_text(detail, known)
    if entry.kind == "intent" and "subject" in known:
        why = f", because {known['reason']}" if "reason" in known else ""
        return f"{known.get('title') or known['subject']}{why}"
    if entry.action in ("approve", "reject") and version:
        return f"{version}: {known['comment']}" if "comment" in known else version
    if entry.kind == "intent" and "run" in known:
        return f"run {known['run']}" + (f" of {version}" if version else "")
    if entry.kind == "intent" and version:
        why = f", because {known['reason']}" if "reason" in known else ""
        return f"{known.get('from_version', 'nothing')} → {version}{why}"
    if entry.kind == "progress" and "deployment" in known and not message:
        return f"accepted as {_number(known['deployment'])}"
    if entry.kind == "outcome" and state:
        rest = message or (f"run {known['run']}" if "run" in known else version)
        return f"{state}: {rest}" if rest else state
    return message or ", ".join(f"{name} {value}" for name, value in sorted(known.items()))


def _word_text(action: str, known: dict[str, str]) -> str:
    """A person's word: about which version, until when, and why."""
    until = known.get("until_us", "0")
    end = f" until {time_text(int(until))}" if until.isdigit() and until != "0" else ""
    about = known.get("version") or (known.get("service") or "every service" if action == "override" else "")
    if action == "acknowledge":
        about = f"{known.get('about', '')} since {about}"
    why = known.get("reason", "")
    return ": ".join(part for part in (f"{about}{' alone' if action == 'emergency' else ''}{end}".strip(), why) if part)


def _rollout_text(entry: Any, known: dict[str, str]) -> str:
    """A rollout of several steps: what begins, where it is, how it ended."""
    steps, message, state = entry.detail.get("steps"), known.get("message", ""), known.get("state", "")
    if entry.kind == "intent":
        count = f", {len(steps)} steps" if isinstance(steps, list) else ""
        why = f", because {known['reason']}" if "reason" in known else ""
        return f"{known.get('title', '')}{count}{why}"
    if message or state:
        return ": ".join(part for part in (state, message) if part)
    return known.get("title", "")


def _policy_text(known: dict[str, str]) -> str:
    what = known.get("commit", "")[:12] or known.get("digest", "")[:12]
    of = f" of {known['origin']}" if "origin" in known else ""
    why = f": {known['reason'] if 'reason' in known else known.get('problem', '')}"
    return f"{known.get('said', '')} {what}{of}".strip() + (why if why != ": " else "")


def _rehearsal_text(known: dict[str, str]) -> str:
    return ": ".join(part for part in (known.get("title", ""), known.get("state", ""), known.get("message", "")) if part)


def _silence_text(detail: dict[str, Any], known: dict[str, str]) -> str:
    until, names = known.get("until_us", ""), detail.get("names")
    what = ", ".join(plain(str(name), 80) for name in names[:4]) if isinstance(names, list) else ""
    end = f" until {time_text(int(until))}" if until.isdigit() else ""
    made = f", made as {known['id']}" if "id" in known else ""
    return f"{what} in {known.get('connection', '')}{end}{made}".strip()


def _lock_text(known: dict[str, str]) -> str:
    return f"held by {known.get('holder', 'nobody known')} for {known.get('holding', '?')}: {known.get('reason', '')}"


_WORDS = frozenset({"hold", "clear", "override", "end", "emergency", "sign-off", "request", "withdraw", "acknowledge"})
_NOTES: dict[str, Callable[[dict[str, str]], str]] = {"policy": _policy_text, "rehearsal": _rehearsal_text, "break lock": _lock_text}
_NOTES["acknowledge notice"] = lambda known: ": ".join(known[name] for name in ("title", "message") if name in known)
_NOTES["watch"] = lambda known: f"{known.get('version', '')} {known.get('said', '')}: {known.get('message', '')}".strip(": ")
_NOTES["tell"] = lambda known: f"told {known.get('connection', '')}: {known.get('message', '')}"


def _number(deployment: str) -> str:
    """d-000017 -> 17."""
    found = re.fullmatch(r"[A-Za-z]{0,3}-?0*(\d+)", deployment)
    return found[1] if found else deployment


def entry_text(entry: Any) -> str:
    """The whole entry as plain lines."""
    at = moment(entry.at_us)
    local = f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}" if at is not None else ""
    lines = [
        f"No. {entry.seq:,}  {what_text(entry)}",
        _line("when", time_text(entry.at_us)),
        _line("local time", local),
        _line("where", where_text(entry)),
        _line("who", plain(entry.who)),
        _line("key", plain(entry.key)),
        _line("owner", plain(entry.owner)),
        _line("hash", plain(entry.hash)),
        _line("hash before", plain(entry.previous)),
        "details" if entry.detail else "no details",
        *_tree(entry.detail, 1),
    ]
    return plain_lines("\n".join(line for line in lines if line))


def _line(name: str, value: str) -> str:
    return f"{name:<{_WIDTH}}{value}" if value else ""


def _tree(value: Any, depth: int) -> list[str]:
    """Nested details, two spaces a level; moments are readable besides."""
    space = "  " * depth
    lines = []
    for name, inner in value.items() if isinstance(value, dict) else (("-", inner) for inner in value):
        head = f"{space}{plain(str(name))}" + (":" if isinstance(value, dict) else "")
        if isinstance(inner, dict | list) and inner and depth < _DEPTH:
            lines += [head, *_tree(inner, depth + 1)]
        elif str(name).endswith("_at_us") or name == "at_us":
            lines.append(f"{head} {plain(str(inner))}" + (f" ({time_text(inner)})" if isinstance(inner, int) and inner else ""))
        else:
            words = NONE if inner in ("", None, [], {}) else plain(str(inner))
            lines.append(f"{head} {words}")
    return lines
