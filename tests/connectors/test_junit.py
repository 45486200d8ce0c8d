"""Test reports: what real runners write, and everything that is none."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors.junit import MAX_DEPTH, MAX_TESTS, MESSAGE_CHARS, parse_junit, with_tests
from cockpit.domain import checks
from cockpit.domain.checks import CheckState, Suite
from cockpit.domain.errors import BadPayload

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + b"".join(b'<!ENTITY lol%d "%s">' % (n, (b"&lol%d;" % (n - 1) if n > 1 else b"&lol;") * 10) for n in range(1, 10))
    + b']><testsuites><testsuite><testcase name="&lol9;"/></testsuite></testsuites>'
)
EXTERNAL = b'<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite><testcase><failure>&x;</failure></testcase></testsuite>'
SUREFIRE = b"""<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" name="BookTest" time="1,234.5" tests="5">
  <properties><property name="java.version" value="17"/></properties>
  <testcase name="fills" classname="venue.BookTest" time="1,001.25"/>
  <testcase name="flaky" classname="venue.BookTest" time="0.1"><flakyFailure message="once">trace</flakyFailure></testcase>
  <testcase name="both" classname="venue.BookTest" time="nan"><error message="after">later</error>
  <failure message="no fill">at line 3</failure></testcase>
  <testcase name="broke" time="-1"><error type="java.io.IOException"/><system-out>noise</system-out></testcase>
  <testcase name="later" classname="venue.BookTest" time="soon"><skipped/></testcase>
</testsuite>
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"<!doctype html><html><body>Log in</body></html>", "not XML"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "DOCTYPE"),
        (b"<html><body>Log in</body></html>", "<html>"),
        (b'{"tests": []}', "not XML"),
        (b"<testsuites><testsuite>", "not XML"),
        (b'<testsuite><testcase name="a"></testsuite>', "not XML"),
        (b"<testsuite>&unknown;</testsuite>", "not XML"),
        (b'<?xml version="1.0" encoding="no-such-code"?><testsuite/>', "not XML"),
        (b'<?xml version="1.0" encoding="utf-7"?><testsuite/>', "not XML"),
        (b"\xff\xfe\x00", "not XML"),
        (b"<testsuite>" * (MAX_DEPTH + 1), "nested"),
        (BOMB, "DOCTYPE"),
        (EXTERNAL, "DOCTYPE"),
        (b"<testsuite>" + b"<testcase/>" * (MAX_TESTS + 1) + b"</testsuite>", "more than"),
        (b"<testsuite>" + b" " * (32 * 1024 * 1024) + b"</testsuite>", "longer than"),
    ],
)
def test_what_is_no_report_is_refused_quickly(body: bytes, words: str) -> None:
    begun = time.thread_time()
    with pytest.raises(BadPayload) as caught:
        parse_junit(body)
    assert words in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 400
    assert time.thread_time() - begun < 5


def test_what_maven_writes() -> None:
    fills, flaky, both, broke, later = parse_junit(SUREFIRE)
    assert fills == checks.TestResult("venue.BookTest.fills", "passed", 1001.25, "")
    assert (flaky.outcome, flaky.message) == ("passed", "")
    assert (both.outcome, both.duration_s, both.message) == ("failed", 0.0, "no fill\nat line 3")
    assert (broke.name, broke.outcome, broke.duration_s, broke.message) == ("broke", "error", 0.0, "java.io.IOException")
    assert (later.outcome, later.duration_s) == ("skipped", 0.0)


def test_hostile_text_is_made_plain_and_short() -> None:
    name = "a\u202eb" + "x" * 5000
    body = f'<testsuite><testcase name="{name}"><failure message="m">{"z" * 100_000}</failure></testcase><testcase/></testsuite>'
    hostile, nameless = parse_junit(body.encode())
    assert hostile.name.startswith("a\ufffdbx")
    assert len(hostile.name) == 1000
    assert len(hostile.message) == MESSAGE_CHARS
    assert nameless.name == "(no name)"


def test_prefixes_nested_suites_and_other_encodings() -> None:
    head = '<?xml version="1.0" encoding="iso-8859-1"?>\n'
    body = head + '<j:testsuites xmlns:j="x"><j:testsuite><j:testcase name="grün"/></j:testsuite></j:testsuites>'
    assert parse_junit(b"\n" + body.encode("latin-1"))[0].name == "grün"
    assert parse_junit(body.replace("iso-8859-1", "utf-16").encode("utf-16"))[0].name == "grün"
    assert parse_junit(b"<testsuites/>") == ()


def test_what_pytest_writes(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 1 == 2, 'no fill'\n"
        "@pytest.mark.skip(reason='not today')\ndef test_skipped(): pass\n"
        "@pytest.fixture\ndef broken(): raise OSError('no venue')\n"
        "def test_error(broken): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=report.xml", "test_it.py"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
    tests = parse_junit((tmp_path / "report.xml").read_bytes())
    assert [(t.name, t.outcome) for t in tests] == [
        ("test_it.test_good", "passed"),
        ("test_it.test_bad", "failed"),
        ("test_it.test_skipped", "skipped"),
        ("test_it.test_error", "error"),
    ]
    assert "no fill" in tests[1].message
    assert "not today" in tests[2].message
    suite = with_tests(Suite("unit", CheckState.FAILED, started_at_us=5), tests)
    assert (suite.total, suite.passed, suite.failed, suite.errors, suite.skipped, suite.started_at_us) == (4, 1, 1, 1, 1, 5)


PIECES = st.sampled_from(
    [
        *(
            b"<testsuites>",
            b"</testsuites>",
            b"<testsuite>",
            b"</testsuite>",
            b"</testcase>",
            b"<failure>",
            b"</failure>",
            b"<error/>",
            b"<!--",
        ),
        *(
            b'<testcase name="a" time="1e999">',
            b"<testcase time='x'/>",
            b"<!DOCTYPE a>",
            b"<![CDATA[x]]>",
            b"&#0;",
            b"&amp;",
            b"\0",
            b"<!--",
        ),
        b'<?xml version="1.0" encoding="cp037"?>',
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(st.one_of(PIECES, st.binary(max_size=5)), max_size=20).map(b"".join)))
def test_only_bad_payload_comes_out(body: bytes) -> None:
    with contextlib.suppress(BadPayload):
        assert all(t.outcome in ("passed", "failed", "error", "skipped") and t.duration_s >= 0 for t in parse_junit(body))
