"""The accepted copy of the policy: what was accepted comes back exactly, and what was changed since is noticed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cockpit.domain.errors import StorageError
from cockpit.storage.policy_copy import Accepted, Policy, PolicyCopy

POLICY = Policy(
    "/r main cockpit.toml", "ab" * 20, "# two\n[checks]\nrequired = ['unit']\n", {"allowed_signers": "a@x.org ssh-ed25519 AAAA\n"}
)
ACCEPTED = Accepted(POLICY, "you@x.org", 7)


@pytest.fixture
def copy(tmp_path: Path) -> PolicyCopy:
    return PolicyCopy(tmp_path / "policy")


def test_nothing_accepted_is_none(copy: PolicyCopy) -> None:
    assert copy.read() is None
    assert copy.refused() == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("unit", "nothing"),
        lambda text: text.replace("# accepted: {", "# accepted: ["),
        lambda text: text.partition("\n")[2],
        lambda text: text[: len(text) // 2],
        lambda text: "# accepted: {}\n",
        lambda text: "# accepted: []\n",
        lambda text: "",
    ],
)
def test_a_copy_that_was_changed_is_not_used(copy: PolicyCopy, change: object) -> None:
    copy.write(ACCEPTED)
    path = copy.key_file("accepted.toml")
    path.write_text(change(path.read_text("utf-8")), "utf-8")  # type: ignore[operator]
    with pytest.raises(StorageError) as caught:
        copy.read()
    assert caught.value.hint


def test_a_directory_that_cannot_be_written_is_told_and_the_old_copy_stays(copy: PolicyCopy, tmp_path: Path) -> None:
    copy.write(ACCEPTED)
    blocked = PolicyCopy(tmp_path / "policy" / "accepted.toml")
    with pytest.raises(StorageError):
        blocked.write(ACCEPTED)
    with pytest.raises(StorageError):
        blocked.refuse("c", "m")
    assert copy.read() == ACCEPTED


def test_it_comes_back_as_it_was_and_leaves_nothing_else(copy: PolicyCopy, tmp_path: Path) -> None:
    copy.write(ACCEPTED)
    assert copy.read() == ACCEPTED
    assert sorted(p.name for p in (tmp_path / "policy").iterdir()) == ["accepted.toml", "allowed_signers"]
    assert POLICY.digest == hashlib.sha256(POLICY.text.encode()).hexdigest()


def test_the_keys_are_put_back_and_taken_away(copy: PolicyCopy) -> None:
    copy.write(ACCEPTED)
    copy.key_file("allowed_signers").write_text("mallory ssh-ed25519 BBBB\n")
    copy.key_file("revoked_keys").write_text("x")
    copy.place_keys(POLICY)
    assert copy.key_file("allowed_signers").read_text() == POLICY.files["allowed_signers"]
    assert not copy.key_file("revoked_keys").exists()


def test_text_that_is_no_utf_8_comes_back_byte_by_byte(copy: PolicyCopy) -> None:
    odd = b"\xff\r\nx = 1\x85\n".decode("utf-8", "surrogateescape")
    accepted = Accepted(Policy("", "", odd, {"revoked_keys": odd}), "", 1)
    copy.write(accepted)
    assert copy.read() == accepted
    assert copy.key_file("revoked_keys").read_bytes() == b"\xff\r\nx = 1\x85\n"


def test_a_refusal_is_remembered_until_it_is_forgotten(copy: PolicyCopy) -> None:
    copy.refuse("c", "m")
    assert copy.refused() == {"commit": "c", "mark": "m"}
    copy.forget_refusal()
    copy.forget_refusal()
    assert copy.refused() == {}
