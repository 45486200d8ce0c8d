"""The strip chart: painted piece by piece it equals one painted at once to the pixel; little is painted; a spike is always seen."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRect
from PySide6.QtGui import QColor, QImage, QPainter, QRegion
from PySide6.QtWidgets import QApplication

from cockpit.domain.series import Series
from ui import theme
from ui.widgets.chart_scale import Scale
from ui.widgets.strip import Columns, Strip
from ui.widgets.strip_paint import Look, StripPicture, Stroke
from ui.widgets.strip_rows import Rows

GROUND = QColor("#171c23")


def look(width: int = 300, ratio: float = 1.0, step_s: float = 1.0, **other) -> Look:
    strokes = (Stroke(QColor("#56b4e9")), Stroke(QColor("#e69f00")), None, Stroke(QColor("#d55e00"), dashed=True))
    values = {"low": 0.0, "high": 10.0, "log_floor": 0.0, "strokes": strokes, "ticks": (2.0, 4.0, 8.0), "band": (1.0, 3.0)}
    return Look(
        width=round(width * ratio),
        height=round(120 * ratio),
        step_s=step_s / ratio,
        ground=GROUND,
        grid=QColor("#2c3541"),
        band_colour=QColor(138, 160, 180, 50),
        edge_colour=QColor("#9aa7b4"),
        ratio=ratio,
        **(values | other),
    )


def shown(picture: StripPicture, look: Look) -> QImage:
    """What a person sees of it."""
    image = QImage(look.width, look.height, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(look.ratio)
    image.fill(QColor("#ff00ff"))
    with QPainter(image) as painter:
        picture.draw(painter, 0.0, 0.0)
    return image


def afresh(series: Series, look: Look, end: int) -> QImage:
    picture = StripPicture()
    assert picture.show(series, look, end)
    return shown(picture, look)


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("per_column", [0.13, 1.0, 7.3])
@pytest.mark.parametrize("seed", range(3))
def test_painted_piece_by_piece_equals_painted_at_once(ratio: float, per_column: float, seed: int, qapp: QApplication) -> None:
    """Appends, gaps, nothing new, jumps, other scales, going back, and samples that leave the ring."""
    random = np.random.default_rng(seed)
    series = Series(round(120 * per_column), 4)
    picture, found = StripPicture(), look(ratio=ratio)
    now, wholes = 1.8e9, 0
    for turn in range(120):
        steps = random.exponential(1 / per_column, random.integers(0, 4 + int(3 * per_column)))
        at = now + np.cumsum(steps)
        values = np.abs(random.standard_normal((4, len(at)))) * 3
        values[random.random((4, len(at))) < 0.15] = np.nan
        series.extend(at, values)
        now = float(at[-1]) if len(at) else now + random.exponential(2.0)
        if turn % 40 == 39:
            found = look(ratio=ratio, high=float(random.integers(5, 15)), step_s=1.0 + 0.1 * random.random())
        back = int(random.integers(0, 60)) if turn % 17 == 0 else 0
        end = int(now // found.step_s) + 1 - back
        wholes += picture.show(series, found, end)
        if turn % 3 == 0 or back:
            assert shown(picture, found) == afresh(series, found, end), turn
    assert 4 <= wholes < 12
    assert series.first > 0, "samples left the ring"


def test_on_a_logarithmic_axis_too(qapp: QApplication) -> None:
    series, picture, found = Series(1000, 4), StripPicture(), look(low=-1.0, high=2.0, log_floor=0.1)
    for i in range(200):
        series.append(1e9 + i * 1.7, [0.0, 10 ** (i % 3), np.nan, 0.5 + i % 9])
        picture.show(series, found, int((1e9 + i * 1.7) // 1.0) + 1)
    assert shown(picture, found) == afresh(series, found, picture.end)


def test_while_it_follows_only_what_is_new_is_painted(qapp: QApplication) -> None:
    series, picture, found = Series(10_000, 4), StripPicture(), look(width=1000)
    series.extend(np.arange(0.0, 1000.0, 0.1), np.ones((4, 10_000)))
    assert picture.show(series, found, 1000)
    before = picture.painted
    for i in range(100):
        series.append(1000 + i * 0.1, [1.0, 2.0, 3.0, 4.0])
        assert not picture.show(series, found, int((1000 + i * 0.1) // 1) + 1)
    assert picture.painted - before <= 100 + 10 + 20, "one column that is not complete, ten that came, two where samples left the ring"


def test_first_samples_after_an_empty_picture_are_painted(qapp: QApplication) -> None:
    series, picture, found = Series(100, 4), StripPicture(), look()
    picture.show(series, found, 1000)
    series.extend([850.0, 900.0, 960.0], np.ones((4, 3)) * [[5.0]])
    picture.show(series, found, 1001)
    assert shown(picture, found) == afresh(series, found, 1001)
    assert shown(picture, found) != afresh(Series(1, 4), found, 1001)


@pytest.mark.parametrize("width", [1, 7, 50, 333, 1850])
@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_a_spike_of_one_sample_is_seen_at_every_zoom(width: int, ratio: float, qapp: QApplication) -> None:
    count = 200_000
    values = np.ones((4, count))
    values[1, 123_456] = 9.5
    series = Series(count, 4)
    series.extend(np.arange(float(count)), values)
    for zoom in (1.0, 0.3, 0.01, 0.0001):
        step = count * zoom / width
        found = look(width, ratio, step)
        end = int(123_456 / found.step_s) + 1 + int(0.4 * found.width)
        image = afresh(series, found, end)
        high = round(9.6 / 10 * 120 * ratio)
        seen = {
            image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height() - high, image.height() - high + 9)
        }
        assert seen - {GROUND.name(), "#2c3541"}, (zoom, width)


class ByColumns(StripPicture):
    """Paints one column after the other, as the live strip does."""

    def _by_rows(self) -> bool:
        return False


def noisy(count: int, calm: float, gaps: float = 0.0, seed: int = 1) -> Series:
    random = np.random.default_rng(seed)
    values = np.abs(random.standard_normal((4, count)) * (1 - calm) + np.sin(np.arange(count) / 300) * 3 + 4)
    values[:, count // 3 : count // 3 + count // 50] = np.nan
    values[random.random((4, count)) < gaps] = np.nan
    series = Series(count, 4)
    series.extend(np.cumsum(random.exponential(1.0, count)), values)
    return series


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
@pytest.mark.parametrize(("calm", "gaps"), [(0.0, 0.0), (0.98, 0.0), (0.8, 0.9)])
def test_zoomed_and_panned_equals_painted_column_by_column(ratio: float, calm: float, gaps: float, qapp: QApplication) -> None:
    """Whole pictures go to the screen row by row; panned ones keep what they had; both must be what the live strip would have painted."""
    series, random = noisy(60_000, calm, gaps), np.random.default_rng(3)
    picture, drawn = StripPicture(), 0
    for step_s in (190.0, 45.0, 9.0, 1.3, 0.04):
        found = look(ratio=ratio, step_s=step_s)
        end = int(series.last_s / found.step_s * random.uniform(0.3, 1.0))
        for turn in range(5):
            picture.show(series, found, end)
            reference = ByColumns()
            reference.show(series, found, end)
            # panned before it was drawn, too
            if turn != 1:
                assert shown(picture, found) == shown(reference, found), (step_s, turn)
                assert shown(picture, found) == shown(reference, found), "and once more"
                drawn += 1
            end += int(random.integers(-250, 250))
    assert drawn == 20


def test_rows_that_are_alike_are_painted_at_once_and_nobody_sees_it(qapp: QApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    at, found = np.arange(30_000) / 10, look(width=200, step_s=10.0)
    values = np.full((4, len(at)), np.nan)
    values[0], values[1] = 1.0 + at % 2, 3.5 + 5.5 * (np.arange(len(at)) % 2)
    values[0, 20_000] = 2.9
    series, picture, reference = Series(len(at), 4), StripPicture(), ByColumns()
    series.extend(at, values)
    seen: list[int | None] = []
    real = Rows.single
    monkeypatch.setattr(Rows, "single", lambda rows: seen.append(real(rows)) or seen[-1])
    picture.show(series, found, 290)
    reference.show(series, found, 290)
    assert shown(picture, found) == shown(reference, found)
    body = found.strokes[1]
    assert body is not None
    assert body.colour.rgb() in seen, "the inside of a curve that is dense"
    assert found.ground.rgb() in seen


def test_panning_paints_only_what_comes_into_sight(qapp: QApplication) -> None:
    series, picture, found = noisy(60_000, 0.5), StripPicture(), look(width=1000, step_s=10.0)
    picture.show(series, found, 3000)
    before = picture.painted
    for end in (3040, 2900, 3100):
        assert not picture.show(series, found, end)
    assert picture.painted - before == 40 + 140 + 200


def test_a_part_of_a_zoomed_picture_is_what_it_was(qapp: QApplication) -> None:
    """The crosshair has a strip painted again."""
    series, picture, found = noisy(60_000, 0.5), StripPicture(), look(width=300, step_s=100.0)
    picture.show(series, found, 500)
    image = shown(picture, found)
    again = QImage(image.size(), image.format())
    again.fill(QColor("#ff00ff"))
    with QPainter(again) as painter:
        picture.draw(painter, 0.0, 0.0, QRegion(QRect(100, 0, 5, found.height)))
    assert again.copy(100, 0, 5, found.height) == image.copy(100, 0, 5, found.height)
    assert again.pixelColor(99, 50).name() == again.pixelColor(105, 50).name() == "#ff00ff"


def test_curves_of_the_grounds_colour_do_not_hide_its_lines(qapp: QApplication) -> None:
    """Rows know the ground by its colour: such pictures are painted column by column."""
    series, found = noisy(60_000, 0.5), look(width=300, step_s=100.0, strokes=(Stroke(GROUND),) * 4)
    picture, reference = StripPicture(), ByColumns()
    for one in (picture, reference):
        one.show(series, found, 500)
    assert shown(picture, found) == shown(reference, found)
    assert not picture._by_rows()


@pytest.mark.parametrize("move", [-400, -7, 7, 399])
def test_a_spike_of_one_sample_stays_in_sight_while_panning(move: int, qapp: QApplication) -> None:
    values = np.ones((4, 200_000))
    values[1, 123_456] = 9.5
    series, picture = Series(200_000, 4), StripPicture()
    series.extend(np.arange(200_000.0), values)
    for step_s in (0.01, 0.7, 20.0, 150.0):
        found = look(800, 1.0, step_s)
        end = int(123_456 / step_s) + 1 + 400
        picture.show(series, found, end)
        picture.show(series, found, end + move)
        image = shown(picture, found)
        x = 800 - 401 - move
        tops = {image.pixelColor(min(799, max(0, c)), y).name() for c in range(x - 1, x + 3) for y in range(4, 14)}
        assert tops - {GROUND.name()}, step_s


def test_steps_stay_while_a_window_keeps_its_length() -> None:
    columns = Columns()
    ends = [columns.place(1.8e9 + i / 7 - 900, 1.8e9 + i / 7, 560) for i in range(50)]
    assert columns.step_s == pytest.approx(900 / 560)
    first = columns.step_s
    assert ends == sorted(ends)
    columns.place(0, 901, 560)
    assert columns.step_s != first


@pytest.mark.parametrize("name", theme.THEMES)
def test_the_widget_paints_its_axes_around_the_picture(name: str, qtbot, qapp: QApplication) -> None:
    found = theme.apply(qapp, name)
    strip = Strip(lambda v: f"{v:g} ms")
    qtbot.addWidget(strip)
    strip.resize(700, 260)
    strip.show()
    series, scale = Series(1000, 2), Scale()
    series.extend(np.arange(900.0), np.abs(np.sin([np.arange(900) / 40, np.arange(900) / 50])) * 8)
    scale.fit(8.0, 0.1)
    strokes = (Stroke(found.p50), Stroke(found.p99))
    assert strip.show_window(series, strokes, (0.0, 900.0), scale, (1.0, 2.0))
    assert not strip.show_window(series, strokes, (0.0, 900.0), scale, (1.0, 2.0))
    image = strip.grab().toImage()
    assert image.pixelColor(QPoint(2, 2)).name() == found.surface.name()
    labels = image.copy(QRect(0, 0, strip.area.left() - 2, 260))
    assert {labels.pixelColor(x, y).name() for x in range(labels.width()) for y in range(260)} != {found.surface.name()}
    seen = {image.pixelColor(x, y).name() for x in range(strip.area.left(), strip.area.right()) for y in range(0, 230, 2)}
    assert {found.p50.name(), found.p99.name()} <= seen
