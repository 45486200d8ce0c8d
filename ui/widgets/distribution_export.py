"""The curves of a distribution as a file or as text: CSV with every percentile drawn, SVG, PNG as it is seen."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from PySide6.QtGui import QGuiApplication

from ui.models.text import plain, plural
from ui.theme import theme_of
from ui.widgets.distribution import LAST, TICKS, nines, percent_name, value_at

if TYPE_CHECKING:
    from ui.widgets.distribution import DistributionView

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 1200, 480, 80, 44, 30, 34


def csv_text(view: DistributionView) -> str:
    """A row for each percentile drawn: whose, the percentile, milliseconds, how many samples it rests on and how many lie beyond it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["series", "percentile", "milliseconds", "samples", "samples_beyond"])
    for role, curve in zip(("candidate", "baseline"), view.known, strict=True):
        for place, value in curve.points:
            beyond = curve.samples * 10.0**-place
            writer.writerow(
                [
                    f"{role} {plain(curve.name, 80)}",
                    f"{100 - 100 * 10.0**-place:.6g}",
                    f"{value:.6g}",
                    round(curve.samples),
                    f"{beyond:.3g}",
                ]
            )
    return out.getvalue()


def svg_text(view: DistributionView) -> str:
    """Axes and both curves in vectors."""
    theme = theme_of(view)
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    ink, muted, line = theme.text.name(), theme.muted.name(), theme.line.name()

    def x_of(place: float) -> float:
        return _LEFT + place / nines(LAST) * wide

    def y_of(value: float) -> float:
        return _TOP + (1 - min(1.0, max(0.0, view.scale.share(value)))) * high

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="{theme.surface.name()}"/>',
    ]
    for tick in view.scale.ticks(high):
        y = y_of(view.scale.value_of(tick))
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + wide}" y2="{y:.1f}" stroke="{line}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" fill="{muted}" text-anchor="end">{view.scale.value_of(tick):g} ms</text>')
    for q in TICKS:
        x = x_of(nines(q))
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_TOP + high}" stroke="{line}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 12}" fill="{muted}" text-anchor="middle">p{q * 100:g}</text>')
    looks = ((theme.p99.name(), ""), (muted, ' stroke-dasharray="6 4"'))
    for number, (curve, (colour, dash)) in enumerate(zip(view.known, looks, strict=True)):
        path = "".join(f"{'L' if i else 'M'}{x_of(place):.1f} {y_of(value):.2f}" for i, (place, value) in enumerate(curve.points))
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}"{dash} stroke-width="1.6"/>')
        name = escape(f"{plain(curve.name, 80)}, {plural(round(curve.samples), 'sample')}")
        x = _LEFT + number * wide / 2
        parts.append(f'<line x1="{x}" y1="22" x2="{x + 24}" y2="22" stroke="{colour}"{dash} stroke-width="2"/>')
        parts.append(f'<text x="{x + 32}" y="26" fill="{ink}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def save(view: DistributionView, path: str) -> str:
    """Write what is seen to `path` in the form of its ending; answers what became of it, in words."""
    try:
        match Path(path).suffix.lower():
            case ".csv":
                Path(path).write_text(csv_text(view), "utf-8")
            case ".svg":
                Path(path).write_text(svg_text(view), "utf-8")
            case _:
                if not view.grab().save(path, "PNG"):
                    raise OSError("the picture could not be written")
    except OSError as error:
        return f"{Path(path).name} was not saved: {error.strerror or error}"
    return f"Saved {Path(path).name}"


def copy_values(view: DistributionView) -> str:
    """Put both values under the crosshair, or at every named percentile, on the clipboard; answers what became of it, in words."""
    if not any(view.curves):
        return "There is nothing to copy yet"
    places = [view.cross] if view.cross is not None else [nines(q) for q in TICKS[1:]]
    rows = ["\t".join(["percentile", *(f"{plain(c.name, 80)} ms" for c in view.known)])]
    for place in places:
        values = ("" if (v := value_at(curve, place)) is None else f"{v:.6g}" for curve in view.known)
        rows.append("\t".join([percent_name(place), *values]))
    QGuiApplication.clipboard().setText("\n".join(rows))
    return f"Copied the values at {percent_name(places[0])}" if len(places) == 1 else "Copied the values of both"
