"""Text for people at a terminal: aligned columns, ages, states with shape and word; foreign text made harmless."""

from __future__ import annotations

import math
import os
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from msgspec import Struct

from cockpit.connectors.text import one_line
from cockpit.connectors.text import plain as harmless

NONE = "–"
CELL = 60  # characters of a cell at most; the whole text stands in the JSON
_MARKS = dict.fromkeys((0x061C, 0x200E, 0x200F), "\ufffd")  # these reorder text, too
_GROUPS = {
    ("●", "32"): "ok passed succeeded done approved yes verified",
    ("▲", "33"): "warning refused aborted high",
    ("■", "31"): "bad failed error blocked mixed rejected",
    ("◐", "36"): "running sent following verifying intended stopping starting checking",
    ("○", "36"): "pending queued",
    ("◇", "35"): "unknown inconclusive stopped",
    ("⏸", "2"): "held stale",
}
SHAPES = {word: look for look, words in _GROUPS.items() for word in words.split()} | {"not sent": ("▲", "33")}


class State(Struct, frozen=True):
    """A cell that shows a state: its word gives shape and colour, `words` (else the word itself) stands beside."""

    word: str
    words: str = ""


class Column(Struct, frozen=True):
    """A column of a table: its title, and whether numbers stand in it."""

    title: str
    right: bool = False
    limit: int = CELL


Cell = str | State


def plain(text: object, limit: int = 0) -> str:
    """Foreign text as one line that no terminal obeys."""
    return one_line(str(text), limit).translate(_MARKS)


def indented(text: str) -> str:
    """As `plain`, but spaces and tabs stay where they stand: for a line of a file."""
    return harmless(text.expandtabs(4).replace("\n", " ")).translate(_MARKS)


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def shown(cell: Cell, limit: int = CELL) -> str:
    """A cell as text; what is too long loses its middle, for both ends of a name tell it from others."""
    if isinstance(cell, State):
        return f"{SHAPES.get(cell.word, ('◇', ''))[0]} {plain(cell.words or cell.word)}"
    text = plain(cell)
    half = (limit - 1) // 2
    return text if len(text) <= limit else f"{text[:half]}…{text[len(text) - (limit - 1 - half) :]}"


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], colour: bool = False, indent: str = "") -> list[str]:
    """Lines of an aligned table with a heading."""
    texts = [[shown(cell, column.limit) for cell, column in zip(row, columns, strict=True)] for row in rows]
    titles = [column.title for column in columns]
    wide = [max(width(line[i]) for line in [titles, *texts]) for i in range(len(columns))]
    lines = [_line(titles, ["" for _ in columns], columns, wide, indent)]
    for row, cells in zip(rows, texts, strict=True):
        codes = [SHAPES.get(c.word, ("", ""))[1] if colour and isinstance(c, State) else "" for c in row]
        lines.append(_line(cells, codes, columns, wide, indent))
    return lines


def _line(cells: Sequence[str], codes: Sequence[str], columns: Sequence[Column], wide: Sequence[int], indent: str) -> str:
    parts = []
    for number, (cell, code, column) in enumerate(zip(cells, codes, columns, strict=True)):
        gap = " " * (wide[number] - width(cell))
        painted = f"\x1b[{code}m{cell}\x1b[0m" if code else cell
        last = number == len(columns) - 1 and not column.right
        parts.append(gap + painted if column.right else painted if last else painted + gap)
    return (indent + "  ".join(parts)).rstrip()


def state_text(word: str, words: str = "", colour: bool = False) -> str:
    """A state with its shape, for use in a sentence."""
    text, code = shown(State(word, words)), SHAPES.get(word, ("", ""))[1]
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text


def age_text(seconds: float | None) -> str:
    """12 s, 3 min, 5 h, 2 d; "never" where nothing was seen."""
    if seconds is None:
        return "never"
    for limit, unit_s, unit in ((60, 1, "s"), (3600, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{int(max(0.0, seconds) // unit_s)} {unit}"
    return f"{int(seconds // 86_400)} d"


def number_text(value: float | None, unit: str = "") -> str:
    """1.24, 12.4, 124, 1,240 with its unit; a dash where it is not known."""
    if value is None or not math.isfinite(value):
        return NONE
    places = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{places}f}{unit}"


def percent_text(ratio: float | None) -> str:
    """A ratio as a percentage that never rounds something to nothing."""
    if ratio is None or not math.isfinite(ratio):
        return NONE
    return "< 0.01 %" if 0 < ratio < 0.0001 else f"{ratio * 100:.2f} %" if ratio else "0 %"


def time_text(at_us: int) -> str:
    """2026-11-22 09:40:12 UTC."""
    try:
        return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC" if at_us > 0 else NONE
    except (OverflowError, ValueError, OSError):
        return NONE


def counted(n: int, word: str) -> str:
    """1 commit, 2 commits."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def names(people: Sequence[str], limit: int = 3) -> str:
    """Some names, and how many more."""
    short = [person.split(" <")[0] for person in people]
    more = f" +{len(short) - limit}" if len(short) > limit else ""
    return ", ".join(short[:limit]) + more if short else NONE


class Out:
    """Where a command writes: text or one JSON document to standard output, everything else to standard error.

    A reader that went away (`| head`) ends the writing and nothing else: a deployment is followed to its end.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.lost = ""  # why standard output could not be written, where that is not the reader's choice
        # a stream that was closed before the start is None
        terminal = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = terminal and not as_json and not os.environ.get("NO_COLOR")
        self._gone: set[int] = set()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")

    def line(self, text: str = "") -> None:
        """A line for a person; nothing where JSON was asked for."""
        if not self.as_json:
            self._write(sys.stdout, text + "\n")

    def raw(self, text: str) -> None:
        """Exactly this text to standard output."""
        self._write(sys.stdout, text)

    def tell(self, text: str, end: str = "\n") -> None:
        """To standard error."""
        self._write(sys.stderr, text + end)

    def _write(self, stream: TextIO | None, text: str) -> None:
        if stream is None or id(stream) in self._gone:
            return
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            if not isinstance(error, BrokenPipeError) and stream is sys.stdout:
                self.lost = error.strerror or str(error)
            self._gone.add(id(stream))
            _point_at_nothing(stream)


def _point_at_nothing(stream: TextIO) -> None:
    """What is left in the buffer must not fail once more when the interpreter ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, stream.fileno())
    finally:
        os.close(nothing)
