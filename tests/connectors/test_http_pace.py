"""Limits that a system names are kept before they bite, and by all threads together."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from cockpit.connectors.http import HttpClient, Pace
from cockpit.connectors.http_answers import Answer, refusal, said
from cockpit.connectors.http_pace import Allowance, Remembered, allowance
from cockpit.domain.errors import AuthFailed, RateLimited

NOW_S = 1_790_000_000.0
GITHUB = {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "249", "x-ratelimit-reset": str(int(NOW_S) + 600)}


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def pace(self) -> Pace:
        return Pace(sleep=self.sleep, monotonic=lambda: self.now_s - NOW_S, now=lambda: self.now_s, jitter=lambda: 0.5)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (GITHUB, Allowance(249, 5000, 600.0)),
        ({"ratelimit-limit": "60", "ratelimit-remaining": "3", "ratelimit-reset": "30"}, Allowance(3, 60, 30.0)),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "99999999"}, Allowance(0, 0, 3600.0)),
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": str(int(NOW_S) - 5)}, Allowance(5, 0, 0.0)),
        ({"x-ratelimit-remaining": "many", "x-ratelimit-reset": "1"}, None),
        ({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "1"}, None),
        ({"x-ratelimit-remaining": "1"}, None),
        ({"x-ratelimit-remaining": "9" * 5000, "x-ratelimit-reset": "1"}, None),
        ({}, None),
    ],
)
def test_what_is_left(headers: dict[str, str], found: Allowance | None) -> None:
    assert allowance(headers, NOW_S) == found


@pytest.mark.parametrize(("left", "limit", "spent"), [(250, 5000, True), (251, 5000, False), (5, 10, True), (6, 0, False)])
def test_a_part_is_kept_back_for_people(left: int, limit: int, spent: bool) -> None:
    assert Allowance(left, limit, 1.0).spent is spent


def test_reads_wait_where_little_is_left_and_writes_do_not(server: Any) -> None:
    clock = Clock()
    server.script = [server.answer(200, b"{}", **GITHUB)]
    with HttpClient(server.url, pace=clock.pace()) as client:
        client.read("/a", bytes)
        with pytest.raises(RateLimited) as caught:
            client.read("/a", bytes)
        assert caught.value.retry_after_s == 600.0
        assert client.write("/a", {}, bytes) == b"{}"
        assert len(server.requests) == 2
        clock.now_s += 601
        client.read("/a", bytes)
    assert len(server.requests) == 3


def test_one_pause_holds_for_all_threads(server: Any) -> None:
    clock, met = Clock(), list[Exception]()
    server.script = [server.answer(429, b"", **{"Retry-After": "60"})]
    with HttpClient(server.url, pace=clock.pace()) as client:

        def ask() -> None:
            try:
                client.read("/a", bytes)
            except RateLimited as error:
                met.append(error)

        ask()
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(met) == 5
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "kind", "wait_s"),
    [
        ({}, AuthFailed, 0.0),
        ({"retry-after": "30"}, RateLimited, 30.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW_S) + 90)}, RateLimited, 90.0),
        ({"x-ratelimit-remaining": "12"}, AuthFailed, 0.0),
    ],
)
def test_403_means_too_often_where_its_headers_say_so(headers: dict[str, str], kind: type[Exception], wait_s: float) -> None:
    error = refusal(Answer(403, headers, b'{"message":"no"}'), "GitHub", str, NOW_S)
    assert type(error) is kind
    assert getattr(error, "retry_after_s", 0.0) == wait_s


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"title": "Busy", "message": "one runs", "hint": "wait"}, (": Busy: one runs", "wait")),
        ({"status": "error", "errorType": "bad_data", "error": "parse error at 4"}, (": parse error at 4", "")),
        ({"error": {"code": -32600, "message": "you need to have role"}}, (": you need to have role", "")),
        ({"message": {"base": ["is taken"]}}, (": is taken", "")),
        ({"message": ["is taken.", "is long"]}, (": is taken.: is long", "")),
        ({"message": "Not Found", "documentation_url": "https://docs"}, (": Not Found", "")),
        ({"kind": "Status", "reason": "Conflict"}, (": Conflict", "")),
        ("bad matcher", (": bad matcher", "")),
        ({"hint": 7, "message": 8}, ("", "")),
        ([[[["deep"]]]], ("", "")),
        (None, ("", "")),
    ],
)
def test_words_of_many_systems(body: object, words: tuple[str, str]) -> None:
    assert said(Answer(400, {}, msgspec.json.encode(body)), str) == words


def test_the_least_used_answer_is_forgotten_first() -> None:
    kept = Remembered(2)
    kept.put(("a",), "1", "A")
    kept.put(("b",), "2", "B")
    assert kept.get(("a",)) == ("1", "A")
    kept.put(("c",), "3", "C")
    assert kept.get(("b",)) == ("", None)
    kept.put(("a",), "", "A")
    assert kept.get(("a",)) == ("", None)


def test_a_user_signs_in_with_the_token_as_password(server: Any) -> None:
    server.script = [server.answer(200, b"{}")]
    with HttpClient(server.url, token=lambda: "pä ss", user="ada", headers={"X-Version": "3"}) as client:
        client.read("/a", bytes)
    assert server.requests[0].headers["authorization"] == "Basic YWRhOnDDpCBzcw=="
    assert server.requests[0].headers["x-version"] == "3"
