"""The core as a whole: built on bad disks and bad settings, restored, shared by two windows."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cockpit.app import build, build_on, config_in_use, embedded_playground
from cockpit.domain.approvals import Approval
from cockpit.domain.checks import CheckRun, CheckState
from cockpit.domain.facts import Fact
from cockpit.domain.metrics import Histogram
from cockpit.domain.release import Version
from cockpit.domain.rollout import Action, ActionState
from cockpit.paths import find_paths
from cockpit.services.runtime import LoopMainThread
from cockpit.services.store import SourceHealth
from cockpit.storage.database import open_database
from cockpit.storage.journal import Journal
from cockpit.storage.settings import Settings
from tests.fakes.running import FakeMain

GOOD = """
[me]
name = "Ada"
email = "ada@example.org"
[services.gw]
repository = "repo"
[environments.prod]
approvals = 1
"""


def a_config(folder: Path, text: str = GOOD) -> Any:
    paths = find_paths(folder)
    paths.data.mkdir(parents=True, exist_ok=True)
    paths.config.write_text(text, encoding="utf-8")
    return paths


def test_a_new_directory_opens_empty(tmp_path: Path) -> None:
    cockpit = build(find_paths(tmp_path / "new"), LoopMainThread())
    assert cockpit.store.state.services == ()
    assert cockpit.notices.history == ()
    assert not cockpit.read_only
    cockpit.close()


def test_what_was_known_is_there_at_the_next_start_with_its_age(tmp_path: Path) -> None:
    paths = a_config(tmp_path)
    first = build(paths, LoopMainThread())
    versions = (Version("gw", "1.0.0", "v1.0.0", "c", 5),)
    first.store.merge("versions", {"gw": Fact(versions, 1_000_000, "git", 15.0), "gone": Fact((), 1, "git")})
    first.store.merge("sources", {"git": SourceHealth("git", "git", "git", 1_000_000)})
    first.close()
    second = build(paths, LoopMainThread())
    assert second.store.state.versions == {"gw": Fact(versions, 1_000_000, "git", 15.0)}
    assert second.store.state.versions["gw"].stale(second.clock_us())
    assert second.store.state.services[0].repository == str(tmp_path / "repo")
    second.close()


def test_three_mistakes_are_told_at_once_and_the_rest_is_used(tmp_path: Path) -> None:
    bad = GOOD.replace("approvals", "aprovals") + '[pol]\ninterval_s = 1\n[window]\ntheme = "drak"\n'
    cockpit = build(a_config(tmp_path, bad), LoopMainThread())
    [notice] = [n for n in cockpit.notices.history if n.key == "settings"]
    assert len(notice.message.splitlines()) == 3
    assert '"approvals"' in notice.message
    assert '"poll"' in notice.message
    assert [s.name for s in cockpit.store.state.services] == ["gw"]
    cockpit.close()


def test_a_corrupt_database_is_set_aside_and_said(tmp_path: Path) -> None:
    paths = a_config(tmp_path)
    paths.database.write_bytes(b"this is no database" * 1000)
    cockpit = build(paths, LoopMainThread())
    assert any("cockpit.sqlite.corrupt" in n.message for n in cockpit.notices.history)
    assert [p.read_bytes()[:4] for p in tmp_path.glob("cockpit.sqlite.corrupt*")] == [b"this"]
    assert not cockpit.read_only
    cockpit.close()


def test_samples_of_the_heat_maps_are_there_at_the_next_start(tmp_path: Path) -> None:
    paths, seen = a_config(tmp_path), Histogram((0.01, 1.0), (3.0, 4.0))
    main = LoopMainThread()
    first = build(paths, LoopMainThread())
    first.latency.digest.fresh.append(("gw@prod/*/*", first.clock_us() - 1_000_000, seen))
    first.latency.add([])
    first.close()
    second = build(paths, main)
    assert second.latency.heat("gw@prod/*/*") is None, "read in a worker"
    assert main.run_until(lambda: second.latency.heat("gw@prod/*/*") is not None, 20)
    third = build(paths, LoopMainThread())
    assert third.read_only
    assert third.latency.heats.store is None, "who only reads writes no samples"
    third.close()
    second.close()


def test_a_second_window_reads_only_and_a_command_may_act(tmp_path: Path) -> None:
    paths = a_config(tmp_path)
    first = build(paths, LoopMainThread())
    second = build(paths, LoopMainThread())
    command = build(paths, LoopMainThread(), owner=False)
    assert not first.read_only
    assert "another window" in second.read_only
    assert any(n.title == "Read-only" for n in second.notices.history)
    assert not command.read_only
    for cockpit in (command, second, first):
        cockpit.close()


def test_a_data_directory_that_cannot_be_written_still_opens(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    cockpit = build(find_paths(blocked / "data"), LoopMainThread())
    assert cockpit.read_only
    assert any("only reads" in n.message for n in cockpit.notices.history)
    cockpit.close()


def test_a_connection_that_cannot_be_made_is_said_and_the_others_run(tmp_path: Path) -> None:
    text = GOOD + '[connections.ci]\nkind = "ci-v2"\nurl = "http://127.0.0.1:1"\n'
    main = LoopMainThread()
    cockpit = build(a_config(tmp_path, text), main)
    cockpit.connect()
    assert main.run_until(lambda: cockpit.ready, 20)
    assert [c.id for c in cockpit.connections.all] == ["git:repo"]
    assert any("ci-v1" in n.hint + n.message for n in cockpit.notices.history)
    cockpit.close()


def test_the_playground_is_for_those_without_settings(tmp_path: Path) -> None:
    paths = find_paths(tmp_path)
    assert config_in_use(paths) is None
    assert embedded_playground(paths) is not None
    a_config(tmp_path)
    assert config_in_use(paths) == paths.config
    assert embedded_playground(paths) is None


def test_a_playground_that_does_not_start_is_said_with_its_way_out(tmp_path: Path) -> None:
    class Broken:
        def start(self, directory: Path, progress: Any) -> None:
            progress("Starting order-gateway")
            raise OSError("no free port")

        def regime(self, directory: Path) -> str:
            raise OSError("down")

        def set_regime(self, directory: Path, regime: str) -> str:
            raise OSError("down")

    main = LoopMainThread()
    cockpit = build(find_paths(tmp_path), main)
    cockpit.start(Broken())
    assert main.run_until(lambda: any("no free port" in n.message for n in cockpit.notices.history), 20)
    assert cockpit.playground is not None
    cockpit.playground.set_regime("volatile")
    assert main.run_until(lambda: any("traffic" in n.title for n in cockpit.notices.history), 20)
    cockpit.close()


@pytest.mark.parametrize("module", ["cockpit.app", "cockpit.services.actions"])
def test_the_core_is_imported_without_anything_heavy(module: str) -> None:
    heavy = ["numpy", "requests", "git", "keyring", "pyqtgraph", "prometheus_client", "zstandard", "PySide6"]
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def a_vote(cockpit: Any, approved: bool, who: str) -> Approval:
    vote = Approval("gw", "1.0.0", "prod", "c", "d", who, who, approved, "because", cockpit.clock_us())
    detail = {name: getattr(vote, name) for name in vote.__struct_fields__}
    cockpit.journal.append("note", f"vote of {who}", "approve" if approved else "reject", who, "gw", "prod", detail)
    return vote


def test_what_a_terminal_records_shows_in_every_open_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cockpit.core.DECISIONS_S", 0.02)
    paths, mains = a_config(tmp_path), (LoopMainThread(), LoopMainThread())
    command = build(paths, LoopMainThread(), owner=False)
    before = a_vote(command, True, "early@example.org")
    first, second = (build(paths, main) for main in mains)
    assert second.read_only
    assert first.store.state.approvals == second.store.state.approvals == (before,)
    for window in (first, second):
        window.start()
    votes = (before, a_vote(command, True, "bob@example.org"), a_vote(command, False, "eve@example.org"))
    for window, main in ((first, mains[0]), (second, mains[1])):
        assert main.run_until(lambda window=window: window.store.state.approvals == votes, 20)  # type: ignore[misc]
    for cockpit in (command, second, first):
        cockpit.close()


def test_an_open_window_takes_up_what_a_process_left_that_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cockpit.core.RECOVER_S", 0.02)
    main = LoopMainThread()
    window = build(a_config(tmp_path), main)
    window.start()
    assert main.run_until(lambda: window.ready, 20)
    action = Action("left", "deploy", "gw", "prod", "1", "d1", "2", "d2", "Bob", ActionState.INTENDED, window.clock_us())
    dead = f"{platform.node()}:{2**22 + 1}:1"
    database = open_database(window.paths.database)
    Journal(database, dead, window.clock_us).append("intent", "left", "deploy", "Bob", "gw", "prod", msgspec.to_builtins(action))
    database.close()
    assert main.run_until(lambda: "left" in window.store.state.actions, 20)
    window.close()


def test_saving_cuts_back_what_only_grows_in_a_window_that_only_reads_too(tmp_path: Path) -> None:
    main = LoopMainThread()
    window = build(a_config(tmp_path), main)
    second = build(window.paths, main)
    for cockpit in (window, second):
        run = CheckRun("r", "gw", "1", "c", CheckState.PASSED)
        cockpit.store.apply(runs={f"r{n}": Fact(run, n, "ci") for n in range(100)})
        cockpit.save()
        assert len(cockpit.store.state.runs) == 32
    second.close()
    window.close()


def test_timers_end_with_the_window(tmp_path: Path, fake_clock: Any) -> None:
    main = FakeMain(fake_clock)
    window = build(a_config(tmp_path), main, clock_us=fake_clock)
    window.start()
    main.run_for(200)
    window.close()
    main.run_for(200)
    assert not any(cell for _, _, cell in main._timers)


def test_a_window_on_a_repository_without_a_journal_runs(tmp_path: Path, fake_clock: Any) -> None:
    main = FakeMain(fake_clock)
    window = build_on(find_paths(tmp_path), main, Settings(), fake_clock)
    window.start()
    main.run_for(200)
    assert window.actions.entries_of("k") == ()
    window.close()
