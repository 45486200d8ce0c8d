"""Colours that can be read, states that can be told apart, and a theme that can be changed at any time."""

from __future__ import annotations

import itertools

import pytest
from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication, QLineEdit, QPushButton

from ui import theme
from ui.theme import SHAPES, STATES, THEMES, Theme

TEXTS = ("text", "muted", "accent", "ok", "warning", "bad", "running", "unknown")
GROUNDS = ("ground", "surface", "raised", "selected", "changed")
# Viénot, Brettel and Mollon 1999, on linear light
SIMULATIONS = {
    "protanopia": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    "deuteranopia": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
}


def linear(colour: QColor) -> tuple[float, ...]:
    """sRGB to linear light."""
    parts = (colour.redF(), colour.greenF(), colour.blueF())
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)


def luminance(colour: QColor) -> float:
    """Relative luminance as WCAG has it."""
    r, g, b = linear(colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: QColor, other: QColor) -> float:
    """The WCAG contrast ratio."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def lab(light: tuple[float, ...]) -> tuple[float, float, float]:
    """Linear sRGB to CIE L*a*b* (D65)."""
    r, g, b = light
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089
    fx, fy, fz = (max(c, 0.0) ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def seen(colour: QColor, matrix: tuple[tuple[float, ...], ...]) -> tuple[float, float, float]:
    """How somebody with that kind of eyes sees a colour."""
    light = linear(colour)
    return lab(tuple(sum(m * c for m, c in zip(row, light, strict=True)) for row in matrix))


@pytest.mark.parametrize("found", THEMES.values(), ids=lambda t: t.name)
def test_every_text_can_be_read_on_every_ground(found: Theme) -> None:
    poor = [
        f"{text} on {ground}: {contrast(found.colour(text), found.colour(ground)):.2f}"
        for text, ground in itertools.product(TEXTS, GROUNDS)
        if contrast(found.colour(text), found.colour(ground)) < 4.5
    ]
    assert not poor


@pytest.mark.parametrize("found", THEMES.values(), ids=lambda t: t.name)
def test_text_on_filled_buttons_can_be_read(found: Theme) -> None:
    assert contrast(found.on_fill, found.bad) >= 4.5
    assert contrast(found.on_fill, found.accent) >= 4.5


@pytest.mark.parametrize("found", THEMES.values(), ids=lambda t: t.name)
def test_curves_can_be_seen_on_the_surface(found: Theme) -> None:
    for name in ("p50", "p90", "p99", "p999"):
        assert contrast(found.colour(name), found.surface) >= 3, name


@pytest.mark.parametrize("kind", SIMULATIONS)
@pytest.mark.parametrize("found", THEMES.values(), ids=lambda t: t.name)
def test_states_differ_in_shape_where_they_are_close_in_colour(found: Theme, kind: str) -> None:
    looks = sorted(set(STATES.values()))
    for (shape, token), (other_shape, other) in itertools.combinations(looks, 2):
        if token == other:
            assert shape != other_shape
            continue
        here, there = seen(found.colour(token), SIMULATIONS[kind]), seen(found.colour(other), SIMULATIONS[kind])
        distance = sum((a - b) ** 2 for a, b in zip(here, there, strict=True)) ** 0.5
        assert distance >= 20 or shape != other_shape, (token, other, distance)


@pytest.mark.parametrize("kind", SIMULATIONS)
@pytest.mark.parametrize("found", THEMES.values(), ids=lambda t: t.name)
def test_good_and_bad_differ_for_all_eyes(found: Theme, kind: str) -> None:
    here, there = seen(found.ok, SIMULATIONS[kind]), seen(found.bad, SIMULATIONS[kind])
    assert sum((a - b) ** 2 for a, b in zip(here, there, strict=True)) ** 0.5 >= 11


def test_a_word_that_is_not_known_never_looks_ok() -> None:
    assert theme.state_of("no such word") == STATES["unknown"]
    assert theme.state_of("PASSED") == STATES["passed"]
    assert theme.state_mark("failed") == "■ failed"
    assert all(shape in SHAPES for shape, _ in STATES.values())


def test_the_theme_is_found_again_and_can_change(qapp: QApplication) -> None:
    for name in ("light", "contrast", "dark"):
        found = theme.apply(qapp, name)
        assert theme.theme_of(qapp) is found is THEMES[name]
        assert qapp.palette().color(QPalette.ColorRole.Window) == found.ground
    assert theme.apply(qapp, "no such theme") is THEMES["dark"]


def test_every_number_has_figures_of_one_width(qapp: QApplication) -> None:
    for role in ("body", "strong", "muted", "title", "number", "big"):
        face = theme.font(role)
        assert face.featureValue(QFont.Tag("tnum")) == 1
    assert theme.font("big").pointSizeF() == pytest.approx(2 * theme.font("body").pointSizeF())


def test_placeholders_can_be_read(qtbot, qapp: QApplication) -> None:
    theme.apply(qapp, "light")
    field = QLineEdit()
    qtbot.addWidget(field)
    field.ensurePolished()
    assert field.palette().color(QPalette.ColorRole.PlaceholderText) == THEMES["light"].muted
    theme.apply(qapp, "dark")


def test_buttons_have_their_heights(qtbot, qapp: QApplication) -> None:
    theme.apply(qapp, "dark")
    plain, fire = QPushButton("Approve"), QPushButton("Roll back production to 1.6.0")
    fire.setProperty("role", "fire")
    for made in (plain, fire):
        qtbot.addWidget(made)
        made.ensurePolished()
    assert plain.sizeHint().height() == 32
    assert fire.sizeHint().height() == 44
    assert fire.sizeHint().width() >= 200
