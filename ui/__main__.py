"""Entry point: without a subcommand the window, with one the terminal. Nothing of Qt is imported for the terminal."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cockpit.app import Cockpit
    from cockpit.paths import Paths
    from ui.theme import Theme

# The benchmark of the start: the moment of the first paint is written to the file named here, and the window ends. The stamp is
# CLOCK_MONOTONIC, which all processes of a machine share on Linux, so that the starter can subtract its own.
FIRST_PAINT = "RELEASE_COCKPIT_FIRST_PAINT"
INTERRUPTED = 130  # what shells expect of a program that Ctrl+C ended
# pyqtgraph asks for Qt's classes: ChartLoader has to make them on this thread before it is imported in another
HEAVY = ("numpy", "requests", "git", "keyring")


def main(argv: list[str] | None = None) -> int:
    """Run the window or one command; answers the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    options = _options(_window_words(arguments))
    if options is None:
        from cockpit import cli

        return int(cli.main(arguments))
    if not _display():
        sys.stderr.write("There is no display. Set QT_QPA_PLATFORM=offscreen, or use a command: release-cockpit --help\n")
        return 1
    return _window(options)


class _Options:
    """What the window may be told on its command line."""

    def __init__(self) -> None:
        self.data_dir: Path | None = None
        self.read_only = False
        self.theme = ""
        self.selection = ""
        self.repository: Path | None = None
        self.service = ""
        self.live = ""


def _window_words(arguments: list[str]) -> list[str]:
    """`open PATH --window ...` is the window on a repository: `--repository PATH ...`."""
    words = [word for word in arguments if word != "--window"]
    if len(words) == len(arguments) or "open" not in words[:-1]:
        return arguments
    at = words.index("open")
    return [*words[:at], "--repository", *words[at + 1 :]]


_VALUES = ("--data-dir", "--theme", "--selection", "--repository", "--service", "--live")


def _options(arguments: list[str]) -> _Options | None:
    """The window's options, or None where anything else was typed: then it is a command, and its parser says what is wrong."""
    options, rest = _Options(), list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name == "--read-only" and not equals:
            options.read_only = True
            continue
        if name not in _VALUES or not (equals or rest):
            return None
        value = value if equals else rest.pop(0)
        if name == "--theme" and value not in ("dark", "light", "contrast"):
            return None
        setattr(options, name[2:].replace("-", "_"), Path(value) if name in ("--data-dir", "--repository") else value)
    return options


def _display() -> bool:
    """Whether a window can open; asked before Qt, which would abort the process."""
    wanted = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in wanted)


def _window(options: _Options) -> int:
    gc.disable()  # collections while modules are imported find nothing and cost a sixth of the start
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _import_msgspec()
    # before Qt, whose hook reads the source of each module that is imported after it
    importlib.import_module("cockpit.app")
    from cockpit.domain.errors import CockpitError
    from cockpit.paths import find_paths
    from ui.qt_import import import_qt

    import_qt()
    from PySide6.QtCore import QSettings

    from ui import crash, theme
    from ui.bridge import QtMainThread

    app = _application()
    paths, main_thread = find_paths(options.data_dir), QtMainThread(started=False)
    try:
        cockpit = _core(options, paths, main_thread)
    except CockpitError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    restore = crash.install(cockpit.notices, main_thread.post)
    settings = QSettings(str(paths.data / "window.ini"), QSettings.Format.IniFormat)
    if options.selection:
        settings.setValue("selection", options.selection)
    name = options.theme or str(settings.value("theme", "")) or cockpit.settings.window.theme

    def dress() -> None:
        main_thread.start()
        theme.apply(app, name)

    try:
        return _run(app, cockpit, paths, settings, theme.THEMES.get(name, theme.THEMES["dark"]), dress)
    finally:
        restore()
        cockpit.close()
        main_thread.close()
        gc.enable()


def _core(options: _Options, paths: Paths, main_thread: Any) -> Cockpit:
    from cockpit.app import build, build_on_repository

    if options.repository is not None:
        return build_on_repository(paths, main_thread, options.repository, options.service, options.live)
    return build(paths, main_thread, read_only=options.read_only, whole=False)


def _application() -> Any:
    from PySide6.QtWidgets import QApplication

    from ui import theme

    running = QApplication.instance()
    app = running if isinstance(running, QApplication) else QApplication(["release-cockpit", "-style", "fusion"])
    if running is None:
        app.setProperty(theme.STYLE, "fusion")
    app.setApplicationName("release-cockpit")
    app.setApplicationDisplayName("Release Cockpit")
    return app


def _import_msgspec() -> None:
    """msgspec without typing_extensions, which it loads where it is installed, and does without where it is not."""
    if "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]


def _run(app: Any, cockpit: Cockpit, paths: Paths, settings: Any, look: Theme, dress: Callable[[], None]) -> int:
    from ui.main_window import MainWindow
    from ui.startup import AfterPaint, Collector, interruptible

    window = MainWindow(cockpit, settings, look=look)
    stamp = os.environ.get(FIRST_PAINT, "")
    ends: list[Callable[[], None]] = []

    def then() -> None:
        if stamp:
            _painted(app, stamp, window)
        else:
            from ui.widgets.chart_loader import load_ahead

            dress()
            cockpit.complete()
            window.complete()
            Collector(window)
            load_ahead(window)
            ends.append(_begin(cockpit, paths))
            ends.insert(0, _calls(cockpit, window))

    after = AfterPaint(window, then, HEAVY if not stamp else ())
    window.first_look.when_painted(after.begin)
    window.show()
    with interruptible(app) as interrupted:
        status = int(app.exec())
    window.close()
    after.wait()
    window.deleteLater()
    for end in ends:
        end()
    return INTERRUPTED if interrupted() else status


def _painted(app: Any, stamp: str, window: Any) -> None:
    """The moment, and below it what the overview shows, one line a cell, so that an empty window counts for nothing."""
    now_ns = time.monotonic_ns()
    cells = [cell for _, row in window.first_look.rows for cell in row]
    Path(stamp).write_text("\n".join([str(now_ns), *(cell.sentence for cell in cells)]), encoding="utf-8")
    app.quit()


def _begin(cockpit: Cockpit, paths: Paths) -> Callable[[], None]:
    """The window can be seen: now the log, the playground, and the first questions. Answers what closes the log."""
    from cockpit.app import embedded_playground
    from ui import crash

    close = crash.log_to(paths.log, cockpit.notices.hidden) if not cockpit.read_only else crash.no_log
    cockpit.start(None if cockpit.read_only else embedded_playground(paths))
    return close


def _calls(cockpit: Cockpit, window: Any) -> Callable[[], None]:
    """From now on a person is called by desktop notification and sound. Answers what ends it."""
    from ui import notify

    return notify.begin(cockpit, window)


if __name__ == "__main__":
    sys.exit(main())
