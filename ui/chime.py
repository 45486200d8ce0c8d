"""Short sounds, made by ourselves and played by whatever player the machine has, in a process of its own; the bell where there is none."""

from __future__ import annotations

import math
import os
import shutil
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PySide6.QtCore import QObject, QProcess, QTimer

PLAYERS: Final = ("pw-play", "paplay", "aplay")
PLAYING_MS: Final = 5000  # a player that takes longer hangs
_RATE: Final = 22_050
_LOUD: Final = 0.35
# (Hz, s): two notes that fall; three that rise
_NOTES: Final = {"bad": ((659.3, 0.14), (523.3, 0.26)), "urgent": ((587.3, 0.12), (740.0, 0.12), (880.0, 0.34))}


def samples(kind: str) -> bytes:
    """The sound as 16-bit mono samples; each note swells and fades, so that nothing clicks."""
    found = bytearray()
    for hertz, seconds in _NOTES[kind]:
        count = int(_RATE * seconds)
        for i in range(count):
            swell = min(1.0, i / (0.01 * _RATE)) * (1.0 - i / count) ** 1.5
            found += struct.pack("<h", round(32_767 * _LOUD * swell * math.sin(2 * math.pi * hertz * i / _RATE)))
    return bytes(found)


def made(folder: Path, kind: str) -> Path:
    """The file of that sound, made where it is not there or was cut short. Any thread. OSError where it cannot be."""
    path = folder / f"{kind}.wav"
    content = samples(kind)
    if path.is_file() and path.stat().st_size == len(content) + 44:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f"{kind}.{os.getpid()}.half"
    with wave.open(str(half), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(content)
    half.replace(path)
    return path


class Chime(QObject):
    """Plays files, one at a time, and waits for none. A player that fails is not tried again; after the last one `bell` rings."""

    def __init__(self, bell: Callable[[], None], parent: QObject | None = None, players: tuple[str, ...] = PLAYERS) -> None:
        super().__init__(parent)
        self._bell = bell
        self._players = [found for name in players if (found := shutil.which(name))]
        self._process: QProcess | None = None
        self._path = ""
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.setInterval(PLAYING_MS)
        self._late.timeout.connect(self._too_long)

    @property
    def playing(self) -> bool:
        """Whether a player is at it."""
        return self._process is not None

    def play(self, path: Path | None) -> None:
        """Begin to play; None, for a file that could not be made, is the bell."""
        if self._process is not None:
            return
        if path is None or not self._players:
            self._bell()
            return
        self._path = str(path)
        self._process = QProcess(self)
        self._process.setStandardOutputFile(QProcess.nullDevice())
        self._process.setStandardErrorFile(QProcess.nullDevice())
        self._process.finished.connect(self._finished)
        self._process.errorOccurred.connect(self._failed)
        self._late.start()
        self._process.start(self._players[0], [self._path])

    def _finished(self, code: int, how: QProcess.ExitStatus) -> None:
        self._ended(code == 0 and how is QProcess.ExitStatus.NormalExit)

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error is QProcess.ProcessError.FailedToStart:
            self._ended(False)

    def _too_long(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _ended(self, played: bool) -> None:
        self._late.stop()
        process, self._process = self._process, None
        if process is None:
            return
        process.deleteLater()
        if not played:
            del self._players[0]
            self.play(Path(self._path))

    def close(self) -> None:
        """Silence."""
        self._late.stop()
        process, self._process = self._process, None
        if process is not None:
            process.finished.disconnect(self._finished)
            process.errorOccurred.disconnect(self._failed)
            process.kill()
            process.waitForFinished(1000)
            process.deleteLater()
