"""Colours, state marks and fonts: the one place where the window's looks are decided."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from PySide6.QtCore import QCoreApplication, QObject
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication

ICONS = Path(__file__).resolve().parent.parent / "resources" / "icons"
_PROPERTY = "cockpit_theme"
STYLE = "cockpit_style"  # set where Fusion was chosen already: asking for it here loads all of QStyle, which the first paint can do without


class Theme(Struct, frozen=True):
    """One set of colours; attributes are named as the tokens. `on_fill` is text on a surface filled with a state's colour or the accent."""

    name: str
    ground: QColor
    surface: QColor
    raised: QColor
    line: QColor
    text: QColor
    muted: QColor
    accent: QColor
    ok: QColor
    warning: QColor
    bad: QColor
    running: QColor
    unknown: QColor
    on_fill: QColor
    selected: QColor
    changed: QColor
    p50: QColor
    p90: QColor
    p99: QColor
    p999: QColor
    band: QColor

    def colour(self, token: str) -> QColor:
        """The colour of a token by its name."""
        found: QColor = getattr(self, token)
        return found

    def state_colour(self, word: str) -> QColor:
        """The colour of a state's word; words that are not known look unknown."""
        return self.colour(state_of(word)[1])


def blend(under: QColor, over: QColor, share: float) -> QColor:
    """`over` laid on `under` with the opacity `share`."""
    parts = zip(under.getRgb()[:3], over.getRgb()[:3], strict=True)  # type: ignore[index]
    return QColor(*(round(u + (o - u) * share) for u, o in parts))


_TOKENS = ("ground", "surface", "raised", "line", "text", "muted", "accent", "ok", "warning", "bad", "running", "unknown")


def _theme(name: str, tokens: str, series: str, on_fill: str) -> Theme:
    """Tokens in the order of _TOKENS; series p50 p90 p99 p999."""
    values = dict(zip(_TOKENS, (QColor(t) for t in tokens.split()), strict=True))
    values |= dict(zip(("p50", "p90", "p99", "p999"), (QColor(t) for t in series.split()), strict=True))
    values["on_fill"] = QColor(on_fill)
    # faint enough for every state's colour to stay readable on it
    values["selected"] = blend(values["surface"], values["accent"], 0.11 if name != "contrast" else 0.25)
    values["changed"] = blend(values["surface"], values["accent"], 0.07 if name != "contrast" else 0.2)
    values["band"] = QColor("#8aa0b4")
    values["band"].setAlphaF(0.2 if name != "contrast" else 0.35)
    return Theme(name=name, **values)


_OKABE_ITO = "#56b4e9 #009e73 #e69f00 #d55e00"
THEMES: dict[str, Theme] = {
    "dark": _theme(
        "dark",
        "#0f1318 #171c23 #1f2630 #2c3541 #e6ebf0 #9aa7b4 #5aa9ff #3fb68b #e3a008 #f0655a #5aa9ff #b79cf0",
        _OKABE_ITO,
        "#0f1318",
    ),
    # the same hues, darker: a thin line of the original yellow or sky blue is lost on white
    "light": _theme(
        "light",
        "#f5f7f9 #ffffff #eef1f4 #d3dae1 #17202a #56626f #0b62c4 #0b7a55 #8a5a00 #b3261e #0b62c4 #6b3fc0",
        "#0072b2 #00795a #8f6f00 #c23b00",
        "#ffffff",
    ),
    "contrast": _theme(
        "contrast",
        "#000000 #000000 #141414 #ffffff #ffffff #e0e0e0 #ffff00 #00ff9c #ffd400 #ff8a80 #7fd4ff #e0c3ff",
        "#7fd4ff #00d69b #ffbf00 #ff7a1a",
        "#000000",
    ),
}

SHAPES: dict[str, str] = {
    "disc": "●",
    "triangle": "▲",
    "square": "■",
    "half": "◐",
    "ring": "○",
    "diamond": "◇",
    "bars": "⏸",
    "dashed": "◌",
}
_WORDS: dict[tuple[str, str], str] = {
    ("disc", "ok"): "ok passed succeeded done approved healthy ready live verified",
    ("triangle", "warning"): "warning aborted outside back",
    ("square", "bad"): "bad failed error blocked mixed rejected refused unhealthy",
    ("half", "running"): "running sent following verifying starting stopping checking deploying info rehearsing",
    ("ring", "muted"): "pending queued intended waiting skipped undone older over",
    ("diamond", "unknown"): "unknown inconclusive",
    ("bars", "warning"): "held stopped frozen paused",
    ("dashed", "muted"): "stale",
}
STATES: dict[str, tuple[str, str]] = {word: look for look, words in _WORDS.items() for word in words.split()} | {
    "not sent": ("diamond", "unknown"),
    "not known": ("diamond", "unknown"),
    "going back": ("half", "running"),
    "watching": ("half", "running"),
    "fine": ("disc", "ok"),
    "cannot tell": ("diamond", "unknown"),
    "ended early": ("ring", "muted"),
}


def state_of(word: str) -> tuple[str, str]:
    """(shape, token) of a state's word; a word that is not known looks unknown, never ok."""
    return STATES.get(word.lower(), ("diamond", "unknown"))


def state_mark(word: str) -> str:
    """The shape and the word as text, such as "● ok"."""
    return f"{SHAPES[state_of(word)[0]]} {word}"


_ROLES: dict[str, tuple[float, QFont.Weight]] = {
    "body": (1.0, QFont.Weight.Normal),
    "strong": (1.0, QFont.Weight.DemiBold),
    "muted": (0.9, QFont.Weight.Normal),
    "title": (1.3, QFont.Weight.DemiBold),
    "number": (1.0, QFont.Weight.Normal),
    "big": (2.0, QFont.Weight.DemiBold),
    "mono": (0.95, QFont.Weight.Normal),
}
BODY_PT = 10.0


def font(role: str = "body") -> QFont:
    """The font of a role: body, strong, muted, title, number, big or mono. Sizes follow the system's where that is larger."""
    system = QFontDatabase.SystemFont.FixedFont if role == "mono" else QFontDatabase.SystemFont.GeneralFont
    general = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    factor, weight = _ROLES[role]
    answer = QFont(QFontDatabase.systemFont(system))
    answer.setPointSizeF(max(BODY_PT, general.pointSizeF()) * factor)
    answer.setWeight(weight)
    if role != "mono":
        answer.setFeature(QFont.Tag("tnum"), 1)
    return answer


def palette(theme: Theme) -> QPalette:
    """Fusion's palette in the theme's colours. PlaceholderText is the muted text: give a label that role for it."""
    answer = QPalette()
    role = QPalette.ColorRole
    colours = {
        role.Window: theme.ground, role.WindowText: theme.text, role.Base: theme.surface, role.AlternateBase: theme.raised,
        role.Text: theme.text, role.Button: theme.raised, role.ButtonText: theme.text, role.BrightText: theme.bad,
        role.ToolTipBase: theme.raised, role.ToolTipText: theme.text, role.PlaceholderText: theme.muted, role.Highlight: theme.accent,
        role.HighlightedText: theme.on_fill, role.Link: theme.accent, role.LinkVisited: theme.accent, role.Accent: theme.accent,
        role.Light: theme.raised, role.Midlight: theme.raised, role.Mid: theme.line, role.Dark: theme.line, role.Shadow: theme.ground,
    }  # fmt: skip
    for key, colour in colours.items():
        answer.setColor(key, colour)
    for key in (role.WindowText, role.Text, role.ButtonText):
        answer.setColor(QPalette.ColorGroup.Disabled, key, theme.muted)
    return answer


def style_sheet(theme: Theme) -> str:
    """The few rules a palette cannot say: corners, heights, the focus ring. Tables and charts paint themselves and take no part."""
    values = {n: theme.colour(n).name() for n in (*_TOKENS, "on_fill", "selected")}
    values["arrow"] = (ICONS / f"chevron-{'light' if theme.name == 'light' else 'dark'}.svg").as_posix()
    return _SHEET % values


_SHEET = """
QPushButton {
  min-height: 22px; padding: 4px 12px; border: 1px solid %(line)s; border-radius: 4px; background: %(raised)s;
  color: %(text)s; }
QPushButton:hover { border-color: %(muted)s; }
QPushButton:pressed, QPushButton:checked { background: %(selected)s; border-color: %(accent)s; }
QPushButton:disabled { color: %(muted)s; background: %(surface)s; }
QPushButton:focus { border: 2px solid %(accent)s; padding: 3px 11px; }
QPushButton[role="primary"] { background: %(accent)s; color: %(on_fill)s; border-color: %(accent)s; font-weight: 600; }
QPushButton[role="fire"] {
  min-height: 34px; min-width: 174px; background: %(bad)s; color: %(on_fill)s; border-color: %(bad)s;
  font-weight: 600; }
QPushButton[role="primary"]:focus, QPushButton[role="fire"]:focus { border: 2px solid %(text)s; }
QPushButton[role="primary"]:disabled, QPushButton[role="fire"]:disabled {
  background: %(surface)s; color: %(muted)s; border-color: %(line)s; }
QPushButton[role="arm"] { min-height: 34px; min-width: 174px; font-weight: 600; }
QPushButton[role="flat"] { min-height: 18px; padding: 2px 8px; }
QPushButton[role="flat"]:focus { padding: 1px 7px; }
QPushButton[role="way"], QPushButton[role="sure"] { padding: 4px 2px; }
QPushButton[role="way"]:focus, QPushButton[role="sure"]:focus { padding: 3px 1px; }
QPushButton[role="sure"] { background: %(accent)s; color: %(on_fill)s; border-color: %(accent)s; }
QPushButton[role="sure"]:focus { border-color: %(text)s; }
QPushButton[role="link"] {
  min-height: 18px; padding: 1px 3px; border: 1px solid transparent; background: transparent; color: %(accent)s;
  text-align: left; }
QPushButton[role="link"]:hover { text-decoration: underline; }
QPushButton[role="link"]:focus { border: 2px solid %(accent)s; padding: 0 2px; }
QLineEdit, QComboBox { min-height: 22px; padding: 4px 8px; border: 1px solid %(line)s; border-radius: 4px;
  background: %(surface)s; color: %(text)s; placeholder-text-color: %(muted)s;
  selection-background-color: %(accent)s; selection-color: %(on_fill)s; }
QLineEdit:focus, QComboBox:focus { border: 2px solid %(accent)s; padding: 3px 7px; }
QComboBox::drop-down { border: none; width: 20px; }
QComboBox::down-arrow { image: url("%(arrow)s"); width: 12px; height: 12px; }
QComboBox QAbstractItemView { background: %(raised)s; color: %(text)s; border: 1px solid %(line)s;
  selection-background-color: %(accent)s; selection-color: %(on_fill)s; }
QPlainTextEdit { border: 1px solid %(line)s; border-radius: 4px; background: %(surface)s; color: %(text)s;
  placeholder-text-color: %(muted)s; }
QPlainTextEdit:focus { border: 2px solid %(accent)s; }
QToolTip { background: %(raised)s; color: %(text)s; border: 1px solid %(line)s; padding: 4px; }
QTabBar::tab {
  min-height: 22px; padding: 4px 12px; border: 2px solid transparent; border-radius: 4px; color: %(muted)s; }
QTabBar::tab:selected {
  color: %(text)s; border-bottom: 2px solid %(accent)s; border-bottom-left-radius: 0; border-bottom-right-radius: 0; }
QTabBar::tab:focus { border: 2px solid %(accent)s; }
QTabWidget::pane { border: none; }
QSplitter::handle { background: %(ground)s; }
QHeaderView { background: %(surface)s; border: none; }
QHeaderView::section { background: %(surface)s; color: %(muted)s; border: none; border-bottom: 1px solid %(line)s; padding: 0 8px; }
QScrollBar { background: transparent; border: none; margin: 0; }
QScrollBar:vertical { width: 10px; }
QScrollBar:horizontal { height: 10px; }
QScrollBar::handle { background: %(line)s; border-radius: 3px; margin: 2px; }
QScrollBar::handle:vertical { min-height: 24px; }
QScrollBar::handle:horizontal { min-width: 24px; }
QScrollBar::handle:hover { background: %(muted)s; }
QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page {
  background: none; border: none; width: 0; height: 0; }
QMenu { background: %(raised)s; color: %(text)s; border: 1px solid %(line)s; padding: 4px; }
QMenu::item { padding: 4px 16px; border-radius: 4px; }
QMenu::item:selected { background: %(accent)s; color: %(on_fill)s; }
QProgressBar { border: none; border-radius: 2px; background: %(line)s; min-height: 4px; max-height: 4px; }
QProgressBar::chunk { background: %(accent)s; border-radius: 2px; }
"""


def apply(app: QApplication, name: str) -> Theme:
    """Give the whole application the theme `name` (dark, light, contrast; anything else is dark), at any time."""
    theme = THEMES.get(name, THEMES["dark"])
    app.setProperty(_PROPERTY, theme)
    if app.property(STYLE) is None:
        app.setStyle("Fusion")
        app.setProperty(STYLE, "fusion")
    app.setFont(font("body"))
    app.setPalette(palette(theme))
    app.setStyleSheet(style_sheet(theme))
    return theme


def theme_of(thing: QObject | None = None) -> Theme:
    """The theme in force, dark before `apply`. Ask it when painting, so that a change of theme is followed."""
    owner = thing if isinstance(thing, QApplication) else QCoreApplication.instance()
    found = owner.property(_PROPERTY) if owner is not None else None
    return found if isinstance(found, Theme) else THEMES["dark"]
