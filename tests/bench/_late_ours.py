"""The real window on a data directory, with a meter in its event loop. Arguments: data directory, output, warm-up s, seconds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

from _meter import Meter
from PySide6.QtWidgets import QApplication

from ui.__main__ import main

app = QApplication(["release-cockpit"])
meter = Meter(Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
sys.exit(main(["--data-dir", sys.argv[1]]))
