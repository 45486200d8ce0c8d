"""The policy from a terminal: what is in force, what waits, and a person's word on it. Beside a window that may be open."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from cockpit.cli_text import Out, indented, plain, state_text, time_text
from cockpit.domain.errors import CockpitError, NotAllowed
from cockpit.paths import Paths
from cockpit.policy import Look, PolicyKeeper
from cockpit.policy_force import in_force
from cockpit.policy_source import PolicyChange
from cockpit.services.notices import Notices
from cockpit.services.runtime import now_us
from cockpit.storage.policy_copy import Accepted
from cockpit.storage.settings import schema

Document = dict[str, Any]
LOOKS = "This only looks."
WRITES = ("accept", "refuse")


def policy(paths: Paths, out: Out, options: Namespace) -> Document:
    """show, diff, accept, refuse, schema."""
    if options.what == "schema":
        return schema()
    if not paths.config.exists():
        hint = "Write one: `release-cockpit open PATH --save`. The playground's settings are made by the program and are not guarded."
        raise NotAllowed(f"There is no settings file at {paths.config}.", hint=hint, title="No policy yet")
    with policy_keeper(paths, writes=options.what in WRITES) as keeper:
        look = keeper.look()
        keeper.apply(look)
        if options.what in WRITES:
            done = _deed(keeper, look, out, options)
            return {"policy": {"done": done, **_state(keeper, look, keeper.accepted, paths)}}
        state = _state(keeper, look, look.accepted, paths)
        if options.what == "show":
            return {"policy": {**state, "text": look.accepted.policy.text if look.accepted else None}}
        if look.error is not None:
            raise look.error
        return {"policy": {**state, "diff": keeper.proposed.diff if keeper.proposed is not None else ""}}


@contextmanager
def policy_keeper(paths: Paths, *, writes: bool) -> Iterator[PolicyKeeper]:
    """A keeper on this person's files; it records and keeps nothing unless it `writes`. StorageError where it cannot."""
    from cockpit.storage.database import open_database
    from cockpit.storage.journal import Journal
    from cockpit.storage.owner import process_owner

    start = in_force(paths.config, paths.policy)
    arguments = (paths.config, paths.policy, start)
    if not writes:
        yield PolicyKeeper(*arguments, None, Notices(now_us), lambda settings: None, now_us, LOOKS)
        return
    database = open_database(paths.database)
    try:
        journal = Journal(database, process_owner(), now_us)
        yield PolicyKeeper(*arguments, journal, Notices(now_us), lambda settings: None, now_us)
    finally:
        database.close()


def _deed(keeper: PolicyKeeper, look: Look, out: Out, options: Namespace) -> str:
    """Accept or refuse what waits; answers what was done."""
    if keeper.proposed is None and look.error is not None:
        raise look.error
    if look.accepted is None and keeper.accepted is not None and options.what == "accept":
        return "accepted"  # the first sight of it
    change = keeper.proposed
    if change is not None:
        named = change.commit or change.digest
        if options.commit and not named.startswith(options.commit.lower()):
            hint = "Look at it first: `release-cockpit policy diff`."
            raise NotAllowed(f"What waits now is {named[:12]}, not {plain(options.commit, 64)}.", hint=hint, title="Another change")
        if options.what == "accept" and not change.problems and not options.yes:
            for line in _lines_of(change):
                out.line(line)
            _confirm(out)
    if options.what == "accept":
        keeper.accept()
        return "accepted"
    keeper.refuse(options.reason)
    return "refused"


def _confirm(out: Out) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise NotAllowed("Nobody is here to confirm it.", hint="Add --yes to accept it without asking.", title="Not confirmed")
    out.tell("Type accept to take it into use: ", end="")
    if sys.stdin.readline().strip() != "accept":
        raise NotAllowed("The policy in force stays.", hint="It still waits; refuse it to be asked no more.", title="Not confirmed")


def _state(keeper: PolicyKeeper, look: Look, accepted: Accepted | None, paths: Paths) -> Document:
    held = None
    if accepted is not None:
        p = accepted.policy
        held = {"commit": p.commit or None, "digest": p.digest, "origin": p.origin or None, "who": accepted.who, "at_us": accepted.at_us}
    refused = keeper.proposed is not None and keeper.proposed.refused
    return {
        "config": str(paths.config),
        "accepted": held,
        "pending": _change(keeper.pending),
        "refused": _change(keeper.proposed) if refused else None,
        "problem": _error(look.error or look.damaged),
        "mistakes": list(keeper.mistakes),
    }


def _error(error: CockpitError | None) -> Document | None:
    return {"title": error.title, "message": error.message, "hint": error.hint} if error is not None else None


def _change(change: PolicyChange | None) -> Document | None:
    if change is None:
        return None
    document: Document = msgspec.to_builtins(change)
    del document["diff"]
    return {**document, "commit": change.commit or None, "origin": change.origin or None, "at_us": change.at_us or None}


def text_of_policy(document: Document, out: Out) -> list[str]:
    """What is in force, what waits and why; the diff line by line; or the schema."""
    if "policy" not in document:
        return json.dumps(document, indent=2).split("\n")
    p = document["policy"]
    if p.get("done"):
        return [state_text("done", f"{p['done']}: {_in_force(p)}", out.colour)]
    if "diff" in p:
        return _diff_lines(p) or ["No change of the policy waits.", f"  {_in_force(p)}"]
    lines = [state_text("ok" if p["accepted"] else "unknown", _in_force(p), out.colour)]
    lines += [f"  mistake: {plain(words)}" for words in p["mistakes"]]
    if p["problem"]:
        words = " ".join(plain(p["problem"][name]) for name in ("message", "hint") if p["problem"][name])
        lines.append(state_text("warning", words, out.colour))
    for name, word, hint in (("pending", "pending", "release-cockpit policy diff shows it"), ("refused", "rejected", "refused before")):
        if p[name]:
            lines += [state_text(word, f"{_named(p[name])}: {hint}", out.colour), *(f"  mistake: {plain(w)}" for w in p[name]["problems"])]
    return lines


def _in_force(p: Document) -> str:
    held = p["accepted"]
    if held is None:
        return "no policy was accepted yet: the first window or `policy accept` takes the one that is there"
    by = f" by {plain(held['who'])}" if held["who"] else ""
    return f"in force: {_named(held)}, accepted {time_text(held['at_us'])}{by}"


def _named(policy: Document) -> str:
    if not policy["commit"]:
        return f"cockpit.toml, sha256 {policy['digest'][:12]}"
    by = f" by {plain(policy['who'])}: {plain(policy['subject'])}" if policy.get("subject") else ""
    return f"commit {policy['commit'][:12]} of {plain(policy['origin'])}{by}"


def _diff_lines(p: Document) -> list[str]:
    change = p["pending"] or p["refused"]
    if change is None:
        return []
    head = [f"{_named(change)}", *(f"■ mistake: {plain(words)}" for words in change["problems"])]
    return [*head, *(indented(line) for line in p["diff"].split("\n"))]


def _lines_of(change: PolicyChange) -> list[str]:
    return _diff_lines({"pending": _change(change), "refused": None, "diff": change.diff})
