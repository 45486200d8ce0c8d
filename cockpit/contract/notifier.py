"""The contract of Notifier."""
# ruff: noqa: S101 - these are tests

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cockpit.connectors.ports import Message, Notifier
from cockpit.contract.common import Hook, PortContract, World, eventually, fault, new_key, now_us, refused
from cockpit.domain.errors import OutcomeUnknown, Rejected, Unreachable

KINDS = ("deployment_started", "verdict", "rollback", "approval_wanted")


class NotifierWorld(World, kw_only=True):
    """A receiver of notices.

    received: all that arrived since the world was made, each as readable text (decoded: no base64, no JSON escapes, headers included),
    oldest first. refuse: the next notices are understood and refused. lag_s: how long until a notice is there.
    `forbid`, `cut`, `hang` and `lose` concern notices, not only tests of the connection. links: it can show a link.
    form: form(key) is what of a key arrives, where that is not the key itself.
    """

    received: Callable[[], list[str]]
    refuse: Hook | None = None
    links: bool = True
    form: Callable[[str], str] = str
    lag_s: float = 10.0


class NotifierContract(PortContract):
    """What every Notifier does."""

    hung = (Unreachable, OutcomeUnknown)

    def ask(self, world: Any) -> object:
        return world.connector.notify(self.message(), new_key())

    def message(self, kind: str = "verdict", title: str = "") -> Message:
        """A notice with all its parts."""
        words = title or f"title {new_key()}"
        return Message(kind, words, "One word: fine.", "https://cockpit.invalid/a", "gateway", "production", "1.2.0", now_us())

    def test_it_has_the_port(self, world: NotifierWorld) -> None:
        assert isinstance(world.connector, Notifier)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_notice_arrives_once_with_its_words_and_its_key(self, world: NotifierWorld, kind: str) -> None:
        message, key = self.message(kind), new_key()
        assert world.connector.notify(message, key) is None
        arrived = self._arrived(world, message.title)
        assert len(arrived) == 1
        for words in (message.text, message.service, message.environment, message.version, world.form(key)):
            assert words in arrived[0], f"“{words}” did not arrive"
        if world.links:
            assert message.link in arrived[0]

    def test_the_same_key_travels_twice(self, world: NotifierWorld) -> None:
        message, key = self.message(), new_key()
        for _ in range(2):
            world.connector.notify(message, key)
        assert all(world.form(key) in text for text in self._arrived(world, message.title))

    def test_two_keys_differ(self, world: NotifierWorld) -> None:
        message = self.message()
        keys = [new_key(), new_key()]
        for key in keys:
            world.connector.notify(message, key)
        eventually(lambda: len(self._arrived(world, message.title)) == 2, world.lag_s, "both arrived")
        assert [next(k for k in keys if world.form(k) in text) for text in self._arrived(world, message.title)] == keys

    def test_text_is_plain_and_injects_nothing(self, world: NotifierWorld) -> None:
        mark = new_key()
        hostile = Message(
            "verdict", f"{mark}\r\nBcc: x@playground.invalid\r\n\r\n\x1b[2J<b>", "\x00\x1b]0;x\x07\r\n.\r\nQUIT\r\n", "javascript:alert(1)"
        )
        world.connector.notify(hostile, new_key())
        arrived = self._arrived(world, mark)
        assert len(arrived) == 1
        assert "\x1b" not in arrived[0]
        assert "\x00" not in arrived[0]
        assert "\nBcc:" not in arrived[0].replace("\r", "").partition("\n\n")[0]

    def test_testing_the_connection_tells_nobody(self, world: NotifierWorld) -> None:
        before = len(world.received())
        assert world.connector.probe().reached
        assert len(world.received()) == before

    def test_a_refusal_is_sent_once_and_said(self, world: NotifierWorld) -> None:
        refuse, heal = fault(world, world.refuse, "way to refuse a notice")
        refuse()
        with refused(world, Rejected):
            world.connector.notify(self.message(), new_key())
        heal()
        world.connector.notify(self.message(), new_key())

    def test_a_lost_answer_is_not_a_failure_and_not_sent_again(self, world: NotifierWorld) -> None:
        lose, heal = fault(world, world.lose, "way to lose an answer")
        message = self.message()
        lose()
        with refused(world, OutcomeUnknown):
            world.connector.notify(message, new_key())
        heal()
        assert len(self._arrived(world, message.title)) == 1

    def _arrived(self, world: NotifierWorld, words: str) -> list[str]:
        return eventually(lambda: [text for text in world.received() if words in text], world.lag_s, "the notice arrived")
