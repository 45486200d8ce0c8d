"""The watch over the newest deployment of the selected place, whole: state, sentence, figures, power, progress, findings, what follows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from cockpit.domain.watching import Watched
from ui.models.text import plain, time_tooltip
from ui.models.watch import (
    BLINDING,
    automatic_row,
    finding_row,
    glance,
    idle,
    idle_words,
    load_share,
    look_words,
    power_words,
    ratio_words,
    sentence,
    time_share,
)
from ui.views.base import View, bar
from ui.widgets.panel import StateLabel
from ui.widgets.texts import Row, RowContent, RowList, Text, scrolled
from ui.widgets.watch_interval import IntervalBar

if TYPE_CHECKING:
    from cockpit.app import Cockpit

NOTHING = "Nothing is watched here yet: a watch begins with each deployment, and lasts until its time has passed and real load was seen."


class WatchView(View):
    """`went` names a view to open."""

    kinds = frozenset(["watches", "ages"])
    went = Signal(str)

    def __init__(self, cockpit: Cockpit, parent: QWidget | None = None) -> None:
        super().__init__(cockpit, parent)
        self.setAccessibleName("Watch")
        self.head = StateLabel("title", self)
        self.age = Text(role="muted", ink="muted", elide=False, parent=self)
        self.what = Text(role="muted", ink="muted", parent=self)
        self.sentence = Row(self)
        self.interval = IntervalBar(self)
        self.ratio, self.power, self.automatic = Row(self), Row(self), Row(self)
        self.time, self.time_words = self._bar("Time of the watch")
        self.load, self.load_words = self._bar("Requests seen by the watch")
        self.heading = Text(role="muted", ink="muted", parent=self)
        self.findings = RowList("What speaks against the deployment", self)
        self.findings.went.connect(self.went)
        self._place_all()

    def _bar(self, name: str) -> tuple[QProgressBar, Text]:
        made = QProgressBar(self)
        made.setTextVisible(False)
        made.setRange(0, 1000)
        made.setFixedHeight(4)
        made.setAccessibleName(name)
        return made, Text(role="muted", elide=False, parent=self)

    def _place_all(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(8)
        top.addWidget(self.head, 1)
        top.addWidget(self.age)
        self.box.addLayout(top)
        self.box.addWidget(self.what)
        self.box.addWidget(self.sentence)
        self.box.addSpacing(4)
        self.box.addWidget(self.interval)
        self.box.addWidget(self.ratio)
        self.box.addWidget(self.power)
        self.box.addSpacing(4)
        for progress, words in ((self.time, self.time_words), (self.load, self.load_words)):
            row = bar(words)
            row.insertWidget(0, progress, 1)
            words.setMinimumWidth(200)
            self.box.addLayout(row)
        self.box.addSpacing(4)
        self.box.addWidget(self.automatic)
        self.box.addWidget(self.heading)
        self.box.addWidget(scrolled(self.findings, self), 1)

    def refresh(self) -> None:
        """Everything as of now."""
        watched: Watched | None = self.state.watches.get(self.place)
        parts = (self.age, self.what, self.power, self.time, self.time_words, self.load, self.load_words)
        for part in (*parts, self.automatic, self.heading, self.findings):
            part.setVisible(watched is not None)
        if watched is None:
            self.head.show_state("pending", "no watch")
            self.sentence.set_row("", NOTHING)
            self._show_ratio(False)
            return
        self._tell(watched)
        self._measure(watched)
        self._list(watched)

    def _tell(self, watched: Watched) -> None:
        now_us = self.cockpit.clock_us()
        quiet = idle(watched, self.state.latency.get(self.place), now_us)
        word, words = glance(watched, now_us, quiet)
        self.head.show_state(word, words)
        self.age.set_text(look_words(watched, now_us), time_tooltip(watched.looked_us))
        version, before = plain(watched.version, 60), plain(watched.from_version, 60) or "nothing"
        came = f"deployment of {version}, was {before}"
        if watched.kind == "rollback":
            came = f"rollback to {version}" + (f", from {before}" if before != version else "")
        self.what.set_text(f"{came}, in {plain(watched.environment, 60)}; {plain(watched.deployment, 80)}")
        was = "Last seen: " if word == "stale" else ""
        self.sentence.set_row("note" if was else "", f"{was}{idle_words(watched) if quiet else sentence(watched)}")
        self.automatic.set_row(*automatic_row(watched, now_us))
        for progress, told, (share, said) in (
            (self.time, self.time_words, time_share(watched, now_us)),
            (self.load, self.load_words, load_share(watched)),
        ):
            progress.setValue(round(1000 * share))
            told.set_text(said)

    def _measure(self, watched: Watched) -> None:
        limit, found = self.cockpit.rules.watch(watched.environment).limit, watched.found
        words = ratio_words(watched, limit)
        nan = math.nan
        figures = (found.ratio, found.low, found.high, found.smallest) if found is not None else (nan, nan, nan, nan)
        self.interval.show_ratio(*figures, limit, bad=found is not None and found.bad, words=words)
        self.ratio.set_row("", words)
        self._show_ratio(bool(words))
        power = power_words(watched, limit)
        self.power.set_row("note", power)
        self.power.setVisible(bool(power))

    def _show_ratio(self, shown: bool) -> None:
        self.interval.setVisible(shown)
        self.ratio.setVisible(shown)

    def _list(self, watched: Watched) -> None:
        now_us = self.cockpit.clock_us()
        rows: list[RowContent] = [finding_row(f, now_us) for f in (*watched.findings, *reversed(watched.passed))]
        nothing = "Nothing speaks against it any more" if rows else "Nothing was found that speaks against it"
        against = any(f.kind not in BLINDING for f in watched.findings)
        speaks = "What speaks against it" if against else "What keeps anybody from telling"
        self.heading.set_text(speaks if watched.findings else nothing)
        if not rows and (watched.found is None or not watched.looked_us):
            self.heading.set_text("Nothing was looked at yet")
        self.findings.set_rows(rows)
