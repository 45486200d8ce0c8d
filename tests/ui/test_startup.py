"""What the start leans on: garbage in steps, the first paint told once, PySide's support modules compiled once."""

from __future__ import annotations

import builtins
import gc
import marshal
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QObject, QPoint, QSettings

from tests.bench.bench_startup import yesterday
from tests.fakes import believable
from tests.fakes.cockpit import FakeCockpit
from ui import qt_import, startup
from ui.__main__ import HEAVY
from ui.main_window import MainWindow
from ui.startup import AfterPaint, Collector
from ui.theme import THEMES, apply
from ui.views.first_look import HEADER_PX, MARGIN_PX, TABLE_PX, FirstLook
from ui.views.overview_cells import NAME_PX

ROOT = Path(__file__).resolve().parents[2]
IMPORT = (
    "import builtins, sys\n"
    "plain = builtins.__import__, builtins.compile\n"
    "from ui.qt_import import import_qt\n"
    "import_qt()\n"
    "assert (builtins.__import__, builtins.compile) == plain\n"
    "from PySide6.QtCore import QObject\n"
    "QObject().setObjectName('x')\n"
)

PAINTED = (
    "import enum, sys\n"
    "made, plain = [], enum.EnumType.__new__\n"
    "def new(kind, name, *rest, **more):\n"
    "    made.append(name)\n"
    "    return plain(kind, name, *rest, **more)\n"
    "enum.EnumType.__new__ = new\n"
    "from ui.__main__ import main\n"
    "status = main(['--data-dir', sys.argv[1]])\n"
    "print(status, *(m for m in sys.modules if m.partition('.')[0] in ('cockpit', 'ui')))\n"
    "print(*sys.modules)\n"
    "print(*made)\n"
)
# all of ours that the first paint waits for; what is not needed for yesterday's overview is imported after it
FIRST = {
    "cockpit": "app core paths policy_force policy_rules",
    "cockpit.domain": "alerts approvals calendar checks deeds dependencies errors facts fingerprint gates lines memo metrics policy "
    "preflight preflight_way readiness release reversibility rollout statements strategy watching",
    "cockpit.services": "calendars clock connections notices snapshot status store",
    "cockpit.storage": "chunks cross_check database history lock migrations policy_check policy_copy service_check settings "
    "settings_watch strategy_check validate",
    "ui": "__main__ bridge crash main_window qt_import startup theme",
    "ui.models": "text",
    "ui.views": "first_look overview_cells",
}
LATER = (
    "argparse asyncio concurrent ctypes difflib email git html http json keyring multiprocessing numpy pyqtgraph requests "
    "socket ssl subprocess urllib3"
)


def test_the_first_paint_waits_for_no_more_than_it_shows(tmp_path: Path) -> None:
    data = tmp_path / "data"
    yesterday(data)
    env = os.environ | {"RELEASE_COCKPIT_FIRST_PAINT": str(tmp_path / "stamp"), "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", PAINTED, str(data)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (status, *ours), modules, enums = (line.split() for line in done.stdout.splitlines())
    assert (status, len((tmp_path / "stamp").read_text("utf-8").splitlines())) == ("0", 1 + len(believable.LIVE))
    expected = {f"{package}.{name}" for package, names in FIRST.items() for name in names.split()}
    assert not set(ours) - expected - set(FIRST), "these can wait until something is on the screen"
    assert not set(LATER.split()) & set(modules)
    assert {"GlobalColor", "AlignmentFlag", "Key"}.isdisjoint(enums), "the Qt namespace was touched, with all its enums"


def started(cache: Path) -> Path:
    """Import Qt in a process of its own; answers the kept bytecode."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-X", f"pycache_prefix={cache}", "-c", IMPORT],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kept = list(cache.rglob("qt_import*.support"))
    assert len(kept) == 1
    return kept[0]


def test_damaged_bytecode_is_made_anew(tmp_path: Path) -> None:
    kept = started(tmp_path)
    for damage in (b"", b"\x00garbage", marshal.dumps([1])):
        kept.write_bytes(damage)
        started(tmp_path)
        assert marshal.loads(kept.read_bytes())


def test_only_what_nobody_needs_is_left_out(tmp_path: Path) -> None:
    """PySide's own words about a wrong call, which the support modules give, are there as before."""
    code = (
        "import sys\nfrom ui.qt_import import import_qt\nimport_qt()\nfrom PySide6.QtCore import QObject\n"
        "left = sys.modules['shibokensupport.signature.lib.pyi_generator']\n"
        "print([n for n in vars(left) if not n.startswith('__')])\n"
        "try:\n    QObject().setObjectName(left)\nexcept TypeError as error:\n    print('supported signatures' in str(error).lower())\n"
    )
    command = [sys.executable, "-X", f"pycache_prefix={tmp_path}", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == ["[]", "True"], done.stderr


def test_bytecode_that_cannot_be_kept_stops_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory", encoding="utf-8")
    qt_import._write(str(blocked / "kept"), {})
    assert qt_import._read(str(blocked / "kept")) == {}


def test_the_hooks_of_import_and_compile_are_put_back() -> None:
    before = builtins.__import__, builtins.compile
    qt_import.import_qt()
    assert (builtins.__import__, builtins.compile) == before


@pytest.fixture
def collecting() -> Iterator[list[Any]]:
    before = gc.isenabled()
    yield []
    gc.unfreeze()
    if before:
        gc.enable()


@pytest.mark.usefixtures("qapp", "collecting")
def test_garbage_is_collected_in_small_steps_and_seldom_whole(monkeypatch: pytest.MonkeyPatch, collecting: list[Any]) -> None:
    parent = QObject()
    collector = Collector(parent)
    assert not gc.isenabled()
    collector._timer.stop()
    monkeypatch.setattr(gc, "collect", collecting.append)
    monkeypatch.setattr(gc, "freeze", lambda: collecting.append("freeze"))
    for _ in range(startup.WHOLE_STEPS):
        collector._collect()
    assert collecting.count(2) == 1
    assert collecting.count("freeze") == 1
    assert collecting.index("freeze") == startup.FREEZE_STEP - 1
    assert collecting.count(0) > 15 * collecting.count(1) > 0
    parent.deleteLater()


def test_the_first_paint_is_told_once_and_what_is_heavy_comes_after_it(qtbot: Any) -> None:
    cockpit, told = FakeCockpit(), list[bool]()
    look = FirstLook(cockpit, THEMES["dark"])  # type: ignore[arg-type]
    qtbot.addWidget(look)
    look.resize(1280, 800)
    before = sys.getswitchinterval()
    after = AfterPaint(look, lambda: told.append(look.isVisible()), ["colorsys"])
    look.when_painted(after.begin)
    try:
        look.show()
        qtbot.waitUntil(lambda: bool(told))
        look.repaint()
        after.begin()
        after.wait()
        assert told == [True]
        assert "colorsys" in sys.modules
    finally:
        sys.setswitchinterval(before)


def test_what_is_imported_in_a_thread_leaves_qt_alone() -> None:
    """PySide makes a class where it is first asked for; a thread that does so beside the window's crashes."""
    assert HEAVY
    code = f"import importlib, sys\nfor name in {HEAVY}: importlib.import_module(name)\nprint([m for m in sys.modules if 'PySide' in m])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", ["dark", "light", "contrast"])
def test_the_first_look_stands_where_the_overview_comes(qtbot: Any, qapp: Any, name: str, tmp_path: Path) -> None:
    cockpit = FakeCockpit()
    cockpit.playground = None
    window = MainWindow(cockpit, QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat), look=THEMES[name])  # type: ignore[arg-type]
    qtbot.addWidget(window)
    window.show()
    first = window.first_look
    assert [service for service, _ in first.rows] == [s.name for s in cockpit.store.state.services]
    assert all(cell.age and cell.version for _, row in first.rows for cell in row)
    assert cockpit.store.state.services[0].name in first.accessibleDescription()
    painted = first.grab().toImage()
    assert len({painted.pixel(x, y) for x in range(12, 300, 3) for y in range(60, 400, 3)}) > 5, "something is drawn"
    apply(qapp, name)
    window.complete()
    qtbot.waitUntil(lambda: window.overview.matrix.viewport().mapTo(window, QPoint()).y() > HEADER_PX)
    box = window.overview.matrix.visualRect(window.overview.matrix.model().index(1, 0))
    top = window.overview.matrix.viewport().mapTo(window, box.topLeft())
    assert abs(top.y() - (HEADER_PX + TABLE_PX + NAME_PX)) <= 4, "nothing jumps when the rest arrives"
    assert abs(top.x() - MARGIN_PX) <= 4
    window.close()
