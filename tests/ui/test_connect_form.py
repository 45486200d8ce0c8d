"""The form of a connection: mistakes, refusals and a failed test first; then by keyboard alone; a secret is never shown and never kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QWidget

from cockpit.domain.connection import Draft, Kept, Kind, KindField, Trial
from cockpit.domain.errors import AuthFailed, ConfigError, NotAllowed
from tests.fakes.cockpit import FakeCockpit
from tests.fakes.connecting import FakeSystems
from ui.theme import THEMES, apply
from ui.views.connect import ConnectDialog
from ui.views.sources import SourcesView

LEFT = Qt.MouseButton.LeftButton
TOKEN = "s3cret-t0ken"


@pytest.fixture
def systems() -> FakeSystems:
    return FakeSystems()


@pytest.fixture
def opened(qtbot: Any, systems: FakeSystems) -> Iterator[Callable[..., ConnectDialog]]:
    made: list[ConnectDialog] = []

    def make(kind: str = "ci-v1", draft: Any = None, **how: Any) -> ConnectDialog:
        dialog = ConnectDialog(systems, draft, **how)
        # tests look at it after it was closed
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        qtbot.addWidget(dialog)
        dialog.show()
        if draft is None and kind:
            dialog.kinds.choose(kind)
        made.append(dialog)
        return dialog

    yield make
    for dialog in made:
        dialog.close()


def type_into(line: Any, text: str) -> None:
    assert isinstance(line, QLineEdit)
    line.setText(text)


def fill(dialog: ConnectDialog, url: str = "https://ci.example.org") -> None:
    type_into(dialog.form.rows["url"].editor, url)


# -- mistakes ------------------------------------------------------------------------------------------------------------------------


def test_nothing_can_be_done_before_a_kind_is_chosen(opened: Callable[..., ConnectDialog]) -> None:
    dialog = opened("")
    assert not dialog.save_button.isEnabled()
    assert not dialog.test_button.isEnabled()
    assert "Choose what to connect" in dialog.found.as_text


def test_a_mistake_is_said_at_its_field_and_beside_the_buttons(opened: Callable[..., ConnectDialog]) -> None:
    dialog = opened()
    assert "Address is needed" in dialog.found.as_text
    assert "blocked" not in dialog.form.rows["url"].note.as_text, "nobody is blamed before they typed"
    fill(dialog, "htp://x")
    assert "must begin with http" in dialog.form.rows["url"].note.as_text
    type_into(dialog.name.editor, "deployer")
    assert "another connection already" in dialog.name.note.as_text
    assert not dialog.save_button.isEnabled()
    fill(dialog)
    type_into(dialog.name.editor, "ci-2")
    assert dialog.save_button.isEnabled()
    assert "Not tested yet" in dialog.found.as_text


def test_a_failed_test_says_why_and_the_way_out_and_saving_stays_possible(
    opened: Callable[..., ConnectDialog], systems: FakeSystems
) -> None:
    systems.found = Trial(80.0, error=AuthFailed("The token was refused (401).", hint="Make a new one."))
    dialog = opened()
    fill(dialog)
    QTest.mouseClick(dialog.test_button, LEFT)
    assert "failed  Not authorised: The token was refused (401)." in dialog.found.as_text
    assert "Way out: Make a new one." in dialog.found.as_text
    assert dialog.save_button.isEnabled()
    # what was found belongs to what was tested
    fill(dialog, "https://other.example.org")
    assert "Not tested yet" in dialog.found.as_text


def test_an_answer_to_what_was_asked_before_is_let_go(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    systems.later = []
    dialog = opened()
    fill(dialog)
    QTest.mouseClick(dialog.test_button, LEFT)
    assert "Testing" in dialog.found.as_text
    assert not dialog.test_button.isEnabled()
    fill(dialog, "https://other.example.org")
    assert dialog.test_button.isEnabled()
    systems.later.pop()()
    assert "Not tested yet" in dialog.found.as_text
    QTest.mouseClick(dialog.test_button, LEFT)
    dialog.close()
    systems.later.pop()()


def test_what_is_refused_stays_in_the_form(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    systems.error = ConfigError("no", hint="Correct the file.", problems=("a: wrong", "b: wrong"))
    dialog = opened()
    fill(dialog)
    type_into(dialog.token.secret, TOKEN)
    QTest.mouseClick(dialog.save_button, LEFT)
    assert dialog.isVisible()
    assert "a: wrong" in dialog.found.as_text
    assert "b: wrong" in dialog.found.as_text
    assert dialog.token.token == TOKEN
    assert dialog.form.values() == {"url": "https://ci.example.org"}


def test_where_the_team_decides_the_text_can_be_copied_instead(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    systems.refusal = NotAllowed("Your team's policy says which systems are connected.", hint="Add it there.")
    dialog = opened()
    fill(dialog)
    type_into(dialog.token.secret, TOKEN)
    assert not dialog.save_button.isEnabled()
    assert "Add it there" in dialog.found.as_text
    QTest.mouseClick(dialog.test_button, LEFT)
    assert "Reached ci 1.0" in dialog.found.as_text, "a test is possible all the same"
    QTest.mouseClick(dialog.copy_button, LEFT)
    assert 'url = "https://ci.example.org"' in QApplication.clipboard().text()
    assert TOKEN not in QApplication.clipboard().text()


def test_a_token_that_is_needed_and_a_variable_that_is_none(opened: Callable[..., ConnectDialog]) -> None:
    dialog = opened("slack")
    fill(dialog, "https://hooks.example.org/services")
    assert "Secret part of the address is needed" in dialog.found.as_text
    dialog.token.where.setCurrentIndex(1)
    assert "Name the environment variable" in dialog.found.as_text
    type_into(dialog.token.variable, "xoxb-123")
    assert "not a token" in dialog.token.note.as_text
    assert "xoxb" not in dialog.found.as_text
    type_into(dialog.token.variable, "CHAT_TOKEN")
    assert dialog.draft().token_env == "CHAT_TOKEN"
    assert dialog.save_button.isEnabled()


def test_a_keyring_that_does_not_is_said_at_the_token(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    systems.keyring = ("The keyring is locked.", "Unlock it.")
    assert "The keyring is locked. Unlock it." in opened().token.note.as_text


def test_the_playground_asks_for_the_code_first(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    systems.first, systems.services = True, ()
    dialog = opened()
    assert "Begin with your code" in dialog.found.as_text
    assert not dialog.besides.isHidden()
    dialog.kinds.choose("git")
    type_into(dialog.form.rows["path"].editor, "/src/gw")
    assert not dialog.save_button.isEnabled()
    type_into(dialog.services.names.editor, "gw, risk,gw")
    assert dialog.draft().services == ("gw", "risk")
    assert dialog.save_button.isEnabled()


# -- what it offers ------------------------------------------------------------------------------------------------------------------


def test_kinds_are_found_by_what_they_do(opened: Callable[..., ConnectDialog]) -> None:
    dialog = opened("")
    assert len(dialog.kinds.shown()) >= 10
    type_into(dialog.kinds.search, "alerts")
    assert "alertmanager" in dialog.kinds.shown()
    assert dialog.kind is not None, "what was found first is shown"
    type_into(dialog.kinds.search, "no such thing")
    assert dialog.kinds.shown() == ()


def test_every_kind_of_field_has_its_editor(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    fields = (
        KindField("a", "Text"),
        KindField("p", "Place", "path"),
        KindField("n", "Number", "number", False, "5"),
        KindField("c", "Choice", "choice", False, "two", "One of them", ("one", "two")),
        KindField("s", "Secret", "secret"),
    )
    systems.add_kind(Kind("theirs", "Theirs", "Other", ("CiSystem",), ("test runs",), fields, ("read <b>all</b>",), "an installed package"))
    dialog = opened("theirs")
    assert list(dialog.form.rows) == ["a", "p", "n", "c"]
    assert dialog.form.rows["p"].browse.menu() is not None
    assert not dialog.form.rows["n"].isVisible()
    assert "an installed package" in dialog.besides.as_text
    assert "read <b>all</b>" in dialog.needs.as_text
    dialog.form.more.click()
    assert dialog.form.rows["n"].isVisible()
    type_into(dialog.form.rows["a"].editor, "x")
    type_into(dialog.form.rows["p"].editor, "/x")
    type_into(dialog.form.rows["n"].editor, "five")
    assert "Number must be a number" in dialog.form.rows["n"].note.as_text
    type_into(dialog.form.rows["n"].editor, "6")
    type_into(dialog.token.secret, TOKEN)
    assert dialog.draft().options == {"a": "x", "p": "/x", "n": "6", "c": "two"}


def test_services_are_chosen(opened: Callable[..., ConnectDialog]) -> None:
    dialog = opened()
    fill(dialog)
    assert dialog.draft().services == ()
    dialog.services.scope.setCurrentIndex(1)
    assert "Choose at least one service" in dialog.found.as_text
    dialog.services.list.item(1).setSelected(True)
    assert dialog.draft().services == ("order-gateway",)
    assert dialog.save_button.isEnabled()


def test_saved_by_keyboard_alone_and_the_secret_is_forgotten(
    qtbot: Any, opened: Callable[..., ConnectDialog], systems: FakeSystems
) -> None:
    dialog = opened("")
    said: list[Any] = []
    dialog.saved.connect(lambda *words: said.append(words))
    QTest.keyClicks(dialog.kinds.search, "ci-v1")
    qtbot.waitUntil(dialog.form.rows["url"].isVisible)
    way: list[QWidget] = [dialog.kinds.search]
    while way[-1] is not dialog.save_button and len(way) < 30:
        following = way[-1].nextInFocusChain()
        while not (following.isVisible() and following.isEnabled() and following.focusPolicy() & Qt.FocusPolicy.TabFocus):
            following = following.nextInFocusChain()
        way.append(following)
        if following is dialog.form.rows["url"].editor:
            QTest.keyClicks(following, "https://ci.example.org")
        if following is dialog.token.secret:
            QTest.keyClicks(following, TOKEN)
    assert way[-1] is dialog.save_button
    ordered = [dialog.name.editor, dialog.form.rows["url"].editor, dialog.services.scope, dialog.token.secret, dialog.cancel_button]
    assert [way.index(w) for w in ordered] == sorted(way.index(w) for w in ordered), "the reading order"
    QTest.keyClick(dialog.save_button, Qt.Key.Key_Space)
    (_, draft, secret) = systems.calls[-1]
    assert (draft.id, draft.options, secret) == ("ci-v1", {"url": "https://ci.example.org"}, TOKEN)
    assert TOKEN not in repr(draft)
    assert said == [("ci-v1", "ok", "Saved in /etc/cockpit.toml.")]
    assert not dialog.isVisible()
    assert dialog.token.secret.text() == ""


def test_changing_one_never_shows_its_secret(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    dialog = opened(draft=systems.drafts["ci"])
    assert not dialog.kinds.isVisible()
    assert dialog.token.secret.text() == ""
    assert "left as it is" in dialog.token.secret.placeholderText()
    assert dialog.token.secret.echoMode() is QLineEdit.EchoMode.Password
    assert dialog.draft().services == ("order-gateway",)
    fill(dialog, "https://new.example.org")
    QTest.mouseClick(dialog.save_button, LEFT)
    name, draft, secret = systems.calls[-1]
    assert (name, draft.before, secret) == ("save", systems.drafts["ci"].before, "")
    assert draft.options["url"] == "https://new.example.org"


def test_a_new_token_alone(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    systems.refusal = NotAllowed("The team's policy decides.")
    dialog = opened(draft=systems.drafts["ci"], token_only=True)
    assert not dialog.form.isVisible()
    assert not dialog.save_button.isEnabled()
    type_into(dialog.token.secret, TOKEN)
    assert dialog.save_button.isEnabled(), "a token is each person's own"
    QTest.mouseClick(dialog.save_button, LEFT)
    assert systems.calls[-1] == ("new_token", "ci", TOKEN)


def test_escape_saves_nothing(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    dialog = opened()
    fill(dialog)
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()
    assert systems.calls == []


@pytest.mark.parametrize("theme", sorted(THEMES))
def test_nothing_is_cut_and_everything_has_a_name(opened: Callable[..., ConnectDialog], qapp: QApplication, theme: str) -> None:
    apply(qapp, theme)
    dialog = opened("")
    for kind in dialog.kinds.shown():
        dialog.kinds.choose(kind)
        assert dialog.width() <= 1280
        assert dialog.height() <= 760
        for widget in dialog.findChildren(QWidget):
            if widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus and type(widget).__name__ != "QScrollArea":
                assert widget.accessibleName() or widget.parent().accessibleName() or type(widget).__name__.startswith("QLine"), widget
        for shown in (dialog.save_button, dialog.test_button, dialog.cancel_button, dialog.heading):
            assert dialog.rect().contains(shown.geometry())
    apply(qapp, "dark")


# -- from the list of sources ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(qtbot: Any) -> SourcesView:
    view = SourcesView(FakeCockpit())
    qtbot.addWidget(view)
    view.resize(668, 640)
    view.show()
    return view


def fake(view: SourcesView) -> FakeSystems:
    found = view.cockpit.systems
    assert isinstance(found, FakeSystems)
    return found


def test_a_repository_is_no_connection_of_the_settings(view: SourcesView) -> None:
    view.table.select("deployer")
    for made in (view.change_button, view.token_button):
        QTest.mouseClick(made, LEFT)
        assert "blocked  Not there: There is no connection “deployer”" in view.detail.as_text
    assert not view.findChildren(ConnectDialog)


def test_removing_is_asked_for_twice_and_another_row_ends_the_question(view: SourcesView) -> None:
    view.table.select("ci")
    QTest.mouseClick(view.remove_button, LEFT)
    assert "Remove ci and its token" in view.remove_button.text()
    assert fake(view).calls == []
    view.table.select("deployer")
    assert view.remove_button.text() == "Remove"
    view.table.select("ci")
    QTest.mouseClick(view.remove_button, LEFT)
    QTest.mouseClick(view.remove_button, LEFT)
    assert fake(view).calls == [("remove", "ci")]
    assert "Removed from /etc/cockpit.toml" in view.detail.as_text
    fake(view).error = NotAllowed("It is read-only.", hint="Ask for rights.")
    QTest.mouseClick(view.remove_button, LEFT)
    QTest.mouseClick(view.remove_button, LEFT)
    assert "It is read-only. Ask for rights." in view.detail.as_text


def test_adding_opens_the_form_and_what_it_did_is_said(view: SourcesView) -> None:
    fake(view).kept = Kept("/etc/cockpit.toml", "The keyring is locked. Secrets are held in memory only.", "It waits.")
    view.table.select("ci")
    QTest.mouseClick(view.change_button, LEFT)
    (dialog,) = view.findChildren(ConnectDialog)
    fill(dialog, "https://new.example.org")
    QTest.mouseClick(dialog.save_button, LEFT)
    assert "warning  It waits. The keyring is locked." in view.detail.as_text
    QTest.mouseClick(view.add_button, LEFT)
    added = [d for d in view.findChildren(ConnectDialog) if d.isVisible()]
    assert len(added) == 1
    added[0].close()


def test_a_stopped_source_says_what_the_keyring_says(view: SourcesView) -> None:
    fake(view).keyring = ("The keyring is locked.", "Unlock it.")
    view.table.select("vendor")
    assert "The keyring is locked. Unlock it." in view.detail.as_text


def test_a_token_that_came_from_a_variable_is_not_taken_for_one_in_the_keyring(
    opened: Callable[..., ConnectDialog], systems: FakeSystems
) -> None:
    secret = KindField("token", "Token", "secret", required=True)
    systems.add_kind(Kind("strict", "Strict", "Tests", ("CiSystem",), (), (secret,)))
    dialog = opened(draft=Draft("strict", "strict", {}, (), "CI_TOKEN", {"kind": "strict", "token_env": "CI_TOKEN"}))
    assert dialog.save_button.isEnabled()
    dialog.token.where.setCurrentIndex(0)
    assert not dialog.save_button.isEnabled(), "it would be saved without any token"
    type_into(dialog.token.secret, TOKEN)
    assert dialog.save_button.isEnabled()


def test_a_long_value_is_never_saved_cut_off(opened: Callable[..., ConnectDialog], systems: FakeSystems) -> None:
    long = "\n".join(f"production/node-{n}=http://10.0.0.{n}:8080" for n in range(200))
    draft = Draft("ci", "ci-v1", {"url": "https://ci.example.org", "ca_file": long}, (), "", {"kind": "ci-v1"})
    assert len(long) > 2000
    assert opened(draft=draft).draft().options["ca_file"] == long
