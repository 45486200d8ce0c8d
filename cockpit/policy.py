"""The guard of the policy: a change of it takes effect only when a person says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from cockpit.domain.errors import CockpitError, ConfigError, NotAllowed, StorageError
from cockpit.policy_force import LOCAL_OWN, OWN, Local, Start, merged, own_mistakes, read_local, section
from cockpit.policy_source import Found, PolicyChange, described, local_policy, mark, shared_policy
from cockpit.services.notices import Notices, Severity
from cockpit.storage.policy_copy import Accepted, Policy, PolicyCopy
from cockpit.storage.settings import Settings, load_lenient

if TYPE_CHECKING:
    from cockpit.services.runtime import Outcome
    from cockpit.storage.journal import Entry, Journal

ACTION = "policy"  # of the journal's notes
WAITS, SOURCE, COPY = "policy", "policy-source", "policy-copy"  # keys of the notices


class Look(Struct, frozen=True):
    """What the policy's place and the accepted copy said at one moment. `change` is None where both say the same."""

    local: Local
    accepted: Accepted | None = None
    damaged: StorageError | None = None
    found: Found | None = None
    change: PolicyChange | None = None
    error: CockpitError | None = None
    last: Entry | None = None  # what the journal says was accepted last, asked where there is no copy
    turn: int = 0


class PolicyKeeper:
    """Lets a change of the policy take effect only when a person says so. Main thread only, but for `look`, which blocks.

    Call `look` in the background every half a minute and hand its outcome to `done`. `use` is called with settings that are in force from
    now on: after `accept`, when another window accepted, and when a person's own sections changed.
    """

    def __init__(
        self,
        config: Path,
        directory: Path,
        start: Start,
        journal: Journal | None,
        notices: Notices,
        use: Callable[[Settings], None],
        clock_us: Callable[[], int],
        read_only: str = "",
    ) -> None:
        self.settings = start.settings
        self.accepted: Accepted | None = None
        self.proposed: PolicyChange | None = None  # `pending`, or what was refused
        self.problem: CockpitError | None = None  # why the policy's place cannot be read
        self._config, self._directory, self._copy = config, directory, PolicyCopy(directory)
        self._journal, self._notices, self._use = journal, notices, use
        self._clock_us, self._read_only = clock_us, read_only
        self._mistakes = start.mistakes
        self._local = Local()
        self._damaged = start.error
        self._found: Found | None = None
        self._told = ""
        self._merged: tuple[object, tuple[Settings, ConfigError | None]] | None = None  # as merged last, and what of
        self._turn = 0  # counts what people said: a look from before it is out of date

    @property
    def pending(self) -> PolicyChange | None:
        """A change that waits for a person's word."""
        return self.proposed if self.proposed is not None and not self.proposed.refused else None

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The mistakes in what is in force."""
        return self._mistakes.problems if self._mistakes is not None else ()

    def look(self) -> Look:
        """Read the local file, the accepted copy, and the policy where it is kept. Blocks; any one thread at a time."""
        turn = self._turn
        local = read_local(self._config)
        accepted, damaged = self._read_copy()
        last = self._last_accepted() if accepted is None else None
        try:
            found = self._find(local, accepted)
            change = self._change(local, accepted, found)
        except CockpitError as error:
            return Look(local, accepted, damaged, None, None, error, last, turn)
        return Look(local, accepted, damaged, found, change, None, last, turn)

    def _read_copy(self) -> tuple[Accepted | None, StorageError | None]:
        try:
            return self._copy.read(), None
        except StorageError as error:
            return None, error

    def _find(self, local: Local, accepted: Accepted | None) -> Found:
        if local.text is None:
            raise ConfigError(f"{self._config} cannot be read.", hint="Check that it is there, and its rights.")
        if local.lost and (local.content is not None or (accepted is not None and accepted.policy.origin)):
            raise ConfigError(f"{self._config} does not say any more where the policy is.", hint="Correct [policy] in it.")
        return shared_policy(local.settings.policy) if local.shared else local_policy(local.text, self._config.absolute().parent)

    def _change(self, local: Local, accepted: Accepted | None, found: Found) -> PolicyChange | None:
        if accepted is not None and mark(accepted.policy) == mark(found.policy) and accepted.policy.origin == found.policy.origin:
            return None
        mistakes = merged(found.policy, local, self._config, self._directory)[1]
        own = OWN if found.policy.origin else LOCAL_OWN
        problems = tuple(p for p in mistakes.problems if section(p) not in own) if mistakes else ()
        before = accepted.policy if accepted is not None else None
        change = described(found, before, local.settings.policy, (*problems, *found.missing))
        refused = self._copy.refused()
        same = bool(found.policy.commit) and refused.get("commit") == found.policy.commit
        return replace(change, refused=same or refused.get("mark") == mark(found.policy))

    def _last_accepted(self) -> Entry | None:
        if self._journal is None:
            return None
        notes = self._journal.entries(limit=50, text=f" {ACTION} ", kinds=("note",))
        return next((n for n in notes if n.action == ACTION and n.detail.get("said") == "accepted"), None)

    def done(self, outcome: Outcome[Look]) -> None:
        """Take what `look` found."""
        if outcome.value is None:
            self._notices.error(outcome.error or CockpitError("The policy could not be read."), key=SOURCE)
            return
        self.apply(outcome.value)

    def apply(self, look: Look, *, own: bool = False) -> None:
        """Take what `look` found: a first sight is accepted and recorded, a later change waits.

        `own`: the change is what this person just saved here, and nothing else waited before: saving it was their word.
        """
        if look.turn != self._turn:
            return
        self._local = look.local
        self._take_copy(look)
        self._tell_source(look.error)
        if look.found is not None:
            self._found, self.proposed = look.found, look.change
            if self._is_first(look) or (own and look.change is not None and not (look.change.problems or self._read_only)):
                self._take_first(look)
            elif not self._read_only and (look.change is None or not look.change.refused):
                self._copy.forget_refusal()
        self._tell_pending()
        self._take_into_use()

    def _take_copy(self, look: Look) -> None:
        self._damaged = problem = look.damaged
        if problem is None:
            self.accepted = look.accepted or (self.accepted if self._read_only else None)
            if self.accepted is not None and not self._read_only:
                try:
                    self._copy.place_keys(self.accepted.policy)
                except OSError as error:
                    problem = StorageError(f"The accepted keys cannot be kept in {self._directory}: {error.strerror or error}.")
        if problem is None:
            self._notices.over(COPY)
        elif not self._notices.told(COPY):
            self._notices.error(problem, key=COPY)

    def _is_first(self, look: Look) -> bool:
        return self.accepted is None and self._damaged is None and look.change is not None

    def _take_first(self, look: Look) -> None:
        if look.change is not None and look.change.problems:
            if not look.local.shared:
                self.proposed = None  # its mistakes are told as those of the settings, and what is right in it is in use
            return
        try:
            self._take(first=self.accepted is None)
        except StorageError as error:
            self._notices.error(error, key=COPY)
            return
        digest = look.last.detail.get("digest") if look.last is not None else None
        if digest not in (None, look.change.digest if look.change else None):
            words = "The accepted copy of the policy was gone. What stands in its place now was taken; it is not what was accepted last."
            self._notices.tell(
                Severity.WARNING, "The policy", words, hint="Compare both in the journal: release-cockpit activity --text policy"
            )

    def accept(self) -> None:
        """Take the proposed policy into use: exactly the one that `proposed` shows. NotAllowed or StorageError: then nothing changed."""
        self._refuse_unless_allowed("accept")
        change = self.proposed
        if change is not None and change.problems:
            hint = "Correct it where it is kept; the one in force stays."
            raise NotAllowed("It has mistakes.", reasons=change.problems, hint=hint, title="The policy has mistakes")
        self._take(first=False)
        self._copy.forget_refusal()
        self._notices.over(WAITS, "The policy changed", f"{self._what(change)} is in force now.")
        self._take_into_use()

    def refuse(self, reason: str = "") -> None:
        """Keep the policy in force, and do not ask again for this commit or this text. NotAllowed or StorageError."""
        self._refuse_unless_allowed("refuse")
        change, found = self.proposed, self._found
        if change is None or found is None:
            return
        self._note("refused", found.policy, {"reason": reason})
        self._copy.refuse(found.policy.commit, mark(found.policy))
        self._turn += 1
        self.proposed = replace(change, refused=True)
        self._notices.over(WAITS)

    def _refuse_unless_allowed(self, verb: str) -> None:
        if self._read_only:
            raise NotAllowed(self._read_only, hint="Close the other window, or use the terminal.")
        if self.proposed is None or self._found is None:
            raise NotAllowed(f"There is nothing to {verb}: the policy in force is the one that is there.", title="No change of the policy")
        if not self._local.settings.me.email:
            raise NotAllowed("It is not known who you are.", hint=f"Set name and e-mail under [me] in {self._config}.")

    def _take(self, *, first: bool) -> None:
        if self._found is None:
            return
        policy, now_us = self._found.policy, self._clock_us()
        accepted = Accepted(policy, self._local.settings.me.email.lower(), now_us)
        if not self._read_only:
            before = self.accepted.policy.digest if self.accepted is not None else ""
            # on the record before it takes effect, as with any action
            self._note("accepted", policy, {"first": first, "before": before})
            try:
                self._copy.write(accepted)
            except StorageError as error:
                self._note("not accepted", policy, {"problem": error.message})
                raise
        self.accepted, self.proposed, self._damaged = accepted, None, None
        self._turn += 1
        self._notices.over(COPY)

    def _note(self, said: str, policy: Policy, more: dict[str, Any]) -> None:
        if self._journal is None:
            return
        detail = {"said": said, "commit": policy.commit, "digest": policy.digest, "origin": policy.origin, **more}
        self._journal.append("note", "", ACTION, self._local.settings.me.email.lower(), detail=detail)

    def _take_into_use(self) -> None:
        settings, mistakes = self._current()
        if mistakes != self._mistakes and (mistakes is None or self._mistakes is None or mistakes.problems != self._mistakes.problems):
            if mistakes is None:
                self._notices.over("settings")
            else:
                words = "\n".join(mistakes.problems) or mistakes.message
                self._notices.tell(Severity.ERROR, mistakes.title, words, hint=mistakes.hint, key="settings")
        self._mistakes = mistakes
        if settings != self.settings:
            self.settings = settings
            self._use(settings)

    def _current(self) -> tuple[Settings, ConfigError | None]:
        local = self._local
        if self.accepted is not None:
            of = (self.accepted.policy, local)
            if self._merged is None or self._merged[0] != of:
                # the settings of fifty services are read for ten milliseconds, and seldom are others
                self._merged = (of, merged(*of, self._config, self._directory))
            return self._merged[1]
        if self._damaged is not None or local.shared or (local.lost and local.content is not None):
            return local.settings, own_mistakes(local, self._config)
        return load_lenient(self._config)

    def _tell_source(self, error: CockpitError | None) -> None:
        self.problem = error
        if error is None:
            self._notices.over(SOURCE, "The policy can be read again", "It is compared with the one in force.")
            return
        stays = (
            f"The policy that was accepted on {_when(self.accepted.at_us)} stays in force." if self.accepted else "No policy is in force."
        )
        if not self._notices.told(SOURCE):
            words = f"{error.message} {stays}"
            self._notices.tell(Severity.WARNING, "The policy cannot be read", words, hint=error.hint, key=SOURCE, place="sources")

    def _tell_pending(self) -> None:
        change = self.pending
        if change is None:
            self._notices.over(WAITS)
            return
        by = f" by {change.who}: {change.subject}" if change.who else ""
        words = f"{self._what(change)}{by}."
        if change.rewound:
            words += " The accepted commit is no longer part of the branch."
        if change.problems:
            words += f" It has {len(change.problems)} mistakes and cannot be accepted."
        if words != self._told or not self._notices.told(WAITS):
            self._told = words
            hint = "`release-cockpit policy diff` shows it; accept or refuse it."
            self._notices.tell(Severity.WARNING, "A change of the policy waits for you", words, hint=hint, key=WAITS, place="policy")

    def _what(self, change: PolicyChange | None) -> str:
        return f"Commit {change.commit[:12]}" if change is not None and change.commit else f"What stands in {self._config.name}"


def _when(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M} UTC"
