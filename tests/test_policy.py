"""The policy's guard, with real repositories: nothing takes effect that nobody agreed to, and nothing that was agreed to is lost."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.domain.approvals import ApprovalRule, Quorum
from cockpit.domain.errors import NotAllowed, StorageError
from cockpit.domain.reversibility import Way
from cockpit.domain.strategy import ServiceSet
from cockpit.policy import PolicyKeeper
from cockpit.policy_force import in_force
from cockpit.policy_rules import rules_of
from cockpit.policy_source import origin_of, without_own
from cockpit.services.notices import Notices
from cockpit.storage.database import open_database
from cockpit.storage.journal import Entry, Journal
from cockpit.storage.settings import PolicySource, Settings, load, tables
from tests.fakes.running import FakeMain, InlineRunner

ME = "[me]\nname = 'You'\nemail = 'You@x.org'\n"
ONE = "[environments.production]\napprovals = 1\n"
TWO = "[environments.production]\napprovals = 2\n"
SHARED = ME + "[policy]\nrepository = 'policy'\n"


class Repository:
    """A real repository with the policy in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        names = {
            f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (("NAME", "Boss"), ("EMAIL", "b@x.org"))
        }
        ran = subprocess.run(
            ["git", "-C", str(self.path), *words], env={**os.environ, **quiet, **names}, capture_output=True, text=True, check=True
        )
        return ran.stdout.strip()

    def commit(self, subject: str, **files: str) -> str:
        for name, text in files.items():
            target = self.path / name.replace("__", "/").replace("_toml", ".toml")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")


class Desk:
    """One person's data directory: a file, a keeper, what it put into use, and what the journal says."""

    def __init__(self, root: Path, clock: Any) -> None:
        self.root = root
        self.config = root / "cockpit.toml"
        self.directory = root / "data" / "policy"
        self.clock = clock
        self.used: list[Settings] = []
        (root / "data").mkdir(parents=True, exist_ok=True)
        self.database = open_database(root / "data" / "cockpit.sqlite")
        self.journal = Journal(self.database, "test", clock)
        self.notices = Notices(clock)
        self.main = FakeMain(clock)
        self.runner = InlineRunner(self.main)

    def open(self, read_only: str = "") -> PolicyKeeper:
        start = in_force(self.config, self.directory)
        journal, use = self.journal, self.used.append
        self.keeper = PolicyKeeper(self.config, self.directory, start, journal, self.notices, use, self.clock, read_only)
        self.look()
        return self.keeper

    def write(self, text: str) -> None:
        self.config.write_text(text, "utf-8")

    def look(self) -> None:
        self.runner.submit("policy", self.keeper.look, self.keeper.done)
        self.main.settle()

    def notes(self) -> list[Entry]:
        return [e for e in reversed(self.journal.entries()) if e.action == "policy"]

    @property
    def approvals(self) -> int | None:
        production = self.keeper.settings.environments.get("production")
        return production.approvals if production is not None else None

    def loud(self) -> list[str]:
        return [f"{n.title}: {n.message}" for n in self.notices.history if not n.over]


@pytest.fixture
def desk(tmp_path: Path, fake_clock: Any) -> Iterator[Desk]:
    made = Desk(tmp_path, fake_clock)
    yield made
    made.database.close()


@pytest.fixture
def team(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "policy")


# -- a local file ---------------------------------------------------------------------------------------------------------------


def test_a_change_waits_and_a_refused_one_stays_away(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME + ONE)
    desk.look()
    assert desk.approvals == 2
    pending = desk.keeper.pending
    assert pending is not None
    assert "-approvals = 2\n+approvals = 1" in pending.diff
    assert "A change of the policy waits for you: What stands in cockpit.toml." in desk.loud()
    assert [n.place for n in desk.notices.history if n.key == "policy"] == ["policy"], "a click on it leads there"
    desk.keeper.refuse("two pairs of eyes")
    desk.look()
    assert (desk.keeper.pending, desk.approvals) == (None, 2)
    assert desk.keeper.proposed is not None
    assert desk.keeper.proposed.refused
    assert desk.loud() == []
    assert [n.detail["said"] for n in desk.notes()] == ["accepted", "refused"]
    assert desk.notes()[-1].detail["reason"] == "two pairs of eyes"
    # the same after a restart, and asked again once something else came between
    desk.open()
    assert (desk.keeper.pending, desk.approvals) == (None, 2)
    desk.write(ME + TWO)
    desk.look()
    desk.write(ME + ONE)
    desk.look()
    assert desk.keeper.pending is not None


def test_what_was_refused_can_still_be_accepted(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME + ONE)
    desk.look()
    desk.keeper.refuse()
    desk.keeper.accept()
    desk.look()
    assert (desk.approvals, desk.keeper.proposed) == (1, None)


def test_a_change_with_mistakes_cannot_be_accepted_and_says_all_of_them(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME + "[environments.production]\naprovals = 0\nafter = 'x'\n[chekcs]\n")
    desk.look()
    with pytest.raises(NotAllowed) as caught:
        desk.keeper.accept()
    assert len(caught.value.reasons) == 3
    assert (desk.approvals, [n.detail["said"] for n in desk.notes()]) == (2, ["accepted"])


@pytest.mark.parametrize("text", ["[environments.production\n", "\xff\xfe", ""])
def test_a_file_that_is_broken_or_empty_changes_nothing(desk: Desk, text: str) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.config.write_bytes(text.encode("latin-1"))
    desk.look()
    assert desk.approvals == 2
    assert desk.keeper.pending is not None
    with pytest.raises(NotAllowed):
        desk.keeper.accept()
    assert in_force(desk.config, desk.directory).settings.environments["production"].approvals == 2


def test_a_file_that_is_gone_leaves_the_accepted_one_in_force(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.config.unlink()
    desk.look()
    assert desk.approvals == 2
    assert any("stays in force" in words for words in desk.loud())


def test_nobody_in_particular_accepts_nothing(desk: Desk) -> None:
    desk.write(TWO)
    desk.open()
    desk.write(ONE)
    desk.look()
    with pytest.raises(NotAllowed, match="who you are"):
        desk.keeper.accept()
    assert desk.approvals == 2


def test_there_is_nothing_to_accept_where_nothing_changed(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    for deed in (desk.keeper.accept, desk.keeper.refuse):
        with pytest.raises(NotAllowed, match="nothing to"):
            deed()


def test_a_window_that_only_reads_records_and_keeps_nothing(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open("only reads")
    assert (desk.approvals, desk.notes(), desk.directory.exists()) == (2, [], False)
    with pytest.raises(NotAllowed, match="only reads"):
        desk.keeper.accept()


def test_a_disk_that_refuses_leaves_the_old_one_in_force_and_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME + ONE)
    desk.look()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cockpit.storage.policy_copy.os.replace", full)
    with pytest.raises(StorageError):
        desk.keeper.accept()
    monkeypatch.undo()
    desk.look()
    assert desk.approvals == 2
    assert [n.detail["said"] for n in desk.notes()] == ["accepted", "accepted", "not accepted"]


def test_the_first_sight_is_accepted_and_recorded_once(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.look()
    desk.open()
    (note,) = desk.notes()
    assert (note.kind, note.who, note.detail["said"], note.detail["first"]) == ("note", "you@x.org", "accepted", True)
    text = desk.directory.joinpath("accepted.toml").read_text("utf-8").partition("\n")[2]
    assert note.detail["digest"] == hashlib.sha256(text.encode()).hexdigest()
    assert desk.used == []  # nothing changed by it
    assert desk.loud() == []


def test_accepting_puts_it_into_use_and_on_record(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME + ONE)
    desk.look()
    desk.keeper.accept()
    assert (desk.approvals, desk.keeper.pending) == (1, None)
    assert [s.environments["production"].approvals for s in desk.used] == [1]
    first, second = desk.notes()
    assert second.detail["before"] == first.detail["digest"]
    assert in_force(desk.config, desk.directory).settings.environments["production"].approvals == 1
    assert desk.journal.verify().ok


def test_an_answer_from_before_a_persons_word_changes_nothing(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME + ONE)
    desk.look()
    late = desk.keeper.look()
    desk.keeper.accept()
    desk.keeper.apply(late)
    assert (desk.approvals, desk.keeper.pending) == (1, None)
    desk.look()
    assert (desk.approvals, desk.keeper.pending) == (1, None)


def test_what_is_accepted_is_what_was_shown(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME + ONE)
    desk.look()
    desk.write(ME + ONE.replace("1", "0"))
    desk.keeper.accept()
    assert desk.approvals == 1
    desk.look()
    assert desk.keeper.pending is not None


def test_what_is_each_persons_own_takes_effect_at_once(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME.replace("You'", "Me'") + "[window]\ntheme = 'light'\n[poll]\ninterval_s = 1.0\n" + TWO + "# a comment\n")
    desk.look()
    (used,) = desk.used
    assert (used.me.name, used.window.theme, used.poll.interval_s) == ("Me", "light", 1.0)
    assert (desk.keeper.pending, len(desk.notes())) == (None, 1)


def test_a_mistake_in_ones_own_sections_is_told_and_over_again(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME + TWO + "[window]\ntheme = 'drak'\n")
    desk.look()
    assert any("drak" in words for words in desk.loud())
    desk.write(ME + TWO)
    desk.look()
    assert desk.loud() == []


def test_a_first_file_with_mistakes_is_used_as_far_as_it_is_right_until_it_is_whole(desk: Desk) -> None:
    desk.write(ME + TWO + "[chekcs]\n")
    desk.open()
    assert (desk.approvals, desk.notes(), desk.keeper.pending) == (2, [], None)
    assert desk.keeper.mistakes == ('chekcs: unknown table (did you mean "checks"?)',)
    desk.write(ME + TWO)
    desk.look()
    assert len(desk.notes()) == 1
    assert desk.keeper.mistakes == ()


def test_who_may_sign_is_part_of_the_policy(desk: Desk) -> None:
    signers = desk.root / "signers"
    signers.write_text("a@x.org ssh-ed25519 AAAA\n")
    desk.write(ME + TWO + "[approvals]\nallowed_signers = 'signers'\n")
    desk.open()
    signers.write_text("a@x.org ssh-ed25519 AAAA\nmallory@x.org ssh-ed25519 BBBB\n")
    desk.look()
    in_use = Path(desk.keeper.settings.approvals.allowed_signers)
    assert "mallory" not in in_use.read_text()
    assert desk.keeper.pending is not None
    assert "+mallory@x.org ssh-ed25519 BBBB" in desk.keeper.pending.diff
    desk.keeper.accept()
    assert "mallory" in in_use.read_text()
    in_use.write_text("eve@x.org ssh-ed25519 CCCC\n")
    desk.look()
    assert "eve" not in in_use.read_text()


def test_signers_that_cannot_be_read_are_a_mistake(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.write(ME + TWO + "[approvals]\nallowed_signers = 'none'\n")
    desk.look()
    with pytest.raises(NotAllowed) as caught:
        desk.keeper.accept()
    assert "approvals.allowed_signers: “none” cannot be read: No such file or directory" in caught.value.reasons


def test_another_window_that_accepts_is_followed(desk: Desk, fake_clock: Any) -> None:
    desk.write(ME + TWO)
    first = desk.open()
    desk.write(ME + ONE)
    second = desk.open()
    second.accept()
    desk.keeper = first
    desk.look()
    assert (desk.approvals, first.pending) == (1, None)


def test_a_copy_that_was_changed_by_hand_is_not_used(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    path = desk.directory / "accepted.toml"
    path.write_text(path.read_text().replace("approvals = 2", "approvals = 0"))
    desk.open()
    assert desk.approvals is None
    assert any("was changed by hand" in words for words in desk.loud())
    desk.keeper.accept()
    assert desk.approvals == 2
    desk.look()
    assert not any("by hand" in words for words in desk.loud())


def test_a_copy_that_is_gone_is_said_where_the_file_is_another_now(desk: Desk) -> None:
    desk.write(ME + TWO)
    desk.open()
    (desk.directory / "accepted.toml").unlink()
    desk.write(ME + ONE)
    desk.open()
    assert any("was gone" in words for words in desk.loud())
    assert [n.detail["first"] for n in desk.notes()] == [True, True]


@pytest.mark.parametrize(
    "text",
    [
        "[me]\nname = 'a'\n[checks]\nrequired = ['x']\n[window]\ntheme = 'light'\n",
        "me = { name = 'a' }\n[checks]\nrequired = ['x']\n",
        "me.name = 'a'\nchecks.required = ['x']\n",
        "[\"me\"]\nname = '''\n[checks]\n'''\n[checks]\nrequired = ['x']\n",
        "[ policy ]\nfile = '''\n[checks]\nrequired = []\n'''\n[checks]\nrequired = ['x']\n[poll]\n[me]\n",
        "\ufeff[me]\nname = 'a'\n[checks]\nrequired = ['x']\n",
        "[checks]\nrequired = ['x']\n[odd]\nlists = [\n['me'],\n['y'],\n]\n[me]\nname = 'a'\n",
        "[[me]]\nname = 'a'\n[me.more]\nx = 1\n[checks]\nrequired = ['x']\n",
    ],
)
def test_cutting_out_what_is_each_persons_own_changes_nothing_else(text: str) -> None:
    left = tables(without_own(text).encode())
    assert left == {name: table for name, table in tables(text.encode()).items() if name not in ("me", "window", "poll", "policy")}
    assert left["checks"] == {"required": ["x"]}


def test_every_kind_of_value_survives_the_other_form(tmp_path: Path) -> None:
    text = "me.name = 'a'\n[\"a b\".c]\nd = 1979-05-27T07:32:00Z\ne = 07:32:00\nf = [1.5, {g = 'x\"\\n\u007f', h = []}]\ni = {}\nj = -inf\n"
    content = tables(text.replace("\\n", "\\\\n").replace("\u007f", "").encode())
    del content["me"]
    assert tables(without_own(text.replace("\\n", "\\\\n").replace("\u007f", "")).encode()) == content


# -- a repository of the team ---------------------------------------------------------------------------------------------------


def test_a_new_commit_waits_with_its_author_and_its_diff(desk: Desk, team: Repository) -> None:
    team.commit("two", cockpit_toml=TWO)
    desk.write(SHARED)
    desk.open()
    assert desk.approvals == 2
    commit = team.commit("one \x1b[31mis enough", cockpit_toml=ONE)
    team.commit("the readme", README="x")
    desk.look()
    pending = desk.keeper.pending
    assert desk.approvals == 2
    assert pending is not None
    assert pending.commit == team.git("rev-parse", "HEAD")
    assert (pending.who, pending.rewound, pending.problems) == ("Boss <b@x.org>", False, ())
    assert pending.subject.startswith("one ")
    assert "\x1b" not in pending.subject + pending.diff
    assert f"# {commit[:12]} " in pending.diff
    assert "-approvals = 2\n+approvals = 1" in pending.diff
    desk.keeper.accept()
    assert desk.approvals == 1
    note = desk.notes()[-1]
    assert note.detail["commit"] == pending.commit
    shown = team.git("show", f"{pending.commit}:cockpit.toml") + "\n"
    assert note.detail["digest"] == hashlib.sha256(shown.encode()).hexdigest()


def test_a_commit_that_leaves_the_policy_alone_asks_nothing(desk: Desk, team: Repository) -> None:
    team.commit("two", cockpit_toml=TWO)
    desk.write(SHARED)
    desk.open()
    team.commit("the readme", README="x")
    team.commit("a comment", cockpit_toml=f"# why\n{TWO}")
    desk.look()
    assert (desk.keeper.pending, len(desk.notes())) == (None, 1)


def test_a_history_that_was_rewound_is_said_loudly(desk: Desk, team: Repository) -> None:
    team.commit("one", cockpit_toml=ONE)
    accepted = team.commit("two", cockpit_toml=TWO)
    desk.write(SHARED)
    desk.open()
    team.git("reset", "-q", "--hard", "HEAD~1")
    desk.look()
    pending = desk.keeper.pending
    assert pending is not None
    assert pending.rewound
    assert pending.diff.startswith(f"# REWOUND: 1 accepted commits are no longer part of main: {accepted[:12]}")
    assert any("no longer part of the branch" in words for words in desk.loud())
    assert desk.approvals == 2


def test_a_history_that_was_replaced_is_said_loudly(desk: Desk, team: Repository) -> None:
    team.commit("two", cockpit_toml=TWO)
    desk.write(SHARED)
    desk.open()
    team.git("checkout", "-q", "--orphan", "new")
    team.commit("one", cockpit_toml=ONE)
    team.git("branch", "-q", "-M", "main")
    team.git("reflog", "expire", "--expire=now", "--all")
    team.git("gc", "-q", "--prune=now")
    desk.look()
    pending = desk.keeper.pending
    assert pending is not None
    assert pending.rewound
    assert pending.diff.startswith("# REWRITTEN: the accepted commit")


def test_a_repository_that_is_gone_leaves_the_accepted_one_in_force(desk: Desk, team: Repository, tmp_path: Path) -> None:
    team.commit("two", cockpit_toml=TWO)
    desk.write(SHARED)
    desk.open()
    (tmp_path / "policy").rename(tmp_path / "away")
    desk.look()
    desk.look()
    assert desk.approvals == 2
    (words,) = desk.loud()
    assert words.startswith("The policy cannot be read: ")
    assert "stays in force" in words
    assert desk.keeper.problem is not None
    assert in_force(desk.config, desk.directory).settings.environments["production"].approvals == 2
    (tmp_path / "away").rename(tmp_path / "policy")
    desk.look()
    assert desk.keeper.problem is None


@pytest.mark.parametrize("files", [{"README": "x"}, {"cockpit_toml__x": "x"}])
def test_where_there_is_no_policy_nothing_is_in_force(desk: Desk, team: Repository, files: dict[str, str]) -> None:
    team.commit("none", **files)
    desk.write(SHARED + TWO)
    desk.open()
    assert desk.approvals is None
    assert any("There is no file “cockpit.toml”" in words and "No policy is in force" in words for words in desk.loud())


def test_a_shared_policy_with_mistakes_is_never_in_force(desk: Desk, team: Repository) -> None:
    team.commit("faulty", cockpit_toml=TWO + "[chekcs]\n")
    desk.write(SHARED)
    desk.open()
    assert desk.approvals is None
    assert desk.keeper.pending is not None
    assert len(desk.keeper.pending.problems) == 1
    with pytest.raises(NotAllowed, match="mistakes"):
        desk.keeper.accept()
    team.commit("right", cockpit_toml=TWO)
    desk.look()
    assert desk.approvals == 2


def test_a_local_file_that_lost_its_way_to_the_policy_changes_nothing(desk: Desk, team: Repository) -> None:
    team.commit("two", cockpit_toml=TWO)
    desk.write(SHARED)
    desk.open()
    for text in (ME + "[policy]\nrepositry = 'policy'\n" + ONE, "[policy\n"):
        desk.write(text)
        desk.look()
        assert desk.approvals == 2
        assert (desk.keeper.pending, desk.keeper.problem is not None) == (None, True)


def test_a_change_of_the_policys_place_waits_too(desk: Desk, team: Repository) -> None:
    desk.write(ME + TWO)
    desk.open()
    team.commit("one", cockpit_toml=ONE)
    desk.write(SHARED)
    desk.look()
    assert desk.approvals == 2
    assert desk.keeper.pending is not None
    assert desk.keeper.pending.diff.startswith("# ANOTHER PLACE: ")
    desk.keeper.accept()
    assert desk.approvals == 1


def test_the_same_words_in_another_place_wait_too(desk: Desk, team: Repository) -> None:
    desk.write(ME + TWO)
    desk.open()
    commit = team.commit("two", cockpit_toml=TWO)
    desk.write(SHARED)
    desk.look()
    assert desk.keeper.pending is not None
    assert desk.keeper.pending.diff.startswith("# ANOTHER PLACE: ")
    desk.keeper.accept()
    desk.look()
    assert (desk.keeper.pending, desk.notes()[-1].detail["commit"]) == (None, commit)


def test_what_is_each_persons_own_is_not_taken_from_the_team(desk: Desk, team: Repository) -> None:
    boss = "[me]\nname = 'Boss'\nemail = 'no address'\n[window]\ntheme = 'contrast'\n[policy]\nref = 'evil'\n[poll]\ndeadline_s = 30.0\n"
    team.commit("two", cockpit_toml=TWO + boss)
    desk.write(SHARED + "[window]\ntheme = 'light'\n[poll]\ndeadline_s = 5.0\n" + "[environments.other]\n")
    desk.open()
    settings = desk.keeper.settings
    assert (settings.me.email, settings.window.theme, settings.policy.ref) == ("You@x.org", "light", "main")
    assert settings.poll.deadline_s == 30.0
    assert set(settings.environments) == {"production"}
    assert len(desk.notes()) == 1


def test_keys_come_from_the_same_commit_and_stay_inside(desk: Desk, team: Repository) -> None:
    team.commit("two", cockpit_toml=f"{TWO}[approvals]\nallowed_signers = 'keys/signers'\n", keys__signers="a@x.org ssh-ed25519 AAAA\n")
    (team.path / "keys/signers").write_text("not committed\n")
    desk.write(SHARED)
    desk.open()
    in_use = Path(desk.keeper.settings.approvals.allowed_signers)
    assert in_use.parent == desk.directory
    assert in_use.read_text() == "a@x.org ssh-ed25519 AAAA\n"
    team.commit("out", cockpit_toml=f"{TWO}[approvals]\nallowed_signers = '../../etc/passwd'\nrevoked_keys = 'none'\n")
    desk.look()
    assert desk.keeper.pending is not None
    problems = "\n".join(desk.keeper.pending.problems)
    assert "approvals.allowed_signers: must be a file inside the policy repository" in problems
    assert "approvals.revoked_keys: there is no “none” in the policy repository at that commit" in problems


def test_a_link_in_the_repository_leads_nowhere(desk: Desk, team: Repository) -> None:
    (team.path / "cockpit.toml").symlink_to("/etc/passwd")
    team.commit("a link")
    desk.write(SHARED)
    desk.open()
    assert any("There is no file" in words for words in desk.loud())


def test_services_are_where_this_machine_has_them(desk: Desk, team: Repository, tmp_path: Path) -> None:
    team.commit("two", cockpit_toml="[services.a]\nrepository = 'src/a'\n")
    desk.write(SHARED)
    desk.open()
    assert desk.keeper.settings.services["a"].repository == str(tmp_path / "src/a")


def test_a_remote_is_fetched_and_a_forced_push_is_seen(desk: Desk, tmp_path: Path) -> None:
    theirs = Repository(tmp_path / "theirs")
    theirs.commit("zero", README="x")
    theirs.commit("two", cockpit_toml=TWO)
    subprocess.run(["git", "clone", "-q", str(theirs.path), str(tmp_path / "policy")], check=True)
    desk.write(SHARED + "remote = 'origin'\n")
    desk.open()
    assert desk.approvals == 2
    theirs.git("reset", "-q", "--hard", "HEAD~1")
    theirs.commit("one", cockpit_toml=ONE)
    desk.look()
    assert desk.keeper.pending is not None
    assert desk.keeper.pending.rewound
    theirs.path.rename(tmp_path / "offline")
    desk.look()
    assert desk.approvals == 2
    assert desk.keeper.problem is not None


def test_a_password_in_the_remotes_address_is_kept_nowhere() -> None:
    assert origin_of(PolicySource("/p", remote="https://me:token@forge/p.git")) == "/p https://***@forge/p.git/main cockpit.toml"


def test_at_the_start_a_shared_policy_that_was_never_read_is_waited_for(desk: Desk, team: Repository) -> None:
    team.commit("two", cockpit_toml=TWO)
    desk.write(SHARED + ONE)
    start = in_force(desk.config, desk.directory)
    assert start.waiting
    assert start.settings.environments == {}
    desk.open()
    assert not in_force(desk.config, desk.directory).waiting
    assert [len(s.environments) for s in desk.used] == [1]


# -- the rules ------------------------------------------------------------------------------------------------------------------


def test_the_rules_that_everything_reads(tmp_path: Path) -> None:
    path = tmp_path / "cockpit.toml"
    path.write_text(
        "[groups]\nrelease=['A@x.org','b@x.org']\nrisk=['c@x.org']\n"
        "[services.a]\nrepository='a'\none_way={'2.0'='new form'}\nsafe_until={'1.5'='2026-12-01','1.6'='1.7'}\n"
        "[services.b]\nrepository='b'\n"
        "[environments.staging]\n[environments.production]\napprovals=2\ngroups=['release','risk']\nquorum={risk=1}\napart=['author','deployer']\n"
        "expires_h=2\nstrategy='s'\nfreezes=['funding-8h']\nlock='always'\n"
        "[approvals]\nallowed_signers='signers'\n[overrides]\nfreeze=['risk']\n[checks]\nrequired=['unit']\n"
        "[strategies.s]\nsteps=[{do='deploy',nodes=['1']},{do='bake',seconds=5},{do='deploy',nodes=['rest']}]\n"
        "[sets.both]\nservices=['a','b']\non_failure='back'\n"
    )
    settings = load(path)
    rules = rules_of(settings)
    everybody = frozenset({"a@x.org", "b@x.org", "c@x.org"})
    assert rules.approval("production") == ApprovalRule(
        required=2,
        groups=("release", "risk"),
        members=everybody,
        quorums=(Quorum("risk", frozenset({"c@x.org"}), 1),),
        apart=frozenset({"author", "deployer"}),
        expires_s=7200.0,
        signed=True,
    )
    assert rules.approval("staging").required == 0
    assert {e.name: e.approvals_required for e in settings.domain_environments()} == {"staging": 0, "production": 2}
    assert (rules.freezes, rules.locks) == ({"production": ("funding-8h",)}, {"staging": "auto", "production": "always"})
    assert [s.do for s in rules.strategies["production"].steps] == ["deploy", "bake", "deploy"]
    assert rules.may == {"freeze": frozenset({"c@x.org"}), "emergency": frozenset()}
    declared = rules.declared["a"]
    assert (declared["2.0"].way, declared["2.0"].reason) == (Way.ONE_WAY, "new form")
    assert declared["1.5"].until_us == 1_796_083_200_000_000
    assert (declared["1.6"].way, declared["1.6"].until_version) == (Way.UNTIL, "1.7")
    assert rules.sets == {"both": ServiceSet("both", ("a", "b"), "back")}
    assert rules.required_checks == ("unit",)


def test_nobody_clears_where_the_group_is_wrong_and_everybody_where_none_is_named(tmp_path: Path) -> None:
    from cockpit.storage.settings import load_lenient

    path = tmp_path / "cockpit.toml"
    path.write_text("[overrides]\nclear=['nope']\n")
    assert rules_of(load_lenient(path)[0]).may["clear"] == frozenset()
    path.write_text("")
    assert "clear" not in rules_of(load_lenient(path)[0]).may


def test_what_did_not_change_is_not_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(ME + TWO)
    desk.open()
    desk.look()
    with monkeypatch.context() as patched:
        patched.setattr("cockpit.policy.merged", lambda *_: pytest.fail("read again, on the main thread"))
        patched.setattr(desk.keeper, "_change", lambda *_: None)
        for _ in range(3):
            desk.look()
    assert desk.approvals == 2
    desk.write(ME.replace("You@", "me@") + TWO)
    desk.look()
    assert desk.keeper.settings.me.email.startswith("me@"), "a person's own sections count at once"
