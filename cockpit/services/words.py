"""What a person says and stands by: approvals, holds, overrides, requests. Each is checked, then recorded: signed, or in the journal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from cockpit.domain.approvals import why_not_approve
from cockpit.domain.errors import NotAllowed
from cockpit.domain.measures import Acknowledged
from cockpit.domain.policy import Rules
from cockpit.domain.release import Version
from cockpit.domain.rollout import Action
from cockpit.domain.statements import Debt, Hold, Override, Statement
from cockpit.services import status
from cockpit.services.actions import Person
from cockpit.services.decisions import Decisions
from cockpit.services.notices import Notices, Severity
from cockpit.services.outcomes import lane_of
from cockpit.services.runtime import Outcome
from cockpit.services.store import Store

LONGEST_S = 14 * 86_400.0  # what lasts longer than this is a change of the policy, not a word
KNOWN_S = 90 * 86_400.0  # what is slower for longer than this is how it is meant, and says so in the policy or the benchmark
_NOBODY = "it is not known who you are: set your name and e-mail in the settings"


class Words:
    """Main thread only. Each word raises NotAllowed with its reasons where it may not be said; it is recorded in the background.

    Set from outside: `me`, `rules`, `read_only`. `said` is told of every word of this window once it is recorded.
    """

    def __init__(self, store: Store, decisions: Decisions, notices: Notices, clock_us: Callable[[], int]) -> None:
        self._store = store
        self.decisions = decisions
        self._notices = notices
        self._clock_us = clock_us
        self.me = Person("", "")
        self.rules = Rules()
        self.read_only = ""
        self.said: list[Callable[[Statement], None]] = []

    # -- approvals -----------------------------------------------------------------------------------------------------------

    def why_not_approve(self, version: Version, environment: str) -> str:
        """Why the person here may not approve this; empty when they may."""
        if self.read_only:
            return self.read_only
        state, now = self._store.state, self._clock_us()
        rule = status.approval_rule(state, environment, self.rules)
        asked = status.requester_of(state, version, environment, now)
        why = why_not_approve(self.me.who, version, status.authors_of(state, version, environment), rule, asked)
        given = status.decision(state, version, environment, self.rules, now).votes
        mine = any(v.counts and v.approval.approved and v.approval.who == self.me.who for v in given)
        return why or ("you have approved this already" if mine else "")

    def approve(self, version: Version, environment: str, comment: str = "") -> None:
        """Approve exactly this commit and digest."""
        why = self.why_not_approve(version, environment)
        if why:
            raise NotAllowed(f"You cannot approve {version.name}: {why}.")
        self._say(self._about("approve", version, environment, comment), "approved")

    def reject(self, version: Version, environment: str, comment: str) -> None:
        """Reject it with the reason; anybody may, an author too."""
        self._check(comment, "A rejection")
        self._say(self._about("reject", version, environment, comment), "rejected")

    # -- holds ---------------------------------------------------------------------------------------------------------------

    def hold(self, version: Version, environment: str, reason: str) -> None:
        """Nobody deploys this artifact there until a named person clears it."""
        self._check(reason, "A hold")
        if not version.digest:
            raise NotAllowed(f"{version.name} cannot be held: its artifact's digest is not known.")
        self._say(self._about("hold", version, environment, reason), "held")

    def why_not_clear(self, hold: Hold) -> str:
        """Why the person here may not clear it; empty when they may."""
        may = self.rules.may.get("clear")
        if self._why_silent() or may is None or self.me.who in may:
            return self._why_silent()
        return f"the policy names who may clear a hold{_where(hold.environment)}, and not you"

    def clear(self, hold: Hold, reason: str) -> None:
        """The held artifact may be deployed there again."""
        self._check(reason, "Clearing a hold")
        self._refuse("You cannot clear it", self.why_not_clear(hold))
        commit = next((s.commit for s in self._store.state.statements if s.id == hold.id), "")
        version = Version(hold.service, hold.version, "", commit, 0, hold.digest)
        self._say(self._about("clear", version, hold.environment, reason, about=hold.id), "cleared")

    # -- freezes and emergencies ---------------------------------------------------------------------------------------------

    def why_not_override(self, environment: str) -> str:
        """Why the person here may not pass a freeze; empty when they may."""
        may = self.rules.may.get("freeze", frozenset())
        if self._why_silent() or self.me.who in may:
            return self._why_silent()
        return f"the policy does not let you pass a freeze{_where(environment)}" + ("" if may else ": it names nobody under [overrides]")

    def override(self, environment: str, service: str, reason: str, until_us: int) -> None:
        """Freezes in that environment are passed until `until_us`; service "" is every service."""
        self._refuse("You cannot pass a freeze", self.why_not_override(environment))
        self._check(reason, "An override")
        self._check_end(until_us, "An override")
        nothing = Version(service, "", "", "", 0)
        self._say(self._about("override", nothing, environment, reason, until_us=until_us), "freezes are passed")

    def end_override(self, override: Override, reason: str = "") -> None:
        """The freezes hold again. Anybody may."""
        self._check()
        nothing = Version(override.service, "", "", "", 0)
        self._say(self._about("end", nothing, override.environment, reason, about=override.id), "the override is ended")

    def emergency(self, action: Action, reason: str) -> None:
        """One person acted alone: a second one owes a look. Never refused, for it has happened; said once for an action.

        In the action's own lane, so that nothing later of it is on the disk before. The word is theirs who acted: where that is not the
        person here, who took the action up after a crash, it is only written down.
        """
        if any(s.kind == "emergency" and s.about == action.key and not s.why_not for s in self._store.state.statements):
            return
        commit = status.commit_of(self._store.state, action.service, action.version)
        version = Version(action.service, action.version, "", commit, 0, action.digest)
        word = self._about("emergency", version, action.environment, reason, about=action.key)
        name, _, mail = action.who.rpartition("<")
        who = mail.rstrip(">").strip().lower() or self.me.who
        word = replace(word, who=who, name=name.strip() or who)
        say = self.decisions.say if who == self.me.who else self.decisions.note
        say(word, partial(self._recorded, word, "an emergency, to be signed off"), lane_of(action))

    def why_not_sign_off(self, debt: Debt) -> str:
        """Why the person here may not sign it off; empty when they may."""
        return self._why_silent() or ("a second person looks at it, not the one who acted" if self.me.who == debt.who else "")

    def sign_off(self, debt: Debt, comment: str) -> None:
        """A second person looked at the emergency."""
        self._refuse("You cannot sign it off", self.why_not_sign_off(debt))
        self._check(comment, "Signing off")
        emergency = next((s for s in self._store.state.statements if s.kind == "emergency" and s.about == debt.about), None)
        commit, digest = (emergency.commit, emergency.digest) if emergency else ("", "")
        version = Version(debt.service, debt.version, "", commit, 0, digest)
        self._say(self._about("sign-off", version, debt.environment, comment, about=debt.about), "signed off")

    # -- requests ------------------------------------------------------------------------------------------------------------

    def request(self, version: Version, environment: str, until_us: int, reason: str) -> None:
        """Deploy it as soon as nothing speaks against it, until `until_us`; see `Requests`, which watches it while this window lives."""
        self._check()
        self._check_end(until_us, "A request")
        if not version.commit or not version.digest:
            raise NotAllowed(f"{version.name} cannot be asked for: its artifact's digest is not known yet.")
        self._say(self._about("request", version, environment, reason, until_us=until_us), "requested")

    def withdraw(self, statement: Statement, reason: str = "") -> None:
        """Take a request back. Anybody may."""
        self._check()
        s = statement
        version = Version(s.service, s.version, "", s.commit, 0, s.digest)
        self._say(self._about("withdraw", version, s.environment, reason, about=s.id), "the request is withdrawn")

    # -- known regressions ---------------------------------------------------------------------------------------------------

    def acknowledge(self, version: Version, key: str, reason: str, until_us: int) -> None:
        """That this measure became worse with that version is known: it does not shout until `until_us`. See domain/measures.py."""
        self._check(reason, "An acknowledgement")
        self._check_end(until_us, "An acknowledgement", KNOWN_S)
        self._say(self._about("acknowledge", version, "", reason, until_us=until_us, about=key), "the regression is known")

    def end_acknowledgement(self, word: Acknowledged, reason: str = "") -> None:
        """It shouts again. Anybody may."""
        self._check()
        version = Version(word.service, word.version, "", "", 0)
        self._say(self._about("end", version, "", reason, about=word.id), "the regression is not taken as known any more")

    # -- common --------------------------------------------------------------------------------------------------------------

    def _why_silent(self) -> str:
        return self.read_only or ("" if self.me.who else _NOBODY)

    def _check(self, reason: str = "given", what: str = "") -> None:
        why = self._why_silent()
        if why:
            raise NotAllowed(f"{why[:1].upper()}{why[1:].rstrip('.')}.")
        if not reason.strip():
            raise NotAllowed(f"{what} names its reason.", hint="Write it into the comment, then try again.")

    def _check_end(self, until_us: int, what: str, longest_s: float = LONGEST_S) -> None:
        left_s = (until_us - self._clock_us()) / 1e6
        if left_s <= 0:
            raise NotAllowed(f"{what} needs an end that is still to come.")
        if left_s > longest_s:
            raise NotAllowed(
                f"{what} lasts at most {longest_s / 86_400:.0f} days.", hint="What should last longer belongs into the policy."
            )

    def _refuse(self, words: str, why: str) -> None:
        if why:
            raise NotAllowed(f"{words}: {why}.")

    def _about(self, kind: str, version: Version, environment: str, reason: str, *, until_us: int = 0, about: str = "") -> Statement:
        me = self.me
        return Statement(
            *(kind, version.service, environment, version.name, version.commit, version.digest, me.who, me.name or me.who),
            reason=reason.strip(),
            at_us=self._clock_us(),
            until_us=until_us,
            about=about,
        )

    def _say(self, statement: Statement, words: str) -> None:
        self.decisions.say(statement, partial(self._recorded, statement, words))

    def _recorded(self, statement: Statement, words: str, outcome: Outcome[Statement]) -> None:
        if outcome.error is not None or outcome.value is None:
            self._notices.error(outcome.error or NotAllowed("Nothing was recorded."), place="approvals")
            return
        what = " ".join(part for part in (statement.service, statement.version) if part) or "every service"
        place = "checks" if statement.kind == "acknowledge" else "approvals"
        self._notices.tell(Severity.OK, f"{what}: {words}{_where(statement.environment)}", statement.reason, place=place)
        for listener in list(self.said):
            listener(outcome.value)


def _where(environment: str) -> str:
    return f" for {environment}" if environment else ""
