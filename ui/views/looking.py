"""The notice bar as the window has it: it counts what else stands in an incident, and takes the word of who looks at it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cockpit.services.incidents import acknowledge
from ui.widgets.notice_bar import NoticeBar

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from cockpit.app import Cockpit


def notice_bar(cockpit: Cockpit, parent: QWidget | None = None) -> NoticeBar:
    """The bar with its button."""
    return NoticeBar(cockpit.clock_us, parent, beside=cockpit.notices.beside, look=partial(acknowledge, cockpit))
