"""What a chart shows as a file or as text: CSV with every sample in sight, SVG drawn from the same extremes, PNG as it is seen."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from msgspec import Struct
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from ui.models.text import plain
from ui.theme import theme_of
from ui.widgets.chart_marks import Mark, Span, sign_of
from ui.widgets.chart_math import time_label, time_step_s
from ui.widgets.chart_scale import Scale

if TYPE_CHECKING:
    from cockpit.domain.series import Series

FORMS = ("png", "svg", "csv")
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 1200, 480, 70, 40, 70, 30


class Shown(Struct):
    """What is in sight of a chart: its curves, their samples and window (seconds UTC), axis, band, marks, and the time that is read."""

    title: str
    curves: Sequence[Any]
    series: Series | None
    window: tuple[float, float]
    scale: Scale
    band: tuple[float, float] | None
    marks: Sequence[Mark]
    at_s: float | None
    spans: Sequence[Span] = ()


def iso(at_s: float) -> str:
    """2026-03-01T09:41:07.250Z."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def csv_text(shown: Shown) -> str:
    """Every sample of the window, one row each: the time, then each curve; empty where nothing was measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["time_utc", *(c.name for c in shown.curves)])
    if shown.series is not None:
        at, values = shown.series.window(*shown.window)
        for moment, row in zip(at.tolist(), values.T.tolist(), strict=True):
            if any(v == v for v in row):
                writer.writerow([iso(moment), *("" if v != v else repr(v) for v in row)])
    return out.getvalue()


def values_text(curves: Sequence[Any], at_s: float, values: Mapping[str, float | None]) -> str:
    """The time and each curve's value as two rows with tabs between, as tables copy theirs."""
    cells = ["" if (v := values.get(c.name)) is None else f"{v:.6g}" for c in curves]
    return "\t".join(["time_utc", *(c.name for c in curves)]) + "\n" + "\t".join([iso(at_s), *cells])


def svg_text(shown: Shown, colour: Callable[[str], str]) -> str:
    """A picture in vectors: axes, band, marks and curves; `colour` names the colour of a token. Spikes are kept, gaps are gaps."""
    start, end = shown.window
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x_of(at_s: float) -> float:
        return _LEFT + (at_s - start) / max(1e-9, end - start) * wide

    def y_of(value: float) -> float:
        return _TOP + (1 - min(1.0, max(0.0, shown.scale.share(value)))) * high

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="{colour("surface")}"/>',
        _label(_LEFT, 22, f"{shown.title}, {iso(start)} to {iso(end)}", colour("text")),
    ]
    if shown.band is not None:
        top, bottom = y_of(shown.band[1]), y_of(shown.band[0])
        parts.append(f'<rect x="{_LEFT}" y="{top:.1f}" width="{wide}" height="{bottom - top:.1f}" fill="{colour("band")}" opacity="0.2"/>')
    parts.extend(_spans(shown, (start, end), x_of, colour))
    for tick in shown.scale.ticks(high):
        value = shown.scale.value_of(tick)
        parts.append(_line(_LEFT, y_of(value), _LEFT + wide, y_of(value), colour("line")))
        parts.append(_label(_LEFT - 6, y_of(value) + 4, f"{value:g}", colour("muted"), "end"))
    step = time_step_s(end - start, wide)
    times = (number * step for number in range(math.ceil(start / step), math.floor(end / step) + 1))
    parts.extend(_label(x_of(at), _HEIGHT - 10, time_label(at, step), colour("muted"), "middle") for at in times)
    for mark in shown.marks:
        if start <= mark.at_us / 1e6 <= end:
            parts.append(_line(x_of(mark.at_us / 1e6), _TOP, x_of(mark.at_us / 1e6), _TOP + high, colour("text")))
            parts.append(_label(x_of(mark.at_us / 1e6) + 4, _TOP + 12, sign_of(mark.kind) + plain(mark.text, 60), colour("text")))
    return "\n".join([*parts, *_curves(shown, wide, x_of, y_of, colour), "</svg>"]) + "\n"


def _spans(shown: Shown, window: tuple[float, float], x_of: Callable[[float], float], colour: Callable[[str], str]) -> list[str]:
    """Freezes as tinted ground, sessions as lines where they begin, both with their names at the foot."""
    parts, high = [], _HEIGHT - _TOP - _BOTTOM
    for span in shown.spans:
        left, right = max(window[0], span.start_us / 1e6), min(window[1], span.end_us / 1e6)
        if left >= right:
            continue
        if span.kind == "freeze":
            wide = x_of(right) - x_of(left)
            parts.append(
                f'<rect x="{x_of(left):.1f}" y="{_TOP}" width="{wide:.1f}" height="{high}" fill="{colour("warning")}" opacity="0.12"/>'
            )
        elif span.start_us / 1e6 >= window[0]:
            parts.append(_line(x_of(left), _TOP, x_of(left), _TOP + high, colour("muted")))
        parts.append(_label(x_of(left) + 4, _TOP + high - 6, sign_of(span.kind) + plain(span.text, 60), colour("text")))
    return parts


def _curves(
    shown: Shown, pixels: int, x_of: Callable[[float], float], y_of: Callable[[float], float], colour: Callable[[str], str]
) -> list[str]:
    if shown.series is None:
        return []
    import numpy as np

    edges = np.linspace(*shown.window, pixels + 1)
    low, high = shown.series.spans(edges)
    middles = ((edges[:-1] + edges[1:]) / 2).tolist()
    parts = []
    for number, curve in enumerate(shown.curves):
        path, up = [], False
        for at, least, most in zip(middles, low[number].tolist(), high[number].tolist(), strict=True):
            if least == least:
                path.append(f"{'L' if up else 'M'}{x_of(at):.1f} {y_of(least):.2f}L{x_of(at):.1f} {y_of(most):.2f}")
            up = least == least
        # a sample alone between gaps is a line of no length: its round ends are what is seen of it
        look = 'stroke-linecap="round"' + (' stroke-dasharray="6 4"' if curve.dashed else "")
        parts.append(
            f'<path d="{"".join(path)}" fill="none" stroke="{colour(curve.tone)}" {look}><title>{escape(curve.title)}</title></path>'
        )
        parts.append(_label(_WIDTH - _RIGHT + 6, _TOP + 14 + 16 * number, curve.title, colour(curve.tone)))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, ink: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{ink}"/>'


def _label(x: float, y: float, text: str, ink: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{ink}" text-anchor="{anchor}">{escape(text)}</text>'


def save(widget: QWidget, shown: Shown, path: str) -> str:
    """Write what is seen to `path` in the form of its ending, PNG where it has none; answers what became of it, in words."""
    ending = Path(path).suffix.lower()
    if ending[1:] not in ("", *FORMS):
        return f"{Path(path).name} was not saved: its ending must be .png, .svg or .csv"
    try:
        match ending:
            case ".csv":
                Path(path).write_text(csv_text(shown), "utf-8")
            case ".svg":
                theme = theme_of(widget)
                Path(path).write_text(svg_text(shown, lambda token: theme.colour(token).name()), "utf-8")
            case _:
                if not widget.grab().save(path, "PNG"):
                    raise OSError("the picture could not be written")
    except OSError as error:
        return f"{Path(path).name} was not saved: {error.strerror or error}"
    return f"Saved {Path(path).name}"


def copy_values(curves: Sequence[Any], at_s: float | None, values: Mapping[str, float | None]) -> str:
    """Put the values at a time on the clipboard; answers what became of it, in words."""
    if at_s is None:
        return "There is nothing to copy yet"
    if all(values.get(c.name) is None for c in curves):
        return f"Nothing was measured at {iso(at_s)}: nothing was copied"
    QGuiApplication.clipboard().setText(values_text(curves, at_s, values))
    return f"Copied the values of {iso(at_s)}"


def ask_path(chart: Any) -> QFileDialog:
    """Ask where to save a chart; `chart.export(path)` is called with the answer."""
    dialog = QFileDialog(chart, "Save the chart")
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilters(["Picture (*.png)", "Vectors (*.svg)", "Every sample in sight (*.csv)"])
    dialog.filterSelected.connect(lambda text: dialog.setDefaultSuffix(text[-4:-1]))
    dialog.setDefaultSuffix("png")
    dialog.fileSelected.connect(chart.export)
    dialog.open()
    return dialog


def chart_menu(chart: Any) -> QMenu:
    """Copy and save, with their keys; deletes itself when it closes."""
    menu = QMenu(chart)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    for text, key, work in (
        ("Copy the values under the crosshair", QKeySequence.StandardKey.Copy, chart.copy),
        ("Save as PNG, SVG or CSV…", QKeySequence.StandardKey.Save, chart.save),
    ):
        action = menu.addAction(text)
        action.setShortcut(QKeySequence(key))
        action.triggered.connect(work)
    return menu
