"""One connection in a settings file: mistakes, races and files that cannot be written first; then nothing else in the file moves."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.errors import ConfigError, NotAllowed, StorageError
from cockpit.storage import settings_edit
from cockpit.storage.settings_edit import connection_in, first_file, new_problems, replace_file, snippet, with_connection

FILE = b"""# the desk's settings
[services.gw]   # one
repository = "repo"

[connections.ci] # CI of the desk
kind = "ci-v1"
url = "https://ci.example.org"  # behind the VPN
interval_s = 5

# what must pass
[checks]
required = []

[connections.deployer]
# asks for a token
kind = "deployment-v1"
url = "https://deploy.example.org"
# the end
"""
CI = {"kind": "ci-v1", "url": "https://ci.example.org", "interval_s": 5}


def test_what_is_no_toml_is_left_alone() -> None:
    for broken in (b"[connections\n", b"\xff\xfe", b"a = 1\na = 2\n"):
        with pytest.raises(ConfigError, match="nothing can be added"):
            with_connection(broken, "x", {"kind": "git"}, None)


def test_a_name_that_is_taken_and_one_that_changed_meanwhile() -> None:
    with pytest.raises(NotAllowed, match="already"):
        with_connection(FILE, "ci", {"kind": "git"}, None)
    with pytest.raises(NotAllowed, match="was changed"):
        with_connection(FILE, "ci", CI, {"kind": "ci-v1", "url": "https://old.example.org"})
    with pytest.raises(NotAllowed, match="was removed"):
        with_connection(FILE, "gone", None, {"kind": "ci-v1"})


def test_a_form_that_leaves_no_room_is_said() -> None:
    with pytest.raises(NotAllowed, match="no room"):
        with_connection(b"connections = {ci = {kind = 'ci-v1'}}\n", "more", {"kind": "git", "path": "/x"}, None)


def test_a_new_one_comes_at_the_end_and_the_rest_stays_to_the_byte() -> None:
    after = with_connection(FILE, "my-git", {"kind": "git", "path": "/src", "services": ["gw"], "n": 5}, None)
    assert after.startswith(FILE)
    assert tomllib.loads(after.decode())["connections"]["my-git"] == {"kind": "git", "path": "/src", "services": ["gw"], "n": 5}


def test_a_change_touches_one_line_and_keeps_the_comments() -> None:
    after = with_connection(FILE, "ci", CI | {"url": "https://new.example.org"}, CI)
    before_lines, after_lines = FILE.decode().splitlines(), after.decode().splitlines()
    differ = [(a, b) for a, b in zip(before_lines, after_lines, strict=True) if a != b]
    assert len(differ) == 1
    assert differ[0][1].startswith('url = "https://new.example.org"')
    assert differ[0][1].endswith("# behind the VPN")


def test_removing_takes_that_table_alone() -> None:
    after = with_connection(FILE, "ci", None, CI)
    said = tomllib.loads(after.decode())
    assert list(said["connections"]) == ["deployer"]
    assert b"# what must pass" in after or b"[checks]" in after
    assert b"# asks for a token" in after
    assert connection_in(after, "ci") is None


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("below", ["[poll]\ninterval_s = 2.0 # seconds\n", "[[extra]]\nn = 1\n", ""])
def test_removing_keeps_the_comments_that_speak_of_what_follows(end: str, below: str) -> None:
    ci = '[connections.ci]\nkind = "ci-v1" # ours\nurl = "http://a"\n'
    rest = f"# agreed with the exchange: never below 2 s\n# ünder no circumstances\n{below}"
    whole = f"# top\n[connections.zz]\nkind = 'git'\n\n{ci}\n{rest}".replace("\n", end).encode()
    after = with_connection(whole, "ci", None, {"kind": "ci-v1", "url": "http://a"})
    assert after == f"# top\n[connections.zz]\nkind = 'git'\n\n{rest}".replace("\n", end).encode()


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    windows = b"\xef\xbb\xbf" + FILE.replace(b"\n", b"\r\n")
    after = with_connection(windows, "x", {"kind": "git", "path": "/x"}, None)
    assert after.startswith(windows)
    assert b"\n" not in after.replace(b"\r\n", b"")
    changed = with_connection(windows, "ci", CI | {"url": "https://n.example.org"}, CI)
    assert b"\n" not in changed.replace(b"\r\n", b"")


def test_a_first_file_and_its_first_connection() -> None:
    text = with_connection(first_file(("gw", "a b")), "hub", {"kind": "git", "path": "/x"}, None)
    said = tomllib.loads(text.decode())
    assert said == {"services": {"gw": {}, "a b": {}}, "connections": {"hub": {"kind": "git", "path": "/x"}}}
    assert tomllib.loads(snippet("a b", {"kind": "git"})) == {"connections": {"a b": {"kind": "git"}}}


@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1), st.text() | st.integers(-9, 9) | st.booleans()))
def test_any_value_comes_back_as_it_went_in(values: dict[str, Any]) -> None:
    after = with_connection(FILE, "x", values, None)
    assert connection_in(after, "x") == values
    assert tomllib.loads(with_connection(after, "x", None, values).decode()) == tomllib.loads(FILE.decode())


def test_only_new_mistakes_count(tmp_path: Path) -> None:
    path = tmp_path / "cockpit.toml"
    old = b"[windwo]\n[services.gw]\nrepository = 'r'\n"
    assert new_problems(old, old + b"[connections.x]\nkind = 'git'\n", path) == ()
    assert new_problems(old, old + b"[connections.x]\nkind = 'git'\nurl = 'x'\n", path)[0].startswith("connections.x.url:")


# -- the disk ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "cockpit.toml"
    found.write_bytes(FILE)
    found.chmod(0o640)
    return found


def alone(path: Path) -> None:
    assert [p.name for p in path.parent.iterdir()] == [path.name], "a temporary file was left"


def test_a_file_that_changed_or_appeared_meanwhile_is_kept(path: Path) -> None:
    with pytest.raises(NotAllowed, match="changed meanwhile"):
        replace_file(path, b"what was read", b"new")
    with pytest.raises(NotAllowed, match="changed meanwhile"):
        replace_file(path, None, b"new")
    assert path.read_bytes() == FILE
    alone(path)


def test_a_read_only_file_is_kept(path: Path) -> None:
    path.chmod(0o444)
    with pytest.raises(StorageError, match="read-only"):
        replace_file(path, FILE, b"new")
    assert path.read_bytes() == FILE
    alone(path)


def test_a_disk_that_is_full_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(settings_edit.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        replace_file(path, FILE, b"new")
    assert path.read_bytes() == FILE
    alone(path)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        replace_file(tmp_path / "file" / "cockpit.toml", None, b"new")


def test_it_is_replaced_with_its_rights_and_through_a_link(path: Path) -> None:
    link = path.parent / "link.toml"
    link.symlink_to(path.name)
    replace_file(link, FILE, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_a_new_file_is_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cockpit.toml"
    replace_file(path, None, b"x = 1\n")
    assert path.read_bytes() == b"x = 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
