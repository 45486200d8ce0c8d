"""What people said, wherever it is kept: in this machine's journal, whichever process recorded it, and as signed words of a repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from cockpit.domain.approvals import Approval
from cockpit.domain.errors import CockpitError, ConnectorError, NotAllowed, OutcomeUnknown, StorageError
from cockpit.domain.policy import Rules
from cockpit.domain.statements import Statement
from cockpit.services.notices import Notices, Severity
from cockpit.services.runtime import Outcome, Runner
from cockpit.services.store import Store
from cockpit.storage.journal import Entry, Journal

if TYPE_CHECKING:
    from cockpit.connectors.ports import SignedWords

LANE = "journal"  # behind what this process writes there
SYNC_POLLS = 5  # one exchange with the remote for so many looks at what is here: ten seconds at a poll each two
EXCHANGE_S = 10.0
VOTES = ("approve", "reject")
# dangerous to lose: on the disk here before anything is signed
FIRST_HERE = ("emergency", "hold")
# what only takes something back may stand here alone; anything else that is not signed would count for nothing, unseen
UNSIGNED = (*FIRST_HERE, "withdraw", "end")
_NO_KEEPER = "Here only signed words count, and the repository that keeps them is not connected."


class Keeper(Struct, frozen=True):
    """Where the words on these services are kept signed. `exchanged`: a `WordsJob` exchanges them with the remote, not `Decisions.poll`."""

    id: str
    services: tuple[str, ...]
    words: SignedWords
    exchanged: bool = False


class _Signed(Struct, frozen=True):
    """What came of signing a word: the word, all that its keeper has now, and what stands beside (not shared, not in the journal)."""

    word: Statement | None
    every: tuple[Statement, ...]
    troubles: tuple[CockpitError, ...] = ()


class Decisions:
    """Keeps `state.approvals` and `state.statements` as they are kept elsewhere. Main thread only; `poll` reads in the background.

    `made_here`: what was said on this machine, signed or not, by id. `problem`: why not everything that was said is known now.
    """

    def __init__(self, store: Store, runner: Runner, journal: Journal | None, notices: Notices) -> None:
        self._store = store
        self._runner = runner
        self._journal = journal
        self._notices = notices
        self._seen = 0
        self._under_way: set[str] = set()
        self._turn = 0
        self._keepers: tuple[Keeper, ...] = ()
        self._said: dict[str, Statement] = {}  # unsigned, by id
        self._signed: dict[str, tuple[Statement, ...]] = {}  # by keeper
        self._published: frozenset[Approval] = frozenset()  # those that came from signed words
        self._problems: dict[str, str] = {}
        self._rules = Rules()
        self.made_here: dict[str, Statement] = {}

    @property
    def problem(self) -> str:
        return next(iter(self._problems.values()), "")

    def use(self, keepers: tuple[Keeper, ...]) -> None:
        """Read signed words from these from now on; what others kept is forgotten."""
        ids = {keeper.id for keeper in keepers}
        self._keepers = keepers
        self._signed = {name: words for name, words in self._signed.items() if name in ids}
        self._problems.clear()
        self._turn = 0
        self._publish()

    def instruct(self, rules: Rules) -> None:
        """Judge by these rules who may say what."""
        self._rules = rules
        self._publish()

    # -- read ----------------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take over what is new, at once: about a millisecond where little is. StorageError where it cannot be read."""
        if self._journal is not None:
            self._take(self._journal.decisions(self._seen))
        for keeper in self._keepers:
            try:
                self._signed[keeper.id] = keeper.words.statements()
            except ConnectorError as error:
                raise StorageError(f"The signed words cannot be read: {error.message}", hint=error.hint) from error
        self._publish()

    def poll(self) -> None:
        """The same in the background, and now and then an exchange with the remotes; a failure is told once, until it has passed."""
        journal, seen = self._journal, self._seen
        if journal is not None:
            self._submit(LANE, "decisions", lambda: journal.decisions(seen), self._take)
        for keeper in self._keepers:
            self._poll_keeper(keeper)
            if not keeper.exchanged and self._turn % SYNC_POLLS == 0:
                self._submit(f"share:{keeper.id}", f"share:{keeper.id}", keeper.words.sync, partial(self._shared, keeper))
        self._turn += 1

    def _poll_keeper(self, keeper: Keeper) -> None:
        self._submit(f"words:{keeper.id}", f"words:{keeper.id}", keeper.words.statements, partial(self.kept, keeper))

    def _shared(self, keeper: Keeper, _: object) -> None:
        self._poll_keeper(keeper)

    def _submit(self, lane: str, key: str, work: Callable[[], Any], take: Callable[[Any], None]) -> None:
        if key in self._under_way:
            return
        self._under_way.add(key)

        def done(outcome: Outcome[Any]) -> None:
            self._under_way.discard(key)
            if outcome.error is None:
                self._problems.pop(key, None)
                self._notices.over(key)
                take(outcome.value)
                return
            self._problems[key] = getattr(outcome.error, "message", str(outcome.error))
            if not self._notices.told(key):
                self._notices.error(outcome.error, key=key, place="approvals")

        self._runner.submit(lane, work, done)

    def _take(self, entries: tuple[Entry, ...]) -> None:
        if not entries:
            return
        self._seen = max(self._seen, entries[-1].seq)
        words = statements_of(entries)
        self.made_here.update((word.id, word) for word in words)
        self._said.update((word.id, word) for word in words if word.source == "journal")
        self.add(*approvals_of(entries))
        self._publish()

    def kept(self, keeper: Keeper, words: tuple[Statement, ...]) -> None:
        """All that this keeper has now; nothing happens where it is used no more."""
        if keeper in self._keepers and self._signed.get(keeper.id) != words:
            self._signed[keeper.id] = words
            self._publish()

    def add(self, *approvals: Approval) -> None:
        """Those that are not known yet, after those that are."""
        known = self._store.state.approvals
        every = tuple(dict.fromkeys((*known, *approvals)))
        if len(every) > len(known):
            self._store.apply(approvals=every)

    def _publish(self) -> None:
        state = self._store.state
        signed = [self._judged(word) for words in self._signed.values() for word in words]
        mirrored = {_moment(word) for word in signed if not word.why_not}
        here = [self._judged(word) for word in self._said.values() if _moment(word) not in mirrored]
        statements = (*here, *signed)
        votes = dict.fromkeys(vote_of(word) for word in signed if word.kind in VOTES)
        approvals = (*(a for a in state.approvals if a not in self._published), *votes)
        self._published = frozenset(votes)
        if statements != state.statements or approvals != state.approvals:
            self._store.apply(statements=statements, approvals=approvals)

    def _judged(self, word: Statement) -> Statement:
        """The word, void where the policy does not let that person say it."""
        may = self._rules.may
        role = {"clear": "clear", "override": "freeze"}.get(word.kind, "")
        allowed = role not in may if role == "clear" else role != "freeze"
        if word.why_not or not role or allowed or word.who in may.get(role, frozenset()):
            return word
        return replace(word, why_not=f"{word.who} may not do this by the policy")

    # -- say -----------------------------------------------------------------------------------------------------------------

    def say(self, statement: Statement, done: Callable[[Outcome[Statement]], None], lane: str = LANE) -> None:
        """Record it: signed and shared where the service's words are kept so, else in this machine's journal, once in any case.

        `done` gets the word as it is kept. One that was signed and could not be shared counts here; it is shared later, and that is told.
        `lane`: behind what, and before what, it is written into the journal.
        """
        keeper = self._keeper(statement.service)
        if self._journal is None:
            done(Outcome(error=NotAllowed("This window only reads.", title="Read-only")))
        elif keeper is None and statement.kind not in UNSIGNED and any(rule.signed for rule in self._rules.approvals.values()):
            done(Outcome(error=NotAllowed(_NO_KEEPER, hint="Wait until it is, or look at Sources.", title="Not connected")))
        elif keeper is None:
            self._record(self._journal, statement, done, lane)
        elif statement.kind in FIRST_HERE:
            self._record(self._journal, statement, done, lane)
            self._sign(None, keeper, statement, self._only_here)
        else:
            self._sign(self._journal, keeper, statement, done)

    def _keeper(self, service: str) -> Keeper | None:
        """Who keeps words on that service; those on every service are kept by the first."""
        return next((keeper for keeper in self._keepers if not service or service in keeper.services), None)

    def note(self, statement: Statement, done: Callable[[Outcome[Statement]], None], lane: str = LANE) -> None:
        """Record in this machine's journal alone what somebody else did, for whom nobody here can sign."""
        if self._journal is not None:
            self._record(self._journal, statement, done, lane)

    def _record(self, journal: Journal, statement: Statement, done: Callable[[Outcome[Statement]], None], lane: str = LANE) -> None:
        word = replace(statement, id=statement.id or uuid4().hex, source="journal")

        def recorded(outcome: Outcome[Entry]) -> None:
            if outcome.error is None:
                self.made_here[word.id] = self._said[word.id] = word
                if word.kind in VOTES:
                    self.add(vote_of(word))
                self._publish()
            done(Outcome(word if outcome.error is None else None, outcome.error))

        self._runner.submit(lane, partial(_append, journal, word), recorded)

    def _sign(self, journal: Journal | None, keeper: Keeper, statement: Statement, done: Callable[[Outcome[Statement]], None]) -> None:
        def signed(outcome: Outcome[_Signed]) -> None:
            answer = outcome.value
            if answer is not None:
                self.kept(keeper, answer.every)
                for trouble in answer.troubles:
                    self._notices.tell(Severity.WARNING, trouble.title, trouble.message, hint=trouble.hint, place="approvals")
                if answer.word is not None:
                    self.made_here[answer.word.id] = answer.word
            done(Outcome(answer.word if answer is not None else None, outcome.error))

        self._runner.submit(f"sign:{keeper.id}", partial(_signed_by, keeper.words, journal, statement), signed)

    def _only_here(self, outcome: Outcome[Statement]) -> None:
        """A word that is on the disk here could not be signed: it counts on this machine alone."""
        if outcome.error is not None:
            words = getattr(outcome.error, "message", str(outcome.error))
            hint = "It stands in this machine's journal. Tell the others, and repair the key."
            self._notices.tell(Severity.WARNING, "Known on this machine only", words, hint=hint, key="only-here", place="approvals")


class WordsJob:
    """Exchanges signed words with their remote, and reads them: what a poller does, so that their source has a health like any other."""

    deadline_s = 45.0

    def __init__(self, keeper: Keeper, decisions: Decisions) -> None:
        self._keeper = keeper
        self._decisions = decisions

    def prepare(self) -> Callable[[], tuple[tuple[Statement, ...], ConnectorError | None]]:
        """Fetch, share, read. What is here is read even where the remote cannot be reached."""
        words = self._keeper.words

        def work() -> tuple[tuple[Statement, ...], ConnectorError | None]:
            trouble: ConnectorError | None = None
            try:
                words.sync()
            except ConnectorError as error:
                trouble = error
            return words.statements(), trouble

        return work

    def apply(self, result: tuple[tuple[Statement, ...], ConnectorError | None]) -> ConnectorError | None:
        """The words become the state's; answers why they were not exchanged, if they were not."""
        self._decisions.kept(self._keeper, result[0])
        return result[1]

    def interval_s(self, base_s: float) -> float:
        """At most every ten seconds: it asks over the network."""
        return max(base_s, EXCHANGE_S)


def _signed_by(keeper: SignedWords, journal: Journal | None, statement: Statement) -> _Signed:
    """Sign the word and note it in the journal, unless it stands there already (None); in a worker."""
    troubles: list[CockpitError] = []
    word: Statement | None = None
    try:
        word = keeper.sign(statement)
    except OutcomeUnknown as error:
        troubles.append(error)
    every = keeper.statements()
    if word is None:
        word = next((w for w in every if _moment(w) == _moment(statement) and not w.why_not), None)
    if word is not None and journal is not None:
        try:
            _append(journal, replace(word, name=statement.name or word.name))
        except StorageError as error:
            troubles.append(error)
    return _Signed(word, every, tuple(troubles))


def _append(journal: Journal, word: Statement) -> Entry:
    detail = asdict(word)
    if word.kind in VOTES:
        detail |= {"approved": word.kind == "approve", "comment": word.reason}
    return journal.append("note", word.id, word.kind, _signature(word), word.service, word.environment, detail)


def _signature(word: Statement) -> str:
    return f"{word.name} <{word.who}>" if word.name and word.name != word.who else word.who


def _moment(word: Statement) -> tuple[str, str, str, str, int]:
    """The same word, wherever it is kept."""
    return word.kind, word.service, word.environment, word.who, word.at_us


def vote_of(word: Statement) -> Approval:
    """An approval or rejection as what is counted."""
    return Approval(
        *(word.service, word.version, word.environment, word.commit, word.digest, word.who, word.name),
        approved=word.kind == "approve",
        comment=word.reason,
        at_us=word.at_us,
        signer=word.signer,
        why_not=word.why_not,
        source=word.source,
    )


def approvals_of(entries: Iterable[Entry]) -> tuple[Approval, ...]:
    """The unsigned approvals and rejections that the journal holds; entries that do not read as one are left out."""
    return tuple(vote_of(word) for word in statements_of(entries) if word.kind in VOTES and word.source == "journal")


def statements_of(entries: Iterable[Entry]) -> tuple[Statement, ...]:
    """What people said, as the journal holds it; a note on a signed word has another source. What does not read as one is left out."""
    found = []
    for entry in entries:
        if entry.kind != "note":
            continue
        try:
            if "kind" in entry.detail:
                word = msgspec.convert(entry.detail, Statement)
            else:
                word = _of_vote(msgspec.convert(entry.detail, Approval))
        except msgspec.ValidationError:
            continue
        if word.kind == entry.action:
            # an unsigned word says nothing of keys, whatever stands there
            own = {"signer": "", "why_not": ""} if word.source == "journal" else {}
            found.append(replace(word, id=word.id or entry.key, **own))
    return tuple(found)


def _of_vote(vote: Approval) -> Statement:
    """As votes stand in journals of earlier versions."""
    return Statement(
        "approve" if vote.approved else "reject",
        *(vote.service, vote.environment, vote.version, vote.commit, vote.digest, vote.who, vote.name, vote.comment, vote.at_us),
    )
