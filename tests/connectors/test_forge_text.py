from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import forge_text
from cockpit.connectors.forge_text import Trailers, trailers

MESSAGES = [
    "subject only",
    "Reviewed-by: Bob <bob@x>",
    "subject\n\nReviewed-by: Bob <bob@x>\nacked-by: Cyd <cyd@x>\nCo-authored-by: Dee <dee@x>\nRollback: one-way\n",
    "subject\n\nprose: that looks like one\nand goes on\n\nReviewed-by: Bob <bob@x>\n",
    "subject\n\nprose\nReviewed-by: Bob <bob@x>\n",
    "subject\n\nprose\nReviewed-by: Bob <bob@x>\nSigned-off-by: Cyd <cyd@x>\n",
    "subject\n\nRollback: one-way because\n  the table\n  is dropped\nReviewed-by:   Bob <bob@x>  \nReviewed-by: Bob <bob@x>\n",
    "subject\n\nReviewed-by: Bob <bob@x>\n\nlast words\n",
    "subject\r\n\r\nReviewed-by: Bob <bob@x>\r\n",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_trailers_are_those_that_git_finds(message: str) -> None:
    """Git itself parses the same message."""
    told = subprocess.run(
        ["git", "interpret-trailers", "--parse", "--unfold"],
        input=message.replace("\r\n", "\n"),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.partition(":") for line in told.stdout.splitlines()]
    wanted = [value.strip() for key, _, value in lines if key.lower() in ("reviewed-by", "acked-by")]
    found = trailers(message)
    assert found.reviewers == tuple(dict.fromkeys(wanted))
    assert found.co_authors == tuple(value.strip() for key, _, value in lines if key.lower() == "co-authored-by")
    assert found.rollback == "\n".join(value.strip() for key, _, value in lines if key.lower() == "rollback")


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_message_is_read(message: str) -> None:
    made = forge_text.commit("a" * 40, message, ("A\x1b[0m", "a@x"), 1)
    assert "\x1b" not in f"{made.subject}{made.author}"
    assert "\n" not in made.subject
    assert isinstance(trailers(message), Trailers)


def test_a_log_has_no_colours_and_no_marks() -> None:
    log = "section_start:1560896352:build[collapsed=true]\r\x1b[0KHeader\n\x1b[31;1mred\x1b[0m\r\nsection_end:1560896353:build\r\x1b[0K"
    assert forge_text.log_tail(log) == "Header\nred\n"
    assert len(forge_text.log_tail("x" * 900_000)) == forge_text.LOG_CHARS


def test_patterns_fill_in_once() -> None:
    assert forge_text.filled("{service}/{other}/{environment}", service="{environment}", environment="e") == "{environment}/{other}/e"
    assert forge_text.version_of("gateway/v1.0", "gateway", "") == "1.0"
    assert forge_text.version_of("ledger/v1.0", "gateway", "") == ""
    assert forge_text.foreign("ledger/v1.0", "gateway", "")
    assert not forge_text.foreign("main", "gateway", "")
    assert not forge_text.foreign("v1.0", "gateway", "")
