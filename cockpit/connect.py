"""Adding, trying, changing and removing connections: what is written where, and how the running core takes it into use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from cockpit.connect_draft import Offer, draft_of, made, offer, problems, trial, values_of, without
from cockpit.domain.connection import Draft, Kept, Kind, Trial
from cockpit.domain.errors import CockpitError, ConfigError, NotAllowed
from cockpit.services.runtime import Outcome
from cockpit.storage.settings_edit import connection_in, content_of, first_file, new_problems, replace_file, snippet, with_connection

if TYPE_CHECKING:
    from cockpit.core import Cockpit
    from cockpit.policy import Look, PolicyKeeper
    from cockpit.storage.secrets import Secrets
    from cockpit.storage.settings import Settings

NO_TOKEN = "The keyring may still hold its token: remove it there by hand."  # noqa: S105 - words, no token


class Written(Struct, frozen=True):
    """What was written, and what the policy's keeper saw after it; `own`: nothing else waited for a person's word before."""

    kept: Kept
    look: Look | None = None
    own: bool = False


class Bench:
    """Where connections are written: the settings file, the keeper of the policy (None: nobody guards it yet), the secrets. Blocks."""

    def __init__(self, config: Path, keeper: PolicyKeeper | None, secrets: Secrets) -> None:
        self._config, self._keeper, self._secrets = config, keeper, secrets

    def save(self, draft: Draft, kind: Kind, secret: str) -> Written:
        """Write the connection, then keep its secret. CockpitErrors: then nothing was written and nothing is kept."""
        made(draft, lambda: secret, self._config.absolute().parent)  # what the connector itself refuses is said before it stands in a file
        own = self._alone()
        first = self._write(draft, values_of(draft, kind), kind)
        held = not secret or self._secrets.set(draft.id, secret)
        return Written(Kept(str(self._config), "" if held else self._secrets.reason, first=first), self._look(), own)

    def remove(self, draft: Draft) -> Written:
        """Take the connection out of the file, then forget its secret."""
        own = self._alone()
        self._write(draft, None, None)
        gone = self._secrets.delete(draft.id)
        return Written(Kept(str(self._config), "" if gone else f"{self._secrets.reason} {NO_TOKEN}"), self._look(), own)

    def new_token(self, connection_id: str, secret: str) -> Written:
        """Keep another secret for a connection that is there."""
        held = self._secrets.set(connection_id, secret)
        return Written(Kept("", "" if held else self._secrets.reason))

    def _alone(self) -> bool:
        look = self._look()
        return look is not None and look.error is None and (look.change is None or look.accepted is None)

    def _look(self) -> Look | None:
        return self._keeper.look() if self._keeper is not None else None

    def _write(self, draft: Draft, values: dict[str, Any] | None, kind: Kind | None) -> bool:
        """Answers whether the file is a new one."""
        content = content_of(self._config)
        if content is None:
            _refuse_first(draft, kind)
        start = first_file(draft.services) if content is None else content
        changed = with_connection(start, draft.id, values, draft.before)
        wrong = new_problems(content, changed, self._config)
        if wrong:
            raise ConfigError(
                f"With this the settings would have mistakes: {'; '.join(wrong)}.", hint="Nothing was written.", problems=wrong
            )
        replace_file(self._config, content, changed)
        return content is None


def _refuse_first(draft: Draft, kind: Kind | None) -> None:
    hint = "Add the one that holds your code first, or begin with a repository on disk: `release-cockpit open PATH --save`."
    if kind is None or "SourceControl" not in kind.ports:
        raise NotAllowed("There are no settings yet, and this connection tells no versions.", hint=hint, title="Begin with the code")
    if not draft.services:
        raise NotAllowed("There are no settings yet, so it must be named what is released.", hint="Name the services.", title="No service")


def why_not(config: Path, settings: Settings, read_only: str = "") -> NotAllowed | None:
    """Why connections cannot be changed here, None where they can."""
    if read_only:
        return NotAllowed(read_only, hint="Change connections where it may act.")
    policy = settings.policy
    if policy.repository:
        return NotAllowed(
            "Your team's policy says which systems are connected; it replaces what stands on this machine.",
            hint=f"Add it to {policy.file} of {policy.repository} ({policy.ref}). A token can be entered here all the same.",
            title="The team's policy",
        )
    return None


def draft_in(config: Path, connection_id: str) -> Draft:
    """The draft of a connection that stands in the file. NotAllowed where there is none; ConfigError where it is no TOML."""
    table = connection_in(content_of(config), connection_id)
    if table is None:
        hint = "Repositories come from [services.NAME], the playground's systems from the playground."
        raise NotAllowed(f"There is no connection “{connection_id}” in {config.name}.", hint=hint, title="Not in your settings")
    return draft_of(connection_id, table)


def draft_of_team(settings: Settings, connection_id: str) -> Draft | None:
    """The draft of a connection that the team's policy names: it can be tested here and given a token, and is changed there."""
    connection = settings.connections.get(connection_id) if settings.policy.repository else None
    if connection is None:
        return None
    options = connection.options | ({"url": connection.url} if connection.url else {})
    return Draft(connection_id, connection.kind, options, connection.services, connection.token_env, {})


def as_toml(draft: Draft, kind: Kind) -> str:
    """The draft as it would stand in a settings file. A token is never in it."""
    return snippet(draft.id, values_of(draft, kind))


def waiting_words(keeper: PolicyKeeper | None) -> str:
    """Why what was saved is not in use yet, "" where it is."""
    change = keeper.proposed if keeper is not None else None
    if change is None:
        return ""
    if change.problems:
        return f"It is saved, but the settings have mistakes, so the ones before stay in force: {change.problems[0]}"
    return "It is saved with another change of the policy that waits for your word: `release-cockpit policy diff` shows both."


class Systems:
    """The window's side: every question is answered later, on the main thread. Main thread only."""

    def __init__(self, core: Cockpit) -> None:
        self._core = core
        self._offer: Offer | None = None

    @property
    def services(self) -> tuple[str, ...]:
        """The services that a connection can be for; none yet while the playground is shown."""
        return () if self.first else tuple(self._core.settings.services)

    @property
    def first(self) -> bool:
        """Whether the first connection would make the settings file."""
        return not self._core.paths.config.exists()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are taken."""
        return () if self.first else tuple(self._core.settings.connections)

    @property
    def read_only(self) -> str:
        """Why nothing may be done here, "" where it may."""
        return self._core.read_only

    @property
    def keyring(self) -> tuple[str, str]:
        """(why secrets are held in memory only, the way out), ("", "") where the keyring does or was not needed yet."""
        return self._core.secrets.reason, self._core.secrets.hint

    def why_not(self) -> NotAllowed | None:
        """Why connections cannot be changed here, None where they can."""
        only = self._core.read_only
        return why_not(self._core.paths.config, self._core.settings, only)

    def offer(self, done: Callable[[Outcome[Offer]], None]) -> None:
        """All kinds; packages are loaded once, in the background."""
        if self._offer is not None:
            done(Outcome(self._offer))
            return

        def told(outcome: Outcome[Offer]) -> None:
            self._offer = outcome.value
            done(outcome)

        self._core.runner.submit("kinds", offer, told)

    def draft(self, connection_id: str) -> Draft:
        """What stands in the file, to be changed, or what the team says. CockpitErrors."""
        return draft_of_team(self._core.settings, connection_id) or draft_in(self._core.paths.config, connection_id)

    def problems(self, draft: Draft, kind: Kind) -> dict[str, str]:
        """What is wrong, by field. Fast."""
        services = draft.services if self.first else self.services
        return problems(draft, kind, services, self.names)

    def as_toml(self, draft: Draft, kind: Kind) -> str:
        """The draft as it would stand in a settings file."""
        return as_toml(draft, kind)

    def test(self, draft: Draft, secret: str, done: Callable[[Outcome[Trial]], None]) -> None:
        """Try it before anything is saved. Without a secret of its own a connection that is there is tried with the one that it has."""
        secrets, home = self._core.secrets, self._core.paths.config.parent

        def token() -> str:
            return secret or (secrets.get(draft.id, draft.token_env) if draft.before is not None or draft.token_env else "")

        self._core.runner.submit(f"try:{draft.id}", partial(trial, draft, token, home), done)

    def save(self, draft: Draft, kind: Kind, secret: str, done: Callable[[Outcome[Kept]], None]) -> None:
        """Write it, keep its secret, and take it into use."""
        self._carry_out(lambda bench: bench.save(draft, kind, secret), draft.id, done, secret)

    def remove(self, draft: Draft, done: Callable[[Outcome[Kept]], None]) -> None:
        """Take it out of the settings; its secret goes too."""
        self._carry_out(lambda bench: bench.remove(draft), draft.id, done)

    def new_token(self, connection_id: str, secret: str, done: Callable[[Outcome[Kept]], None]) -> None:
        """Keep another secret; the source is asked again at once."""
        self._carry_out(lambda bench: bench.new_token(connection_id, secret), connection_id, done, secret, token_only=True)

    def _carry_out(
        self,
        deed: Callable[[Bench], Written],
        connection_id: str,
        done: Callable[[Outcome[Kept]], None],
        secret: str = "",
        token_only: bool = False,
    ) -> None:
        refusal = self.why_not()
        if refusal is not None and (not token_only or self._core.read_only):
            done(Outcome(error=refusal))
            return
        bench = Bench(self._core.paths.config, self._core.policy, self._core.secrets)

        def told(outcome: Outcome[Written]) -> None:
            if outcome.value is None:
                error = outcome.error or CockpitError("It could not be saved.")
                done(Outcome(error=without(error, secret) if isinstance(error, CockpitError) else error))
                return
            done(Outcome(self._in_use(outcome.value, connection_id)))

        # the lane of the looks at the policy: none of them sees a file that is half a deed
        self._core.runner.submit("policy", partial(deed, bench), told)

    def _in_use(self, written: Written, connection_id: str) -> Kept:
        core, kept = self._core, written.kept
        if kept.first:
            core.move_in()
        elif written.look is not None and core.policy is not None:
            core.policy.apply(written.look, own=written.own)
            kept = Kept(kept.path, kept.memory, waiting_words(core.policy))
        core.renew(connection_id)
        return kept
