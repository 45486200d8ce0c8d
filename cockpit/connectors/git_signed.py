"""Words that people signed, kept as annotated tags of a repository: made, checked, pushed and fetched by git itself.

Anybody can check them without this program: `git tag -v` with the team's allowed-signers file.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from cockpit.connectors.git_process import TIMEOUT_S, GitProcess
from cockpit.connectors.git_refs import RefsWatch
from cockpit.connectors.git_remote import GitRemote
from cockpit.connectors.git_verify import Trust, Verifier, gnupg_home
from cockpit.connectors.git_word import MAX_BYTES, ROOTS, claimed, message_of, number_of, read_message, read_tag, ref_of
from cockpit.connectors.ports import Probe
from cockpit.connectors.text import one_line
from cockpit.domain.errors import AuthFailed, BadPayload, NotFound, OutcomeUnknown, Rejected, Unreachable
from cockpit.domain.statements import Statement

SIGN_S = 60.0  # an agent may ask the person for a passphrase
_PATTERNS = tuple(f"{root}/*" for root in ROOTS)
# of no other depth: a ref named like a folder of ours would keep every word below it from being written
_PLACES = re.compile(r"refs/tags/(approvals|words/[^/]+)(/[^/]+){4}")
_TRIES = 5
_PATIENCE_S = 5.0
_NO_KEY = "Set `signing` and `signing_key` under [me] in the settings."


class Signer(Struct, frozen=True):
    """Who signs here: form is ssh or openpgp ("" = nobody), key is git's user.signingKey."""

    name: str = ""
    email: str = ""
    form: str = ""
    key: str = ""


class GitSigned:
    """SignedWords over a repository on disk and, with `remote` (a name or an address), the place where a team shares them.

    Blocks; from any thread. What was verified is remembered by the tag object's id, for as long as the trusted keys stay the same.
    """

    def __init__(self, path: str | Path, signer: Signer, trust: Trust, remote: str = "", *, timeout_s: float = TIMEOUT_S) -> None:
        self._git = GitProcess(path, timeout_s)
        self._signer = signer
        self._verifier = Verifier(self._git, trust)
        self._remote = GitRemote(self._git, remote) if remote else None
        self._watch: RefsWatch | None = None
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._trusted = ""
        self._known: dict[str, tuple[str, Statement | None, str]] = {}  # by object id: its own name, its word, what stands against it
        self._seen = ""
        self._answer: tuple[Statement, ...] = ()

    def close_all(self) -> None:
        """Nothing is held between calls."""

    # -- read ----------------------------------------------------------------------------------------------------------------

    def statements(self) -> tuple[Statement, ...]:
        """All words, oldest first; those that count for nothing say why. About 0.2 ms where nothing changed.

        Unreachable where another thread has been checking signatures for some seconds: many at once take a while.
        """
        if not self._reading.acquire(timeout=_PATIENCE_S):
            raise Unreachable("The signed words are still being checked.", hint="Try again in some seconds.")
        try:
            stamp = self._verifier.stamp()
            seen = f"{self._fingerprint()}\n{stamp}"
            if seen != self._seen:
                if stamp != self._trusted:
                    self._known.clear()
                    self._trusted = stamp
                self._answer = self._read()
                self._seen = seen
            return self._answer
        finally:
            self._reading.release()

    def _fingerprint(self) -> str:
        if self._watch is None:
            self._watch = RefsWatch(self._git.located())
        try:
            return self._watch.fingerprint()
        except OSError as error:
            self._git.forget()
            self._watch = None
            hint = "Was it moved or deleted? Set its path in the settings."
            raise NotFound(f"The repository “{self._git.path}” is gone ({error.strerror}).", hint=hint) from None

    def _read(self) -> tuple[Statement, ...]:
        refs = self._refs()
        new = sorted({object_id for object_id, _ in refs.values()} - self._known.keys())
        kinds = dict(refs.values())
        tags = [object_id for object_id in new if kinds[object_id] == "tag"]
        for object_id, raw in zip(tags, self._objects(tags), strict=True):
            self._known[object_id] = self._judge(object_id, raw)
        words = (self._word(ref, object_id, kind) for ref, (object_id, kind) in refs.items())
        return tuple(sorted(words, key=lambda word: (word.at_us, word.id)))

    def _refs(self) -> dict[str, tuple[str, str]]:
        """Object id and kind of every ref that holds a word."""
        output = self._git.ask("for-each-ref", "--format=%(objectname) %(objecttype) %(refname)", *ROOTS)
        rows = [line.split(" ", 2) for line in output.decode("utf-8", "replace").splitlines()]
        return {row[2]: (row[0], row[1]) for row in rows if len(row) == 3}

    def _objects(self, object_ids: list[str]) -> list[bytes]:
        """The content of these tag objects; empty where one is longer than any word is."""
        asked = "".join(f"{object_id}\n" for object_id in object_ids).encode()
        if not asked:
            return []
        sizes = self._git.ask("cat-file", "--batch-check=%(objectsize)", feed=asked).split()
        if len(sizes) != len(object_ids) or not all(size.isdigit() for size in sizes):
            raise BadPayload("git measured the signed words in an unknown form.", hint="Check the repository with `git fsck`.")
        short = [object_id for object_id, size in zip(object_ids, sizes, strict=True) if int(size) <= MAX_BYTES]
        found = self._contents(short)
        return [found.get(object_id, b"") for object_id in object_ids]

    def _contents(self, object_ids: list[str]) -> dict[str, bytes]:
        found, at = dict[str, bytes](), 0
        if not object_ids:
            return found
        output = self._git.ask("cat-file", "--batch=%(objectsize)", feed="".join(f"{object_id}\n" for object_id in object_ids).encode())
        for object_id in object_ids:
            end = output.index(b"\n", at)
            size = int(output[at:end])
            found[object_id] = output[end + 1 : end + 1 + size]
            at = end + size + 2
        return found

    def _judge(self, object_id: str, raw: bytes) -> tuple[str, Statement | None, str]:
        """(the tag's own name, the word in it, what stands against it wherever it is kept)."""
        tag = read_tag(raw)
        if tag is None:
            return "", None, "it is no word of a person: a tag of another form" if raw else "it is no word of a person: it is too long"
        word = read_message(tag.message)
        verdict = self._verifier.verdict(object_id, tag.form, tag.at_s)
        if word is None:
            return tag.name, None, verdict.why_not or "its content is no statement"
        word = replace(word, id=object_id, source="git", signer=verdict.signer)
        if verdict.why_not:
            return tag.name, word, verdict.why_not
        if verdict.who != word.who:
            return tag.name, word, f"signed by {verdict.who}, not by {word.who}"
        if abs(tag.at_s - word.at_us // 1_000_000) > 1:
            return tag.name, word, "its date is not the one of its tag"
        if word.commit and (tag.target, tag.target_kind) != (word.commit, "commit"):
            return tag.name, word, f"its tag points at another commit ({tag.target[:12]}) than it speaks of"
        # a name is what the signer wrote; whose key it is was checked
        return tag.name, replace(word, name=word.who), ""

    def _word(self, ref: str, object_id: str, kind: str) -> Statement:
        if kind != "tag":
            return replace(claimed(ref, "not signed"), id=object_id)
        name, word, why_not = self._known[object_id]
        if word is None:
            return replace(claimed(ref, why_not), id=object_id)
        if not why_not and (ref != f"refs/tags/{name}" or not number_of(ref, word)):
            why_not = f"renamed: it was signed as {one_line(name, 200)}"
        return replace(word, why_not=why_not)

    # -- write ---------------------------------------------------------------------------------------------------------------

    def sign(self, statement: Statement) -> Statement:
        """Sign it with the person's key, check it as everybody else will, and share it."""
        if not self._signer.form or not self._signer.key:
            raise Rejected("No key signs here, and here only signed words count.", hint=_NO_KEY)
        word = replace(statement, who=statement.who.strip().lower(), id="", source="journal", signer="", why_not="")
        with self._writing:
            for _ in range(_TRIES):
                ref = self._free_ref(word)
                signed = self._tagged(word, ref)
                if signed is None:
                    continue
                if self._shared(signed, ref):
                    return signed
                self._take_over()
        raise Rejected("Others sign words of your name faster than this can.", hint="Is your key in use elsewhere? Then have it revoked.")

    def _tagged(self, word: Statement, ref: str) -> Statement | None:
        """The word as a tag that is valid for everybody; None where its name was taken meanwhile, Rejected where it would not count."""
        if any(w.at_us == word.at_us and (w.kind, w.who) == (word.kind, word.who) and not w.why_not for w in self.statements()):
            raise Rejected("Exactly this was signed already.", hint="Look at what is there, then say something new.")
        status, said = self._make(ref, word)
        if status and "already exists" in said:
            return None
        if status:
            raise _no_signature(said)
        object_id = self._at(ref)
        made = next((w for w in self.statements() if w.id == object_id), None)
        if made is not None and not made.why_not:
            return made
        self._remove(ref, object_id)
        why = made.why_not if made is not None else "it cannot be read back"
        if why == "not signed":  # git 2.39 makes an unsigned tag where ssh-keygen failed
            raise _no_signature(said)
        raise Rejected(f"Your own signature would count for nothing: {why}.", hint=self._way_out(word))

    def _free_ref(self, word: Statement) -> str:
        taken = self._refs()
        numbers = [number for ref in taken if (number := number_of(ref, word))]
        return ref_of(word, max(numbers, default=0) + 1)

    def _make(self, ref: str, word: Statement) -> tuple[int, str]:
        """Make the tag; answers git's status and what it said. Whether it was signed is seen when it is read back."""
        target = word.commit or self._git.ask("hash-object", "-t", "tree", "-w", "--stdin").decode("ascii").strip()
        who = self._signer
        environment = {
            "GIT_COMMITTER_NAME": who.name or who.email,
            "GIT_COMMITTER_EMAIL": who.email,
            "GIT_COMMITTER_DATE": f"@{word.at_us // 1_000_000} +0000",
            "GNUPGHOME": str(gnupg_home()),
        }
        key = _key(who)
        settings = (f"gpg.format={who.form}", f"user.signingKey={key}", "i18n.commitEncoding=UTF-8")
        args = ("tag", "--sign", "--cleanup=verbatim", "--file=-", "--end-of-options", ref.removeprefix("refs/tags/"), target)
        status, _, errors = self._git.run(
            *args, feed=message_of(word), settings=settings, environment=environment, timeout_s=max(SIGN_S, TIMEOUT_S)
        )
        return status, errors

    def _at(self, ref: str) -> str:
        return self._git.ask("rev-parse", "--verify", "--end-of-options", ref).decode("ascii").strip()

    def _remove(self, ref: str, object_id: str) -> None:
        self._git.ask("update-ref", "-d", "--end-of-options", ref, object_id)

    def _way_out(self, word: Statement) -> str:
        if word.who != self._signer.email.strip().lower():
            return "The e-mail under [me] must be the one that the policy names for your key."
        return "Your key and e-mail must stand in the allowed-signers file or among the OpenPGP keys of the policy."

    def _shared(self, signed: Statement, ref: str) -> bool:
        """Whether it is shared now; False where its name is taken over there, then nothing is left of it here."""
        if self._remote is None:
            return True
        try:
            refused = self._remote.push([ref])
        except (Unreachable, AuthFailed, BadPayload) as error:
            hint = f"It is shared as soon as the remote answers. {error.hint}"
            raise OutcomeUnknown(f"Signed here, and not shared yet: {error.message}", hint=hint, title="Not shared yet") from error
        except Rejected:
            self._remove(ref, signed.id)
            raise
        if not refused:
            return True
        self._remove(ref, signed.id)
        if ref in self._remote.refs([ref]):
            return False
        why = next(iter(refused.values()))
        raise Rejected(f"The remote refused it: {why}.", hint="Its administrator can say what it lets in; nothing was shared.")

    # -- share ---------------------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Fetch what others signed, and share what is here and not there. Rejected where the remote holds other words under a name."""
        if self._remote is None:
            return
        with self._writing:
            theirs, clashing = self._take_over()
            missing = [ref for ref in self._refs() if ref not in theirs and _PLACES.fullmatch(ref)]
            refused = self._remote.push(missing) if missing else {}
        if clashing:
            shown = one_line(clashing[0].removeprefix("refs/tags/"), 200)
            words = f"The remote holds another word than this machine under {len(clashing)} name(s), first {shown}."
            raise Rejected(
                words, hint="What is here stays, and theirs is not taken over. Somebody moved a tag: compare the two repositories."
            )
        if refused:
            ref, why = next(iter(refused.items()))
            raise Rejected(
                f"The remote refused {one_line(ref.removeprefix('refs/tags/'), 200)}: {why}.",
                hint="Its administrator can say what it lets in.",
            )

    def _take_over(self) -> tuple[dict[str, str], list[str]]:
        """Fetch what is not here yet; answers what the remote holds, and the names under which that is something else."""
        if self._remote is None:
            return {}, []
        theirs = {ref: object_id for ref, object_id in self._remote.refs(_PATTERNS).items() if _PLACES.fullmatch(ref)}
        ours = self._refs()
        self._remote.fetch(ref for ref in theirs if ref not in ours)
        return theirs, [ref for ref, object_id in theirs.items() if ref in ours and ours[ref][0] != object_id]

    def probe(self) -> Probe:
        """The repository, who signs here, and what is missing."""
        words = self.statements()
        bad = sum(bool(word.why_not) for word in words)
        missing = [] if self._signer.form and self._signer.key else ["no key signs here: set signing and signing_key under [me]"]
        if self._remote is None:
            missing.append("no remote is named under [approvals]: signed words stay on this machine")
        else:
            self._remote.refs(_PATTERNS)
        void = f", {bad} of them count for nothing" if bad else ""
        return Probe(f"{self._git.located().root} ({len(words)} signed words{void})", self._signer.email, tuple(missing))


def _no_signature(errors: str) -> Rejected:
    hint = f"Try it in a terminal with `git tag -s`; a key with a passphrase needs its agent. {_NO_KEY}"
    return Rejected(f"Your key could not sign: {one_line(errors, 300)}", hint=hint)


def _key(signer: Signer) -> str:
    """git's user.signingKey: an OpenPGP id, a public key itself (its agent signs), or the file of an SSH key."""
    key = signer.key
    if signer.form == "openpgp" or key.startswith(("key::", "ssh-")):
        return key
    if key.startswith(("ecdsa-", "sk-")):  # git knows only these two beginnings
        return f"key::{key}"
    return str(Path(key).expanduser().absolute())
