"""Connections from a terminal: all kinds, a test before anything is saved, adding, changing, removing. A token is never an argument."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from cockpit.app import config_in_use
from cockpit.cli_arguments import Usage
from cockpit.cli_policy import policy_keeper
from cockpit.cli_text import Cell, Column, Out, plain, state_text, table
from cockpit.connect import Bench, Written, as_toml, draft_in, draft_of_team, waiting_words, why_not
from cockpit.connect_draft import Offer, offer, problems, trial
from cockpit.domain.connection import Draft, Kind, Trial
from cockpit.domain.errors import ConfigError, NotAllowed, StorageError
from cockpit.paths import Paths
from cockpit.policy_force import in_force
from cockpit.storage.secrets import Secrets

Document = dict[str, Any]
DEEDS = ("list", "test", "change", "token", "remove")


def check_connect(options: Namespace) -> None:
    """Usage where the words do not fit together."""
    chosen = [name for name in DEEDS if getattr(options, name)]
    if len(chosen) > 1:
        raise Usage(f"--{chosen[0]} and --{chosen[1]} cannot both be.", hint="Choose one.")
    if not chosen and not (options.kind and options.id):
        raise Usage("A new connection needs a KIND and an ID.", hint="`release-cockpit connect --list` shows all kinds.")
    if chosen and options.kind:
        raise Usage(f"“{plain(options.kind, 60)}” does not belong to --{chosen[0]}.", hint="See `release-cockpit connect --help`.")
    if options.token_env and options.token_stdin:
        raise Usage("--token-env and --token-stdin cannot both be.", hint="Choose one.")
    if options.test_only and options.untested:
        raise Usage("--test-only and --untested cannot both be.", hint="Choose one.")
    for pair in options.set:
        if "=" not in pair:
            raise Usage(f"“{plain(pair, 60)}” is no NAME=VALUE.", hint="Such as --set url=https://ci.example.org")


def connect(paths: Paths, out: Out, options: Namespace) -> Document:
    """One of the deeds."""
    known = offer()
    if options.list:
        return {"kinds": [msgspec.to_builtins(k) for k in known.kinds], "broken": [_error(e) for e in known.broken]}
    secrets = Secrets(os.environ)
    try:
        return {"connection": _Desk(paths, out, secrets, known).do(options)}
    finally:
        secrets.close()


class _Desk:
    """What one command needs: where things are, and what there is to choose."""

    def __init__(self, paths: Paths, out: Out, secrets: Secrets, known: Offer) -> None:
        self.paths, self.out, self.secrets, self.known = paths, out, secrets, known
        self.settings = in_force(paths.config, paths.policy).settings

    def do(self, options: Namespace) -> Document:
        if options.test:
            draft = self._there(options.test, config_in_use(self.paths))
            return self._told(draft, "tested", self._tried(draft, ""))
        if options.remove:
            return self._remove(draft_in(self.paths.config, options.remove), options.yes)
        if options.token:
            return self._token(self._there(options.token), options)
        if options.change:
            return self._save(_changed(draft_in(self.paths.config, options.change), options), options, "changed")
        return self._save(_changed(Draft(options.id, options.kind), options), options, "saved")

    def _there(self, connection_id: str, config: Path | None = None) -> Draft:
        return draft_of_team(self.settings, connection_id) or draft_in(config or self.paths.config, connection_id)

    # -- the deeds -----------------------------------------------------------------------------------------------------------

    def _save(self, draft: Draft, options: Namespace, done: str) -> Document:
        kind = self.known.kind(draft.kind)
        fresh = not self.paths.config.exists()
        known = draft.services if fresh else tuple(self.settings.services)
        wrong = problems(draft, kind, known, () if fresh else tuple(self.settings.connections))
        if wrong:
            told = tuple(f"{name}: {words}" for name, words in wrong.items())
            hint = f"`release-cockpit connect --list` shows the options of {kind.kind}."
            if "id" in wrong and draft.id in self.settings.connections:
                hint = f"Choose another name, or change that one: `release-cockpit connect --change {draft.id}`."
            raise ConfigError(f"The connection is not right: {'; '.join(told)}.", hint=hint, title="Not a connection", problems=told)
        refusal = None if options.test_only else why_not(self.paths.config, self.settings)
        if refusal is not None:
            refusal.reasons = (refusal.message, *as_toml(draft, kind).splitlines())
            raise refusal
        secret = self._secret(draft, kind, options)
        found = None if options.untested else self._tried(draft, secret)
        if options.test_only:
            return self._told(draft, "tested", found)
        return self._told(draft, done, found, self._written(draft, kind, secret))

    def _written(self, draft: Draft, kind: Kind, secret: str) -> Written:
        former = self.secrets.get(draft.id) if secret and draft.before is not None else ""
        if secret and not self.secrets.set(draft.id, secret):
            raise StorageError(
                f"The token cannot be kept. {self.secrets.reason}",
                hint=f"Nothing was saved. {self.secrets.hint or 'Name an environment variable with --token-env.'}",
                title="No keyring",
            )
        try:
            with policy_keeper(self.paths, writes=True) as keeper:
                written = Bench(self.paths.config, keeper, self.secrets).save(draft, kind, "")
                return self._taken(keeper, written)
        except Exception:
            # nothing was saved, so the token is the one of before, too
            if secret and former:
                self.secrets.set(draft.id, former)
            elif secret:
                self.secrets.delete(draft.id)
            raise

    def _taken(self, keeper: Any, written: Written) -> Written:
        if written.look is not None:
            keeper.apply(written.look, own=written.own)
        return replace(written, kept=replace(written.kept, waits=waiting_words(keeper)))

    def _remove(self, draft: Draft, yes: bool) -> Document:
        refusal = why_not(self.paths.config, self.settings)
        if refusal is not None:
            raise refusal
        if not yes:
            self._confirm(draft.id)
        with policy_keeper(self.paths, writes=True) as keeper:
            written = self._taken(keeper, Bench(self.paths.config, keeper, self.secrets).remove(draft))
        return self._told(draft, "removed", None, written)

    def _confirm(self, connection_id: str) -> None:
        if sys.stdin is None or not sys.stdin.isatty():
            raise NotAllowed("Nobody is here to confirm it.", hint="Add --yes to remove it without asking.", title="Not confirmed")
        self.out.tell(f"Type {connection_id} to remove it and its token: ", end="")
        if sys.stdin.readline().strip() != connection_id:
            raise NotAllowed("Nothing was removed.", title="Not confirmed")

    def _token(self, draft: Draft, options: Namespace) -> Document:
        kind = self.known.kind(draft.kind)
        if kind.secret is None:
            raise NotAllowed(f"A connection of the kind {kind.kind} needs no token.", title="No token")
        secret = self._secret(draft, kind, options)
        if not secret:
            raise NotAllowed("No token was given.", hint="Type it when asked, or use --token-stdin.", title="No token")
        if not self.secrets.set(draft.id, secret):
            raise StorageError(f"The token cannot be kept. {self.secrets.reason}", hint=self.secrets.hint, title="No keyring")
        return self._told(draft, "token kept", None)

    # -- what they share -----------------------------------------------------------------------------------------------------

    def _secret(self, draft: Draft, kind: Kind, options: Namespace) -> str:
        """The token: from standard input, or typed without an echo; never from an argument."""
        field = kind.secret
        if field is None:
            if options.token_stdin:
                raise NotAllowed(f"A connection of the kind {kind.kind} needs no token.", title="No token")
            return ""
        if options.token_stdin:
            return sys.stdin.readline().strip() if sys.stdin is not None else ""
        if draft.token_env:
            return ""
        terminal = sys.stdin is not None and sys.stdin.isatty()
        if terminal and (draft.before is None or options.token):
            more = "" if field.required else " (Enter: none)"
            return getpass.getpass(f"{field.title}{more}: ").strip()
        if field.required and draft.before is None:
            hint = "Use --token-stdin or --token-env NAME."
            raise NotAllowed(f"It needs a token: {field.title}.", hint=hint, title="No token")
        return ""

    def _tried(self, draft: Draft, secret: str) -> Trial:
        if draft.token_env and not os.environ.get(draft.token_env, "").strip() and not secret:
            self.out.tell(f"▲ The environment variable {plain(draft.token_env, 60)} is not set here.")
        home = (config_in_use(self.paths) or self.paths.config).parent
        found = trial(draft, lambda: secret or self.secrets.get(draft.id, draft.token_env), home)
        if found.error is not None:
            if not found.error.hint:
                found.error.hint = "Nothing was saved."
            raise found.error
        return found

    def _told(self, draft: Draft, done: str, found: Trial | None, written: Written | None = None) -> Document:
        kept = written.kept if written is not None else None
        shown = {n: v for n, v in msgspec.to_builtins(replace(found, error=None)).items() if n != "error"} if found is not None else None
        return {
            "id": draft.id,
            "kind": draft.kind,
            "done": done,
            "path": kept.path if kept is not None else None,
            "toml": as_toml(draft, self.known.kind(draft.kind)) if done in ("saved", "changed") else None,
            "waits": (kept.waits or None) if kept is not None else None,
            "memory": (kept.memory or None) if kept is not None else None,
            "test": shown,
        }


def _changed(draft: Draft, options: Namespace) -> Draft:
    """The draft with what was typed; an empty value takes an option away."""
    values = dict(draft.options)
    for pair in options.set:
        name, _, value = pair.partition("=")
        values.pop(name, None)
        if value.strip():
            values[name] = value.strip()
    return replace(draft, options=values, services=tuple(options.service) or draft.services, token_env=options.token_env or draft.token_env)


def _error(error: ConfigError) -> Document:
    return {"title": error.title, "message": error.message, "hint": error.hint}


def text_of_connect(document: Document, out: Out) -> list[str]:
    """All kinds, or what was done."""
    if "kinds" in document:
        return _text_of_list(document, out)
    c = document["connection"]
    lines = []
    if c["test"]:
        t = c["test"]
        who = f" as {plain(t['identity'])}" if t["identity"] else ""
        lines.append(state_text("ok", f"{plain(c['id'])} reaches {plain(t['reached'])}{who}, in {t['took_ms']:,.0f} ms", out.colour))
        lines += [state_text("warning", f"missing: {plain(m)}", out.colour) for m in t["missing"]]
    if c["done"] != "tested":
        where = f" {'from' if c['done'] == 'removed' else 'in'} {plain(c['path'])}" if c["path"] else ""
        lines.append(state_text("done", f"{plain(c['id'])}: {c['done']}{where}", out.colour))
        lines += [state_text("warning", plain(c[name]), out.colour) for name in ("waits", "memory") if c[name]]
        if not c["waits"]:
            lines.append("  A window that is open takes it up within half a minute.")
    return lines


def _text_of_list(document: Document, out: Out) -> list[str]:
    lines: list[str] = []
    for group in dict.fromkeys(k["group"] for k in document["kinds"]):
        lines += [*([""] if lines else []), f"{group}:"]
        for k in (k for k in document["kinds"] if k["group"] == group):
            origin = f" ({plain(k['origin'])})" if k["origin"] else ""
            lines.append(f"  {plain(k['kind'])}: {plain(k['title'])}{origin}: {plain(', '.join(k['words']), 200)}")
            rows: list[list[Cell]] = [[f["name"], _needed(f), plain(_said(f), 200)] for f in k["fields"] if f["kind"] != "secret"]
            lines += table((Column("option"), Column(""), Column("", limit=160)), rows, indent="    ")[1:]
            secret = next((f for f in k["fields"] if f["kind"] == "secret"), None)
            if secret is not None:
                lines.append(f"    token: {plain(secret['title'])}, {'needed' if secret['required'] else 'where it is asked for'}")
            lines += [f"    right: {plain(r, 200)}" for r in k["rights"]]
    lines += [state_text("warning", f"{plain(b['message'])} {plain(b['hint'])}", out.colour) for b in document["broken"]]
    return lines


def _needed(field: Document) -> str:
    if field["default"]:
        return f"= {field['default']}"
    return "needed" if field["required"] else ""


def _said(field: Document) -> str:
    choices = f" ({' or '.join(field['choices'])})" if field["choices"] else ""
    return f"{field['title']}{choices}" + (f": {field['description']}" if field["description"] else "")
