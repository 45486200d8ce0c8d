"""The window as a whole: selection, keyboard, memory, empty, stale and read-only states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QSettings, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QWidget

from cockpit.domain.release import Environment, Service
from cockpit.services.notices import Severity
from cockpit.services.store import AppState, Change
from tests.fakes.cockpit import FakeCockpit
from ui.main_window import MainWindow
from ui.theme import apply, theme_of
from ui.views.centre import PAGES, VIEWS
from ui.views.help import SHORTCUTS, HelpDialog
from ui.widgets.arming import Phase

LEFT = Qt.MouseButton.LeftButton
Make = Callable[..., MainWindow]


@pytest.fixture
def ini(tmp_path: Path) -> str:
    return str(tmp_path / "window.ini")


@pytest.fixture
def make(qtbot: Any, qapp: QApplication, ini: str) -> Make:
    apply(qapp, "dark")
    now = [100.0]

    def build(cockpit: FakeCockpit | None = None) -> MainWindow:
        window = MainWindow(cockpit or FakeCockpit(), QSettings(ini, QSettings.Format.IniFormat), clock_s=lambda: now[0])
        qtbot.addWidget(window)
        window.show()
        window.activateWindow()
        assert QTest.qWaitForWindowActive(window, 20_000)
        window.now = now  # type: ignore[attr-defined]
        return window

    return build


def key(window: MainWindow, k: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(window.focusWidget() or window, k, modifier)


def fired(window: MainWindow) -> list[Any]:
    return [c for c in window.cockpit.actions.calls if c[0] == "fire"]


# ---- failure and odd states first


def test_no_services_says_what_would_fill_each_screen(make: Make) -> None:
    window = make(FakeCockpit(AppState()))
    assert "No services yet" in window.overview.matrix.accessibleDescription()
    assert "Nothing selected" in window.centre.title.whole
    for name in VIEWS:
        window.centre.go(name)
        window.grab()


def test_before_anything_is_up_each_panel_says_what_is_waited_for(make: Make, qtbot: Any) -> None:
    cockpit = FakeCockpit(AppState(starting="Starting the playground..."))
    window = make(cockpit)
    versions, words = window.centre.view("versions"), "Starting the playground..."
    assert window.overview.matrix.accessibleDescription() == words
    assert window.centre.title.whole == words
    assert versions.table.accessibleDescription().startswith(words)
    assert window.card.plan_page.service.whole == words
    assert all(line.busy for line in (window.overview.line, versions.line, window.card.plan_page.line))
    window.card.button.click()
    assert "not up yet" in window.card.say.as_text
    full = FakeCockpit().store.state
    cockpit.store.apply(starting="", services=full.services, environments=full.environments, versions=full.versions, fleets=full.fleets)
    window.card.tick()
    qtbot.waitUntil(lambda: window.centre.title.whole == "order-gateway in production")
    assert not any(line.busy for line in (window.overview.line, versions.line, window.card.plan_page.line))


def test_read_only_without_configuration_says_what_to_do(make: Make) -> None:
    window = make(FakeCockpit(AppState(), read_only=True))
    assert "without --read-only" in window.overview.matrix.accessibleDescription()


def test_the_theme_is_chosen_in_the_window_and_remembered(make: Make, qapp: QApplication, ini: str) -> None:
    window = make()
    menu = window.header.help.menu()
    menu.aboutToShow.emit()
    menu.aboutToShow.emit()
    (light,) = (a for a in menu.actions() if a.text() == "Theme: light")
    assert not light.isChecked()
    light.trigger()
    assert theme_of(qapp).name == "light"
    menu.aboutToShow.emit()
    assert light.isChecked()
    assert QSettings(ini, QSettings.Format.IniFormat).value("theme") == "light"
    apply(qapp, "dark")


def test_splitters_and_the_logarithmic_axis_are_remembered(make: Make, ini: str) -> None:
    window = make()
    split = window.centre.view("versions").split
    split.setSizes([400, 200])
    split.splitterMoved.emit(400, 1)
    window.centre.view("latency").log_button.click()
    before = split.sizes()
    window.close()
    again = make()
    assert again.centre.view("versions").split.sizes() == before
    assert again.centre.view("latency").log_button.isChecked()
    again.close()


def test_what_is_ready_ages_without_any_other_change(make: Make) -> None:
    window = make()
    ready, cockpit = window.centre.view("versions").ready, window.cockpit
    window.centre.view("versions").table.select("1.7.0")
    before = ready.as_text
    cockpit.now_us += 3_600_000_000
    window.centre.on_change(Change(frozenset(["ages"])))
    assert ready.as_text != before


def test_the_environment_selector_is_the_selection(make: Make) -> None:
    window = make()
    for environment in ("staging", "production", "staging"):
        window.select("order-gateway", environment)
        assert window.header.environment.currentData() == environment
    state = window.cockpit.store.state
    window.cockpit.store.apply(environments=(*state.environments, Environment("canary", 0)))
    window.header.refresh()
    assert window.header.environment.currentData() == window.environment == "staging"


def test_a_repository_alone_still_shows_its_versions(make: Make) -> None:
    full = FakeCockpit().store.state
    alone = AppState(services=(Service("order-gateway", live_version="1.5.0"),), versions={"order-gateway": full.versions["order-gateway"]})
    window = make(FakeCockpit(alone))
    versions = window.centre.view("versions")
    assert (window.service, window.environment) == ("order-gateway", "")
    assert window.card.plan_page.service.whole == "order-gateway"
    assert "[environments.NAME]" in window.card.plan_page.rows.as_text
    assert [r.version.name for r in versions.table.rows_model.rows] == ["1.8.0", "1.7.0", "1.6.0", "1.5.1"]
    for name in VIEWS:
        window.centre.go(name)
        window.grab()


def test_everything_stale(make: Make) -> None:
    cockpit = FakeCockpit()
    cockpit.now_us += 3_600_000_000
    window = make(cockpit)
    cell = window.overview.matrix.cells.cells["order-gateway", "production"]
    assert cell.stale
    assert cell.state == "stale"
    assert cell.age == "1 h"
    assert window.card.button.look == "refused"
    window.grab()


def test_read_only_is_shown_and_nothing_fires(make: Make) -> None:
    window = make(FakeCockpit(read_only=True))
    assert window.header.read_only.isVisible()
    key(window, Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    window.now[0] += 1  # type: ignore[attr-defined]
    key(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert not fired(window)


def test_hostile_and_endless_names_stay_plain_and_keep_the_layout(make: Make) -> None:
    name = "<img src=x onerror=1>" + "n" * 480
    cockpit = FakeCockpit()
    cockpit.latency.empty = True
    state = cockpit.store.state
    cockpit.store.apply(services=(*state.services, Service(name)), environments=(*state.environments, Environment(name, 3)))
    window = make(cockpit)
    window.select(name, name)
    assert window.size().width() == 1280
    for name_of_view in (*VIEWS, *PAGES):
        window.centre.go(name_of_view)
        window.grab()
    assert window.size().width() == 1280
    assert all(label.textFormat() is Qt.TextFormat.PlainText for label in window.findChildren(QLabel) if label.text())
    assert "…" in window.centre.title.text()


def test_services_that_come_later_are_selected(make: Make, qtbot: Any) -> None:
    full = FakeCockpit().store.state
    cockpit = FakeCockpit(AppState(starting="Starting the playground..."))
    window = make(cockpit)
    assert window.header.progress.isVisible()
    assert "Starting" in window.header.progress.text
    cockpit.store.apply(**{name: getattr(full, name) for name in ("services", "environments", "fleets", "versions", "deployments")})
    cockpit.store.apply(starting="")
    qtbot.waitUntil(lambda: not window.header.progress.isVisible())
    assert (window.service, window.environment) == ("order-gateway", "production")
    assert window.header.environment.currentText() == "production"


# ---- the selection drives everything


def test_the_selection_reaches_head_card_and_screens(make: Make) -> None:
    window = make()
    window.overview.matrix.choose("market-data", "staging")
    assert window.centre.title.whole == "market-data in staging"
    assert window.header.environment.currentText() == "staging"
    assert window.card.plan_page.service.whole == "market-data"
    assert window.centre.view("versions").service == "market-data"


def test_the_environment_selector_selects(make: Make) -> None:
    window = make()
    window.header.environment.setCurrentIndex(0)
    window.header.environment.activated.emit(0)
    assert (window.service, window.environment) == ("order-gateway", "staging")


def test_double_click_opens_latency(make: Make) -> None:
    window = make()
    matrix = window.overview.matrix
    index = matrix.cells.index(3, 1)
    matrix.scrollTo(index)
    QTest.mouseDClick(matrix.viewport(), LEFT, pos=matrix.visualRect(index).center())
    assert (window.service, window.environment, window.centre.current) == ("market-data", "production", "latency")


def test_a_changed_state_reaches_the_window(make: Make, qtbot: Any) -> None:
    window = make()
    cockpit = window.cockpit
    at = "order-gateway@production"
    fact = cockpit.store.state.fleets[at]
    nodes = (*fact.value.nodes[:-1], replace(fact.value.nodes[-1], digest="f" * 64))
    cockpit.store.merge("fleets", {at: replace(fact, value=replace(fact.value, nodes=nodes))})
    qtbot.waitUntil(lambda: window.overview.matrix.cells.cells["order-gateway", "production"].words == "3 of 4 mixed")


# ---- keyboard


def test_numbers_choose_views_and_esc_goes_back(make: Make) -> None:
    window = make()
    for number, name in enumerate(VIEWS, 1):
        key(window, Qt.Key(Qt.Key.Key_0.value + number))
        assert window.centre.current == name
    key(window, Qt.Key.Key_Escape)
    assert window.centre.current == VIEWS[-2]


def test_a_walk_without_a_mouse_from_cell_to_fired(make: Make) -> None:
    window = make()
    window.overview.matrix.setFocus()
    key(window, Qt.Key.Key_J)
    assert (window.service, window.environment) == ("market-data", "production")
    key(window, Qt.Key.Key_K)
    key(window, Qt.Key.Key_Left)
    key(window, Qt.Key.Key_Right)
    assert (window.service, window.environment) == ("order-gateway", "production")
    key(window, Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    assert window.card.machine.phase is Phase.ARMED
    window.now[0] += 1  # type: ignore[attr-defined]
    key(window, Qt.Key.Key_Escape)
    assert window.card.machine.phase is Phase.IDLE
    key(window, Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    window.now[0] += 1  # type: ignore[attr-defined]
    key(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert len(fired(window)) == 1


def test_slash_filters_and_typed_letters_are_no_shortcuts(make: Make) -> None:
    window = make()
    key(window, Qt.Key.Key_Slash)
    assert window.header.filter.hasFocus()
    QTest.keyClicks(window.header.filter, "market1a")
    assert window.centre.current == "versions"
    window.header.filter.setText("market")
    assert window.overview.matrix.cells.services == ["market-data"]
    key(window, Qt.Key.Key_Escape)
    assert len(window.overview.matrix.cells.services) == 3


def test_e_a_f5_and_question_mark(make: Make, qtbot: Any) -> None:
    window = make()
    key(window, Qt.Key.Key_E)
    assert window.header.environment.hasFocus()
    window.overview.matrix.setFocus()
    key(window, Qt.Key.Key_A)
    assert window.centre.current == "approvals"
    key(window, Qt.Key.Key_F5)
    assert ("refresh_now", "") in window.cockpit.sync.calls
    QTest.keyClicks(window, "?")
    (dialog,) = window.findChildren(HelpDialog)
    words = [label.text() for label in dialog.findChildren(QLabel)]
    assert all(keys in words for keys, _ in SHORTCUTS)
    assert SHORTCUTS[0] == (f"1 to {len(VIEWS)}", ", ".join(name.capitalize() for name in VIEWS))
    with qtbot.waitSignal(dialog.destroyed):
        dialog.close()


def test_every_control_has_an_accessible_name_and_tab_reaches_the_card(make: Make) -> None:
    window = make()
    for name in VIEWS:
        window.centre.go(name)
    window.centre.go("versions")
    window.overview.matrix.setFocus()
    seen: list[QWidget] = []
    for _ in range(60):
        focus = window.focusWidget()
        assert focus is not None
        if focus in seen:
            break
        seen.append(focus)
        QTest.keyClick(focus, Qt.Key.Key_Tab)
    assert window.card.button in seen
    assert [type(w).__name__ for w in seen if not w.accessibleName()] == []


# ---- memory, sources, notices, playground


def test_selection_view_and_splitters_are_remembered(make: Make) -> None:
    window = make()
    window.select("risk-engine", "staging")
    window.centre.go("sources")
    window.split.setSizes([400, 500, 350])
    sizes = window.split.sizes()
    window.close()
    again = make()
    assert (again.service, again.environment, again.centre.current) == ("risk-engine", "staging", "sources")
    assert again.split.sizes() == sizes


def test_settings_that_are_nonsense_do_not_stop_the_window(make: Make, ini: str) -> None:
    Path(ini).write_text("[General]\nselection=a/b/c\nview=none\ngeometry=12\nsplit=x\n", encoding="utf-8")
    window = make()
    assert (window.service, window.environment, window.centre.current) == ("order-gateway", "production", "versions")


def test_the_sources_button_says_how_they_do_and_opens_them(make: Make) -> None:
    window = make()
    assert window.header.sources.text() == "sources 4 ok, 1 stale, 1 failed, 1 stopped"
    QTest.mouseClick(window.header.sources, LEFT)
    assert window.centre.current == "sources"


def test_the_notice_bar_opens_the_history(make: Make) -> None:
    window = make()
    window.cockpit.notices.tell(Severity.ERROR, "Latency left its band", "p99 is 60 ms", place="latency")
    assert "Latency left its band" in window.notice_bar.text
    QTest.mouseClick(window.notice_bar, LEFT)
    assert window.centre.current == "notices"
    assert len(window.centre.view("notices").table.rows_model.rows) == 1


def test_a_reason_leads_to_its_place_on_the_card_s_version(make: Make) -> None:
    window = make()
    window.card.show_deploy("1.8.0")
    window.go("approvals")
    assert window.centre.current == "approvals"
    assert window.centre.view("approvals").version.name == "1.8.0"


def test_the_playground_switch(make: Make) -> None:
    window = make()
    assert window.header.banner.isVisible()
    QTest.mouseClick(window.header.banner.group.buttons()[1], LEFT)
    assert window.cockpit.playground.calls == ["volatile"]


def test_a_playground_that_is_started_once_the_window_stands_is_said_and_switched(make: Make) -> None:
    cockpit = FakeCockpit()
    begun, cockpit.playground = cockpit.playground, None
    window = make(cockpit)
    banner = window.header.banner
    assert not banner.isVisible()
    cockpit.playground = begun
    window.header.tick()
    assert "made-up" in banner.words.whole
    assert all(choice.isVisible() for choice in banner.group.buttons())
    QTest.mouseClick(banner.group.buttons()[2], LEFT)
    assert cockpit.playground.calls == ["crash"]
    cockpit.playground = None
    window.header.tick()
    assert not banner.isVisible(), "a settings file was made meanwhile"


def test_no_playground_no_banner(make: Make) -> None:
    cockpit = FakeCockpit()
    cockpit.playground = None
    assert not make(cockpit).header.banner.isVisible()


# ---- freezes, policy, pages


def test_the_freeze_light_opens_its_page_and_esc_leads_back(make: Make) -> None:
    window = make()
    QTest.mouseClick(window.header.freeze, LEFT)
    assert window.centre.current == "freezes"
    assert window.centre.tabs.tabText(window.centre.tabs.currentIndex()) == "Approvals"
    key(window, Qt.Key.Key_Escape)
    assert window.centre.current == "versions"
    key(window, Qt.Key.Key_F)
    assert window.centre.current == "freezes"
    QTest.mouseClick(window.centre.tabs, LEFT, pos=window.centre.tabs.tabRect(VIEWS.index("approvals")).center())
    assert window.centre.current == "approvals"


def test_a_policy_that_waits_is_told_beside_everything_else_at_the_smallest_width(make: Make) -> None:
    window = make(FakeCockpit(read_only=True))
    assert not window.header.policy.isVisible()
    window.cockpit.policy.change()
    window.header.refresh()
    assert window.header.policy.words == "policy changed: review"
    assert window.header.sources.text() == "sources 4 ok, 3 not"
    assert window.header.minimumSizeHint().width() <= 1280
    QTest.mouseClick(window.header.policy, LEFT)
    assert window.centre.current == "policy"
    QTest.mouseClick(window.centre.view("policy").close_button, LEFT)
    assert window.centre.current == "versions"


def test_places_that_lines_name_are_found(make: Make) -> None:
    window = make()
    for place, shown in (("overview", "compatibility"), ("freezes", "freezes"), ("approvals", "approvals"), ("nowhere", "approvals")):
        window.go(place)
        assert window.centre.current == shown
    window.go("rollout")
    assert window.card.hasFocus()


def test_a_slept_machine_disarms_the_window_s_card(make: Make) -> None:
    window = make()
    key(window, Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    assert window.card.machine.phase is Phase.ARMED
    window.cockpit.now_us += 3_600_000_000
    window.now[0] += 1  # type: ignore[attr-defined]
    key(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert not fired(window)
    assert window.card.machine.phase is Phase.IDLE


@pytest.mark.parametrize("page", ["freezes", "policy", "compatibility"])
def test_pages_of_nothing_say_what_would_fill_them(make: Make, page: str) -> None:
    window = make(FakeCockpit(AppState()))
    window.go(page)
    assert window.centre.current == page
    window.grab()
    window.close()
    assert make(FakeCockpit(AppState())).centre.current in VIEWS


@pytest.mark.parametrize("theme", ["dark", "light", "contrast"])
def test_it_fits_at_its_smallest_in_every_theme(make: Make, qapp: QApplication, theme: str) -> None:
    window = make()
    apply(qapp, theme)
    window.resize(1280, 800)
    window.centre.go("approvals")
    assert (window.width(), window.height()) == (1280, 800)
    assert window.card.width() >= 280
    assert window.card.button.geometry().bottom() < window.card.height()
    window.grab()
    apply(qapp, "dark")
