"""The guided tour: both stories in the real window, a picture of each step, the journal, and the figures.

`python -m tests.e2e.tour [FOLDER]`, on a display (Xvfb serves); FOLDER defaults to build/tour.
"""

from __future__ import annotations

import os
import sys
import time

STARTED = time.monotonic()

from pathlib import Path  # noqa: E402 - the clock starts before everything else
from shutil import rmtree  # noqa: E402


def main() -> int:
    """Tell the story; answers 0 when every step came true."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from PySide6.QtWidgets import QApplication, QWidget

    from tests.e2e.story_trust import TrustStory
    from tests.e2e.story_watch import WatchStory
    from ui import theme

    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/tour")
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    app = QApplication(["release-cockpit"])
    theme.apply(app, "dark")

    def picture(name: str, window: QWidget) -> None:
        if not story.figures:
            story.figures["time to first window"] = time.monotonic() - STARTED
        # what the screen shows; where there is none, what the window would show
        screen = window.screen()
        shown = screen.grabWindow(window.winId()) if app.platformName() == "xcb" else window.grab()
        shown.save(str(folder / f"{name}.png"))
        print(f"  {time.monotonic() - STARTED:6.1f} s  {name}", flush=True)

    # the whole screen: 1280x800, or what `make tour SIZE=` made it
    size = app.primaryScreen().size().toTuple()
    story = TrustStory(folder / "data", picture, size)
    try:
        story.tell()
        entries = story.cockpit.actions.activity()
        (folder / "journal.json").write_text(story.cockpit.actions.export_activity(entries, "json"), encoding="utf-8")
        (folder / "journal.csv").write_text(story.cockpit.actions.export_activity(entries, "csv"), encoding="utf-8")
        verification = story.cockpit.actions.verify_journal()
    finally:
        story.close()
    watch = WatchStory(folder / "data-watch", lambda name, window: picture(name, window) if name >= "22" else None, size)
    try:
        watch.tell()
    finally:
        watch.close()
    print(f"\njournal: {verification.count} entries, {'verified' if verification.ok else verification.problems}")
    for name, seconds in story.figures.items():
        print(f"{name}: {seconds:.2f} s")
    print(f"pictures and the release record are in {folder}")
    return 0 if verification.ok else 1


if __name__ == "__main__":
    sys.exit(main())
