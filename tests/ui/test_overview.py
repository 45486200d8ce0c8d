"""The matrix: what a cell says, keyboard and pointer, fifty services."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from cockpit.domain.facts import place
from cockpit.domain.release import Deployment, DeployState, NodeStep, Service
from cockpit.services.store import AppState, Change
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.trust import statement
from ui import theme
from ui.bridge import turns_here
from ui.views.overview import READ_A_TURN, OverviewView
from ui.views.overview_cells import CELL_PX, Cells
from ui.views.overview_paint import KEPT, Cards, Look

# the offscreen platform has no window manager to give a least size to
AT = place("order-gateway", "production")
CELL = QRect(0, 0, 312, CELL_PX)


@pytest.fixture
def cockpit() -> FakeCockpit:
    return FakeCockpit()


def show(qtbot: Any, cockpit: FakeCockpit) -> OverviewView:
    view = OverviewView(cockpit)
    qtbot.addWidget(view)
    view.resize(312, 600)
    view.show()
    return view


def change_fleet(cockpit: FakeCockpit, **fields: Any) -> None:
    fact = cockpit.store.state.fleets[AT]
    cockpit.store.merge("fleets", {AT: replace(fact, value=replace(fact.value, **fields))})


def cell(cockpit: FakeCockpit) -> Any:
    return Cells(cockpit).read("order-gateway", "production")


def test_not_known_is_not_ok(cockpit: FakeCockpit) -> None:
    cockpit.store.apply(fleets={}, latency={})
    found = cell(cockpit)
    assert (found.state, found.version) == ("unknown", "not known")
    assert "never seen" in found.sentence


@pytest.mark.parametrize("unread", ["versions", "fleets"])
def test_what_is_pending_is_not_known_before_versions_and_nodes_answered(cockpit: FakeCockpit, unread: str) -> None:
    assert cell(cockpit).pending_words == "2 pending"
    cockpit.store.apply(**{unread: {}})
    found = cell(cockpit)
    assert found.pending_words == "pending not known"
    assert "pending versions not known" in found.sentence


def test_stale_is_said_with_its_age(cockpit: FakeCockpit) -> None:
    cockpit.now_us += 120_000_000
    found = cell(cockpit)
    assert (found.stale, found.state, found.age, found.p99) == (True, "stale", "2 min", "")


def test_a_mixed_fleet_is_loud(cockpit: FakeCockpit) -> None:
    found = Cells(cockpit).read("market-data", "production")
    assert (found.state, found.words, found.loud) == ("mixed", "3 of 4 mixed", True)


def test_a_node_that_is_not_healthy_is_loud(cockpit: FakeCockpit) -> None:
    nodes = cockpit.store.state.fleets[AT].value.nodes
    change_fleet(cockpit, nodes=(replace(nodes[0], healthy=False), *nodes[1:]))
    assert (cell(cockpit).state, cell(cockpit).words) == ("bad", "1 of 4 not healthy")


def test_a_deployment_under_way_shows_its_nodes(cockpit: FakeCockpit) -> None:
    steps = (NodeStep("production-1", "done"), NodeStep("production-2", "starting"))
    change_fleet(
        cockpit, active=Deployment("d", "k", "order-gateway", "production", "1.7.0", "x", "deploy", DeployState.RUNNING, steps=steps)
    )
    assert (cell(cockpit).state, cell(cockpit).words) == ("running", "1/4 to 1.7.0")


def test_p99_outside_its_band_warns(cockpit: FakeCockpit) -> None:
    assert (cell(cockpit).state, cell(cockpit).words) == ("warning", "4/4, p99 high")


def test_pending_is_counted_again_only_for_other_versions(cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Cells(cockpit)
    assert cells.read("order-gateway", "production").pending == 2
    monkeypatch.setattr("ui.views.overview_cells.status.pending_versions", lambda *a: pytest.fail("counted again"))
    assert cells.read("order-gateway", "production").pending == 2


def test_no_services_say_what_would_fill_it(qtbot: Any) -> None:
    view = show(qtbot, FakeCockpit(AppState()))
    assert "cockpit.toml" in view.matrix.accessibleDescription()
    view.grab()


def test_arrows_and_letters_walk_and_stop_at_the_edges(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    view.show_place("order-gateway", "staging")
    heard: list[tuple[str, str]] = []
    view.selected.connect(lambda s, e: heard.append((s, e)))
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Left, Qt.Key.Key_J, Qt.Key.Key_Right, Qt.Key.Key_End, Qt.Key.Key_Down, Qt.Key.Key_K):
        QTest.keyClick(view.matrix, key)
    assert [f"{s}/{e}" for s, e in heard] == [
        "market-data/staging", "market-data/production", "risk-engine/production", "market-data/production"
    ]  # fmt: skip
    with qtbot.waitSignal(view.opened):
        QTest.keyClick(view.matrix, Qt.Key.Key_Return)


def test_a_click_on_a_name_chooses_its_service(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    view.show_place("order-gateway", "production")
    rect = view.matrix.visualRect(view.matrix.cells.index(4, 0))
    QTest.mouseClick(view.matrix.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
    assert (view.service, view.environment) == ("risk-engine", "production")


def test_fifty_services_scroll_and_every_cell_has_a_sentence(qtbot: Any) -> None:
    cockpit = FakeCockpit()
    cockpit.latency.empty = True
    cockpit.store.apply(services=tuple(Service(f"service-{i:02}") for i in range(50)))
    view = show(qtbot, cockpit)
    assert view.matrix.verticalScrollBar().maximum() > 0
    assert view.matrix.horizontalScrollBar().maximum() == 0
    view.show_place("service-49", "staging")
    assert view.matrix.viewport().rect().intersects(view.matrix.visualRect(view.matrix.currentIndex()))
    index = view.matrix.cells.index(99, 1)
    assert view.matrix.cells.data(index, Qt.ItemDataRole.AccessibleTextRole).startswith("service-49 in production")
    view.grab()


def test_a_defect_while_it_is_shown_reaches_the_hook_and_not_the_end_of_the_process(
    qtbot: Any, cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[BaseException] = []
    monkeypatch.setattr("sys.excepthook", lambda kind, error, trace: heard.append(error))

    def broken(*args: Any) -> Any:
        a, b = ["only one"]
        return a, b

    monkeypatch.setattr(cockpit.latency, "columns", broken)
    show(qtbot, cockpit)
    assert [type(e) for e in heard] == [ValueError]


def test_its_ground_follows_another_theme(qtbot: Any, cockpit: FakeCockpit, qapp: QApplication) -> None:
    theme.apply(qapp, "dark")
    view = show(qtbot, cockpit)
    view.resize(312, 900)
    view.grab()
    for name in ("light", "contrast", "dark"):
        theme.apply(qapp, name)
        assert view.grab().toImage().pixelColor(150, 880).name() == theme.theme_of(view).ground.name()


def test_hidden_it_waits(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    view.hide()
    change_fleet(cockpit, nodes=())
    view.on_change(Change(frozenset(["fleets"])))
    assert view.matrix.cells.cells["order-gateway", "production"].words != "no nodes"
    view.show()
    assert view.matrix.cells.cells["order-gateway", "production"].words == "no nodes"


def test_markup_in_tooltips_is_escaped(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.latency.empty = True
    cockpit.store.apply(services=(Service("<b>x"),))
    view = show(qtbot, cockpit)
    assert "<b>" not in view.matrix.cells.data(view.matrix.cells.index(1, 0), Qt.ItemDataRole.ToolTipRole)


def test_a_review_owed_is_loud_until_a_second_person_signed_it_off(qtbot: Any, cockpit: FakeCockpit) -> None:
    first = statement("emergency", "1.6.0", about="k1", id="e1")
    cockpit.store.apply(statements=(first, statement("emergency", "1.6.0", about="k2", id="e2")))
    view = show(qtbot, cockpit)
    assert "2 reviews owed" in cell(cockpit).sentence
    view.grab()
    mine = statement("sign-off", "1.6.0", about="k1", id="s1")
    cockpit.store.apply(statements=(*cockpit.store.state.statements, mine))
    assert cell(cockpit).owed == 2, "who acted cannot sign it off"
    other = statement("sign-off", "1.6.0", about="k1", id="s2", who="emre.sol@playground.invalid")
    cockpit.store.apply(statements=(*cockpit.store.state.statements, other))
    assert cell(cockpit).owed == 1


def test_held_versions_are_named(qtbot: Any, cockpit: FakeCockpit) -> None:
    cockpit.store.apply(statements=(statement("hold", "1.7.0"), statement("hold", "1.8.0", id="h2")))
    view = show(qtbot, cockpit)
    found = cell(cockpit)
    assert found.held == ("1.7.0", "1.8.0")
    assert "1.7.0, 1.8.0 held" in found.sentence
    view.grab()


def test_the_odd_node_is_named_in_the_tooltip(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    index = view.matrix.cells.index(3, 1)
    tip = view.matrix.cells.data(index, Qt.ItemDataRole.ToolTipRole)
    assert "production-4 runs 2.3.1, the others 2.3.0" in tip


def test_another_configuration_is_mixed_too_and_names_its_node(cockpit: FakeCockpit) -> None:
    nodes = cockpit.store.state.fleets[AT].value.nodes
    change_fleet(cockpit, nodes=(*(replace(n, config="a" * 64) for n in nodes[:-1]), replace(nodes[-1], config="b" * 64)))
    found = cell(cockpit)
    assert (found.state, found.words) == ("mixed", "1 of 4 set differently")
    assert "production-4 has another configuration" in found.odd


def test_statements_are_counted_again_only_when_there_are_others(cockpit: FakeCockpit, monkeypatch: pytest.MonkeyPatch) -> None:
    cockpit.store.apply(statements=(statement("hold", "1.7.0"),))
    cells = Cells(cockpit)
    cells.read("order-gateway", "production")
    monkeypatch.setattr("ui.views.overview_cells.holds", lambda *a: pytest.fail("counted again"))
    assert cells.read("order-gateway", "production").held == ("1.7.0",)


def test_what_needs_what_is_one_press_away(qtbot: Any, cockpit: FakeCockpit) -> None:
    view = show(qtbot, cockpit)
    with qtbot.waitSignal(view.went) as heard:
        QTest.mouseClick(view.needs, Qt.MouseButton.LeftButton)
    assert heard.args == ["compatibility"]


def fifty(qtbot: Any) -> tuple[FakeCockpit, OverviewView]:
    cockpit = FakeCockpit()
    cockpit.store.apply(services=tuple(Service(f"service-{i:02}") for i in range(50)))
    view = show(qtbot, cockpit)
    view.show_place("service-00", "production")
    qtbot.waitUntil(lambda: not turns_here().waiting)
    return cockpit, view


def heal(cockpit: FakeCockpit, count: int) -> Change:
    """Nodes of the first services are known from now on."""
    fact = cockpit.store.state.fleets[AT]
    fresh = {
        place(f"service-{i:02}", "production"): replace(fact, value=replace(fact.value, service=f"service-{i:02}")) for i in range(count)
    }
    cockpit.store.merge("fleets", fresh)
    return Change(frozenset(["fleets", "sources"]), frozenset([*fresh, "ci"]))


def test_cells_that_changed_together_are_read_and_painted_in_turns(qtbot: Any) -> None:
    cockpit, view = fifty(qtbot)
    told: list[str] = []
    view.matrix.cells.dataChanged.connect(lambda index, _: told.append(view.matrix.cells.cell(index).service))
    change = heal(cockpit, 50)
    view.on_change(change)
    assert len(told) <= READ_A_TURN, "all together would hold up the hand"
    qtbot.waitUntil(lambda: len(told) == 50)
    assert set(told) == {f"service-{i:02}" for i in range(50)}
    seen = [service for service, _ in view.matrix.in_sight()]
    assert set(told[: len(set(seen))]) == set(seen), "what is seen comes first"


def test_what_was_painted_in_turns_looks_as_if_painted_whole(qtbot: Any) -> None:
    cockpit, view = fifty(qtbot)
    before = on_screen(view)
    told: list[int] = []
    view.matrix.cells.dataChanged.connect(lambda index, _: told.append(index.row()))
    view.on_change(heal(cockpit, 50))
    qtbot.waitUntil(lambda: len(told) == 50)
    QApplication.sendPostedEvents()
    in_turns = on_screen(view)
    assert in_turns != before
    view.matrix.viewport().repaint()
    assert on_screen(view) == in_turns


def on_screen(view: OverviewView) -> QImage:
    """What is there, without painting it anew."""
    return view.screen().grabWindow(view.winId()).toImage()


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_the_kept_picture_of_a_cell_is_the_cell(qtbot: Any, cockpit: FakeCockpit, ratio: float) -> None:
    cards, looks = Cards(), [Look(current, focus, ratio) for current in (False, True) for focus in (False, True)]
    plain = Cells(cockpit).read("order-gateway", "production")
    cells = [plain, replace(plain, stale=True, state="stale"), replace(plain, loud=True, state="bad"), replace(plain, age="12 min", p99="")]
    cells += [replace(plain, held=("1.7.0",), owed=2), replace(plain, watch="bad", watch_words="worse", watch_loud=True, alerts=2)]
    for number, cell in enumerate(cells):
        for look in looks:
            kept, fresh, direct = canvas(ratio), canvas(ratio), canvas(ratio)
            for picture, paint in ((kept, cards.paint), (kept, cards.paint), (fresh, Cards().paint)):
                with QPainter(picture) as painter:
                    paint(painter, CELL, cell, theme.THEMES["dark"], look)
            with QPainter(direct) as painter:
                # a ratio between whole ones has no picture
                Cards().paint(painter, CELL, cell, theme.THEMES["dark"], Look(look.current, look.focus, 1.5))
            assert kept == fresh == direct, f"cell {number}, {look}"
    assert len(cards._kept) == 1, "one picture a place"


def canvas(ratio: float) -> QImage:
    made = QImage(CELL.size() * ratio, QImage.Format.Format_RGB32)
    made.setDevicePixelRatio(ratio)
    made.fill(theme.THEMES["dark"].ground)
    return made


def test_pictures_of_cells_are_bounded(qtbot: Any, cockpit: FakeCockpit) -> None:
    cards, cell = Cards(), Cells(cockpit).read("order-gateway", "production")
    picture = canvas(1.0)
    with QPainter(picture) as painter:
        for i in range(KEPT + 20):
            cards.paint(painter, CELL, replace(cell, service=f"service-{i}"), theme.THEMES["dark"], Look(False, False, 1.0))
    assert len(cards._kept) == KEPT


def test_hidden_halfway_the_rest_is_read_when_shown_again(qtbot: Any) -> None:
    cockpit, view = fifty(qtbot)
    view.on_change(heal(cockpit, 50))
    assert view.matrix.cells.cells["service-49", "production"].state == "unknown"
    view.hide()
    qtbot.waitUntil(lambda: not turns_here().waiting)
    assert view.matrix.cells.cells["service-49", "production"].state == "unknown", "what nobody sees costs nothing"
    view.show()
    assert view.matrix.cells.cells["service-49", "production"].state != "unknown"


def test_a_change_of_one_service_reads_no_other(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cockpit, view = fifty(qtbot)
    read: list[str] = []
    cells = Cells(cockpit)
    monkeypatch.setattr(view._cells, "read", lambda service, environment: (read.append(service), cells.read(service, environment))[1])
    view.on_change(heal(cockpit, 1))
    view.on_change(Change(frozenset(["sources"]), frozenset(["ci"])))
    qtbot.waitUntil(lambda: len(read) >= len(cockpit.store.state.environments))
    assert set(read) == {"service-00"}
