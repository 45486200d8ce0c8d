"""Sounds: no player, players that cannot start, fail and hang; then the files themselves."""

from __future__ import annotations

import struct
import sys
import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ui import chime
from ui.chime import Chime, made, samples


@pytest.fixture
def make(qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`make(name=script)` is a Chime with these players, and the list of its bells."""
    created: list[Chime] = []
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def build(**scripts: str) -> tuple[Chime, list[str]]:
        for name, script in scripts.items():
            path = folder / name
            path.write_text(script)
            path.chmod(0o755)
        bells: list[str] = []
        created.append(Chime(lambda: bells.append("bell"), players=tuple(scripts)))
        return created[-1], bells

    yield build
    for player in created:
        player.close()


def script(folder: Path, name: str, code: int = 0, more: str = "") -> str:
    return f'#!{sys.executable}\nimport sys, time\nopen({str(folder / name)!r}, "a").write(sys.argv[1] + "\\n")\n{more}\nsys.exit({code})\n'


def test_without_a_player_or_a_file_the_bell_rings(make: Callable[..., Any], tmp_path: Path) -> None:
    player, bells = make()
    player.play(tmp_path / "x.wav")
    player.play(None)
    assert bells == ["bell", "bell"]
    assert not player.playing


def test_one_that_cannot_start_and_one_that_fails_are_left_for_the_next(make: Callable[..., Any], qtbot: Any, tmp_path: Path) -> None:
    heard = tmp_path / "good"
    scripts = {"broken": "#!/no/such/interpreter\n", "silent": script(tmp_path, "silent", 1), "good": script(tmp_path, "good")}
    player, bells = make(**scripts)
    player.play(tmp_path / "a b.wav")
    qtbot.waitUntil(lambda: heard.exists() and not player.playing)
    player.play(tmp_path / "-c.wav")
    qtbot.waitUntil(lambda: len(heard.read_text().splitlines()) == 2 and not player.playing)
    assert heard.read_text().splitlines() == [str(tmp_path / "a b.wav"), str(tmp_path / "-c.wav")]
    assert len((tmp_path / "silent").read_text().splitlines()) == 1, "it is not tried again"
    assert bells == []


def test_after_the_last_one_failed_the_bell_rings(make: Callable[..., Any], qtbot: Any, tmp_path: Path) -> None:
    player, bells = make(silent=script(tmp_path, "silent", 1))
    player.play(tmp_path / "x.wav")
    qtbot.waitUntil(lambda: bells == ["bell"])
    assert not player.playing


def test_one_that_hangs_is_ended_and_meanwhile_nothing_piles_up(
    make: Callable[..., Any], qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chime, "PLAYING_MS", 600)
    player, bells = make(hangs=script(tmp_path, "hangs", 0, "sys.stdin = open(0); import threading; threading.Event().wait()"))
    player.play(tmp_path / "x.wav")
    player.play(tmp_path / "y.wav")
    qtbot.waitUntil(lambda: bells == ["bell"])
    assert not player.playing


def test_closing_ends_what_plays(make: Callable[..., Any], qtbot: Any, tmp_path: Path) -> None:
    player, bells = make(hangs=script(tmp_path, "hangs", 0, "import threading; threading.Event().wait()"))
    player.play(tmp_path / "x.wav")
    qtbot.waitUntil((tmp_path / "hangs").exists)
    player.close()
    assert (player.playing, bells) == (False, [])


def test_the_files_are_two_short_sounds_that_do_not_click(tmp_path: Path) -> None:
    assert samples("bad") != samples("urgent")
    for kind in ("bad", "urgent"):
        path = made(tmp_path / "new" / "sounds", kind)
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
            seconds = file.getnframes() / file.getframerate()
            content = file.readframes(file.getnframes())
        assert 0.2 < seconds < 0.8
        levels = struct.unpack(f"<{len(content) // 2}h", content)
        assert 8_000 < max(levels) < 16_000
        assert abs(levels[0]) + abs(levels[-1]) < 200
        assert max(abs(a - b) for a, b in pairwise(levels)) < 4_000


def test_a_file_that_was_cut_short_is_made_anew_and_a_good_one_stays(tmp_path: Path) -> None:
    path = made(tmp_path, "bad")
    whole, written = path.read_bytes(), path.stat().st_mtime_ns
    assert made(tmp_path, "bad").stat().st_mtime_ns == written
    path.write_bytes(whole[:100])
    assert made(tmp_path, "bad").read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["bad.wav"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        made(tmp_path / "file" / "sounds", "bad")
