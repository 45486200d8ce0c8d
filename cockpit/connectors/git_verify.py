"""Whose signature a tag carries, asked of git itself: by its allowed-signers file for SSH keys, by fingerprints for OpenPGP keys."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from msgspec import Struct

from cockpit.connectors.git_process import GitProcess
from cockpit.connectors.text import one_line
from cockpit.domain.errors import NotFound, Unreachable

_GOOD = re.compile(r'Good "git" signature for (.+) with (\S+) key (\S+)')
_BAD_PRINCIPAL = re.compile(r"[*?!,\s]")
_STATUS = "[GNUPG:] "
_SLACK_S = 600  # a person types a passphrase between the date of the tag and the one of an OpenPGP signature


class Trust(Struct, frozen=True):
    """Whose keys count: git's allowed-signers file, a file of revoked SSH keys ("" = none), and OpenPGP fingerprints by address."""

    allowed_signers: str = ""
    revoked_keys: str = ""
    openpgp: dict[str, str] = {}


class Verdict(Struct, frozen=True):
    """Whose key signed (`who`, in lower case) and its fingerprint, or why the signature counts for nothing."""

    who: str = ""
    signer: str = ""
    why_not: str = ""


class Verifier:
    """Asks git for the signature of one tag object; about 13 ms each. Blocks; ConnectorErrors where it cannot be asked."""

    def __init__(self, git: GitProcess, trust: Trust) -> None:
        self._git = git
        self._trust = trust
        self._by_fingerprint = {_fingerprint(key): who.strip().lower() for who, key in trust.openpgp.items()}

    def stamp(self) -> str:
        """Changes whenever what is trusted did: a verdict holds as long as this does. NotFound where a file of the policy is missing."""
        parts = [repr(sorted(self._by_fingerprint.items()))]
        for path, what in ((self._trust.allowed_signers, "allowed signers"), (self._trust.revoked_keys, "revoked keys")):
            if not path:
                continue
            try:
                parts.append(hashlib.sha256(Path(path).read_bytes()).hexdigest())
            except OSError as error:
                # git only warns where the file of revoked keys is gone, and would let a revoked key pass
                words = f"The file of {what} cannot be read: {error.strerror}."
                raise NotFound(
                    words, hint="Put it back, or correct its path under [approvals]; until then no signed word is read."
                ) from None
        if self._by_fingerprint:
            parts += [_changed(gnupg_home() / name) for name in ("pubring.kbx", "pubring.gpg")]
        return "\n".join(parts)

    def verdict(self, object_id: str, form: str, at_s: int) -> Verdict:
        """Whose signature the tag object carries; `form` and `at_s` are what the tag itself says."""
        if form == "ssh" and self._trust.allowed_signers:
            return self._ssh(object_id)
        if form == "openpgp" and self._by_fingerprint:
            return self._openpgp(object_id, at_s)
        return Verdict(why_not="not signed" if not form else f"signed with a key of a kind ({form}) that the policy does not name")

    def _ssh(self, object_id: str) -> Verdict:
        status, words = self._verify(object_id, self._trust.revoked_keys)
        good = [found for line in words if (found := _GOOD.fullmatch(line))]
        if not status and len(good) == 1:
            who, signer = good[0].group(1), good[0].group(3)
            if _BAD_PRINCIPAL.search(who):
                return Verdict(signer=signer, why_not=f"the allowed-signers file names no single person for its key: {one_line(who, 100)}")
            return Verdict(who.lower(), signer)
        said = "\n".join(words)
        if "key has expired" in said:
            return Verdict(why_not="the key's time was over when it signed")
        if "not yet valid" in said:
            return Verdict(why_not="the key was not valid yet when it signed")
        if "not permitted for use in signature namespace" in said:
            return Verdict(why_not="the key may sign other things, but no git tags")
        if self._trust.revoked_keys and self._without_revocation(object_id):
            return Verdict(why_not="the key was revoked")
        if 'Good "git" signature with' in said:
            return Verdict(why_not="signed with a key that is not among the allowed signers")
        return Verdict(why_not="forged: the signature does not fit what it says")

    def _without_revocation(self, object_id: str) -> bool:
        """Git does not say that a key was revoked: it was where only the file of revoked keys stands against it."""
        status, words = self._verify(object_id, "")
        return not status and any(_GOOD.fullmatch(line) for line in words)

    def _openpgp(self, object_id: str, at_s: int) -> Verdict:
        status, words = self._verify(object_id, "")
        lines = [line.removeprefix(_STATUS).split(" ") for line in words if line.startswith(_STATUS)]
        said = {line[0]: line[1:] for line in lines}
        for mark, why in _OPENPGP_FAULTS:
            if mark in said:
                return Verdict(why_not=why)
        valid = said.get("VALIDSIG", [])
        if len(valid) < 10 or sum(line[0] in ("GOODSIG", "EXPKEYSIG") for line in lines) != 1:
            return Verdict(why_not="forged: the signature does not fit what it says")
        signed_s = int(valid[2]) if valid[2].isdigit() else 0
        # gpg judges a key by today: what was signed while the key was good stays good
        expired_s = min((int(line[1]) for line in lines if line[0] == "KEYEXPIRED" and line[1:] and line[1].isdigit()), default=0)
        if "EXPKEYSIG" in said and (not expired_s or signed_s >= expired_s):
            return Verdict(why_not="the key's time was over when it signed")
        if status and "EXPKEYSIG" not in said:
            return Verdict(why_not="forged: the signature does not fit what it says")
        who = self._by_fingerprint.get(valid[-1]) or self._by_fingerprint.get(valid[0])
        if not who:
            return Verdict(why_not="signed with a key whose fingerprint the policy does not name")
        if abs(signed_s - at_s) > _SLACK_S:
            return Verdict(why_not="its date is not the one of its signature")
        return Verdict(who, valid[0])

    def _verify(self, object_id: str, revoked_keys: str) -> tuple[int, list[str]]:
        settings = (
            f"gpg.ssh.allowedSignersFile={self._trust.allowed_signers or '/dev/null'}",
            f"gpg.ssh.revocationFile={revoked_keys or '/dev/null'}",
            "gpg.minTrustLevel=undefined",
        )
        environment = {"GNUPGHOME": str(gnupg_home())}
        status, _, errors = self._git.run("verify-tag", "--raw", object_id, settings=settings, environment=environment)
        if "cannot run" in errors or "could not create temporary file" in errors:
            raise Unreachable(
                f"git cannot check signatures here: {one_line(errors, 200)}.", hint="Install openssh-client and gnupg, then try again."
            )
        return status, errors.splitlines()


_OPENPGP_FAULTS = (
    ("BADSIG", "forged: the signature does not fit what it says"),
    ("REVKEYSIG", "the key was revoked"),
    ("EXPSIG", "the signature has expired"),
    ("NO_PUBKEY", "signed with a key that is not in the keyring here: import it with gpg --import"),
    ("ERRSIG", "the signature cannot be checked here"),
)


def gnupg_home() -> Path:
    """The person's own keyring: git runs here with no home directory."""
    return Path(os.environ.get("GNUPGHOME") or "~/.gnupg").expanduser()


def _fingerprint(key: str) -> str:
    """A whole fingerprint in capitals; a short id, which others can make too, fits nothing."""
    text = "".join(key.split()).upper().removeprefix("0X")
    return text if re.fullmatch(r"[0-9A-F]{40}|[0-9A-F]{64}", text) else f"unusable {text}"


def _changed(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "-"
    return f"{found.st_mtime_ns} {found.st_ino} {found.st_size}"
