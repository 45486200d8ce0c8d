"""Test reports in JUnit's XML, as pytest, Maven, Gradle and most runners write them. Pure: bytes in, results out."""

from __future__ import annotations

import math
from xml.parsers import expat

import msgspec

from cockpit.connectors.text import one_line, plain
from cockpit.domain.checks import Suite, TestResult
from cockpit.domain.errors import BadPayload

MAX_BYTES = 32 * 1024 * 1024
MAX_TESTS = 200_000
MAX_DEPTH = 100
MAX_DURATION_S = 1e9
NAME_CHARS = 1000
MESSAGE_CHARS = 4000
_OUTCOMES = {"failure": "failed", "error": "error", "skipped": "skipped"}
_WORST = ("failed", "error", "skipped", "passed")
_HINT = "The report must be XML of the form that pytest --junitxml writes."


def parse_junit(body: bytes) -> tuple[TestResult, ...]:
    """Every test case in the order of the report, named `classname.name`; BadPayload where it is no report.

    A case with a failure and an error counts as failed. Documents with a DOCTYPE are refused: no report has one, and bombs need one.
    """
    body = body.strip()
    if not body:
        raise BadPayload("The test report is empty.", hint=_HINT)
    if len(body) > MAX_BYTES:
        raise BadPayload(f"The test report is longer than {MAX_BYTES} bytes.", hint="Split it into several suites.")
    report = _Report()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _no_doctype  # the only way to entities
    parser.StartElementHandler = report.begin
    parser.EndElementHandler = report.end
    parser.CharacterDataHandler = report.text
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the last two: encodings that it or Python does not know
        raise BadPayload(f"The test report is not XML: {one_line(str(error), 200)}.", hint=_HINT) from None
    return tuple(report.tests)


def with_tests(suite: Suite, tests: tuple[TestResult, ...]) -> Suite:
    """The suite with these tests and their counts; its state and times stay."""
    counts = dict.fromkeys(("passed", "failed", "error", "skipped"), 0)
    for test in tests:
        counts[test.outcome] = counts.get(test.outcome, 0) + 1
    return msgspec.structs.replace(
        suite,
        tests=tests,
        total=len(tests),
        passed=counts["passed"],
        failed=counts["failed"],
        errors=counts["error"],
        skipped=counts["skipped"],
    )


def _no_doctype(*_: object) -> None:
    raise BadPayload("The test report has a DOCTYPE, which is refused.", hint="Write it without one: it could make one line gigabytes.")


class _Report:
    """What the parser has seen so far."""

    def __init__(self) -> None:
        self.tests: list[TestResult] = []
        self._path: list[str] = []
        self._case: dict[str, str] | None = None
        self._outcome = "passed"
        self._words = ""
        self._reading = False

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if not self._path and name not in ("testsuites", "testsuite"):
            raise BadPayload(f"The test report begins with <{one_line(name, 50)}>, not with <testsuites>.", hint=_HINT)
        if len(self._path) >= MAX_DEPTH:
            raise BadPayload(f"The test report is nested more than {MAX_DEPTH} deep.", hint=_HINT)
        parent = self._path[-1] if self._path else ""
        self._path.append(name)
        if name == "testcase":
            self._case, self._outcome, self._words = attributes, "passed", ""
        elif parent == "testcase" and name in _OUTCOMES:
            worse = _WORST.index(_OUTCOMES[name]) < _WORST.index(self._outcome)
            self._reading = worse
            if worse:
                self._outcome, self._words = _OUTCOMES[name], _first_words(attributes)

    def text(self, data: str) -> None:
        if self._reading and len(self._words) <= MESSAGE_CHARS:
            self._words += data[: MESSAGE_CHARS + 1]

    def end(self, tag: str) -> None:
        name = self._path.pop()
        if name in _OUTCOMES:
            self._reading = False
        if name != "testcase" or self._case is None:
            return
        if len(self.tests) >= MAX_TESTS:
            raise BadPayload(f"The test report has more than {MAX_TESTS} tests.", hint="Split it into several suites.")
        full = ".".join(part for part in (self._case.get("classname", ""), self._case.get("name", "")) if part)
        duration_s = _seconds(self._case.get("time", ""))
        words = plain(self._words.strip(), MESSAGE_CHARS)
        self.tests.append(TestResult(one_line(full, NAME_CHARS) or "(no name)", self._outcome, duration_s, words))
        self._case = None


def _first_words(attributes: dict[str, str]) -> str:
    message = attributes.get("message", "") or attributes.get("type", "")
    return f"{message[:MESSAGE_CHARS]}\n" if message else ""


def _seconds(text: str) -> float:
    """Some write 1,234.5; what is no number of seconds is not known, and so 0."""
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return min(value, MAX_DURATION_S) if math.isfinite(value) and value > 0 else 0.0
