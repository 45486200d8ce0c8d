"""What stands of what people said: holds, overrides, debts and requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.statements import Statement, debts, holds, overrides, requests

S = 1_000_000


def word(kind: str, at_s: int, who: str = "ada@x", **fields: object) -> Statement:
    named = {"version": "1.7.0", "commit": "c", "digest": "d7", "name": who, "reason": "why", "id": f"{kind}{at_s}", **fields}
    return Statement(kind, "gw", "prod", who=who, at_us=at_s * S, **named)  # type: ignore[arg-type]


def test_a_forged_word_holds_and_clears_nothing() -> None:
    assert holds((word("hold", 1, why_not="forged"),)) == ()
    standing = holds((word("hold", 1), word("clear", 2, why_not="the key is revoked")))
    assert [h.version for h in standing] == ["1.7.0"]


def test_nobody_clears_without_a_name() -> None:
    assert len(holds((word("hold", 1), word("clear", 2, who="")))) == 1


def test_the_newest_word_on_an_artifact_in_a_place_tells() -> None:
    assert holds((word("clear", 2), word("hold", 1))) == ()
    again = holds((word("hold", 1), word("clear", 2), word("hold", 3, reason="again")))
    assert [h.reason for h in again] == ["again"]
    assert len(holds((word("hold", 1), word("clear", 2, digest="d8")))) == 1, "another artifact's clear is not its own"


def test_an_override_lasts_until_its_end_and_no_longer() -> None:
    said = (word("override", 10, until_us=20 * S),)
    assert overrides(said, 9 * S) == ()
    assert len(overrides(said, 10 * S)) == len(overrides(said, 20 * S - 1)) == 1
    assert overrides(said, 20 * S) == ()
    assert overrides((word("override", 10),), 11 * S) == (), "without an end it is none"


def test_an_override_ends_early_by_a_word_that_stands() -> None:
    said = word("override", 10, until_us=90 * S)
    assert overrides((said, word("end", 12, about=said.id)), 13 * S) == ()
    assert len(overrides((said, word("end", 12, about=said.id, why_not="forged")), 13 * S)) == 1
    assert len(overrides((said, word("end", 12, about="another")), 13 * S)) == 1


@pytest.mark.parametrize(("who", "owed"), [("ada@x", 1), ("", 1), ("bob@x", 0)])
def test_only_a_second_person_signs_an_emergency_off(who: str, owed: int) -> None:
    assert len(debts((word("emergency", 1, about="k1"), word("sign-off", 2, who=who, about="k1")))) == owed


def test_a_void_sign_off_pays_nothing() -> None:
    said = (word("emergency", 1, about="k1"), word("sign-off", 2, who="bob@x", about="k1", why_not="forged"))
    assert [d.about for d in debts(said)] == ["k1"]
    assert len(debts((word("emergency", 1, about="k1"), word("sign-off", 2, who="bob@x", about="k2")))) == 1


def test_requests_stand_until_withdrawn_or_over() -> None:
    said = word("request", 1, until_us=50 * S)
    assert requests((said,), 2 * S) == (said,)
    assert requests((said,), 50 * S) == ()
    assert requests((said, word("withdraw", 3, about=said.id)), 4 * S) == ()
    assert requests((said, word("withdraw", 3, about=said.id, why_not="forged")), 4 * S) == (said,)


WORDS = st.lists(
    st.builds(
        word,
        st.sampled_from(["hold", "clear"]),
        st.integers(0, 9),
        st.sampled_from(["ada@x", "bob@x", ""]),
        digest=st.sampled_from(["d7", "d8"]),
        why_not=st.sampled_from(["", "", "forged"]),
    ),
    max_size=12,
)


@given(WORDS, st.randoms())
def test_the_order_in_which_words_arrive_does_not_matter(words: list[Statement], chance: object) -> None:
    shuffled = list(words)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {h.digest for h in holds(tuple(shuffled))} == {h.digest for h in holds(tuple(words))}


@given(WORDS)
def test_what_is_held_was_held_last(words: list[Statement]) -> None:
    counted = sorted((w for w in words if not w.why_not and (w.kind == "hold" or w.who)), key=lambda w: (w.at_us, w.kind == "hold"))
    last = {w.digest: w.kind for w in counted}
    assert {h.digest for h in holds(tuple(words))} == {d for d, kind in last.items() if kind == "hold"}
