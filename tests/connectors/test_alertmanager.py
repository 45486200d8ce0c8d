"""The Alertmanager connector: its faults, and a real Alertmanager."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.connectors import registry
from cockpit.connectors.alertmanager import Alertmanager, mark, parse_alerts, parse_made, parse_silence, parse_silences, parse_status
from cockpit.connectors.http import HttpClient, Limits
from cockpit.connectors.ports import AlertsApi, Probe
from cockpit.domain.alerts import Alert, Matcher
from cockpit.domain.errors import (
    AuthFailed,
    BadPayload,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unreachable,
)
from tests.fakes.monitoring import Running, alertmanager

QUICK = Limits(connect_timeout_s=0.5, read_timeout_s=0.5, deadline_s=1.0, retries=0)
PATIENT = Limits(connect_timeout_s=5, read_timeout_s=10, deadline_s=15)
US = 1_000_000
NOW_US = 1_800_000_000 * US
ME = "you@playground.invalid"
ALERT: dict[str, Any] = {
    "fingerprint": "f1",
    "labels": {"alertname": "Slow", "severity": "page"},
    "annotations": {"summary": "p99 is\x1b[31m high"},
    "startsAt": "2026-11-22T10:00:00.123456789+02:00",
    "endsAt": "2026-11-22T10:05:00Z",
    "status": {"state": "suppressed", "silencedBy": ["s1"], "inhibitedBy": []},
    "generatorURL": "javascript:alert(1)",
    "receivers": [{"name": "x"}],
}
PAGE = b"<html>log in</html>"


def now_us() -> int:
    return time.time_ns() // 1000


def connect(server: Any) -> Alertmanager:
    return Alertmanager(HttpClient(server.url, limits=QUICK), lambda: NOW_US)


def silence(connector: Alertmanager, key: str = "k1", until_us: int = NOW_US + 60 * US) -> str:
    return connector.silence((Matcher("service", "gateway"),), until_us, ME, "Deployment", key)


def test_an_alert_is_harmless_text_with_a_time() -> None:
    (alert,) = parse_alerts(json.dumps([ALERT]).encode())
    assert (alert.id, alert.name, alert.severity, alert.state) == ("f1", "Slow", "page", "suppressed")
    assert alert.summary == "p99 is\ufffd[31m high"
    assert alert.silenced
    assert alert.since_us // 1000 == 1_795_334_400_123
    assert alert.url == ""


def test_newest_first_and_each_once() -> None:
    later = ALERT | {"fingerprint": "f2", "startsAt": "2026-11-22T08:00:01Z"}
    assert [a.id for a in parse_alerts(json.dumps([ALERT, later, ALERT]).encode())] == ["f2", "f1"]
    assert parse_alerts(b"[]") == ()


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"])
def test_times_at_the_ends(at: str) -> None:
    (alert,) = parse_alerts(json.dumps([ALERT | {"startsAt": at}]).encode())
    assert 0 <= alert.since_us <= 253_402_300_799_999_999


@pytest.mark.parametrize(
    "change",
    [
        {"startsAt": "2026-11-22T10:00:00"},
        {"startsAt": "yesterday"},
        {"startsAt": 1_795_334_400},
        {"startsAt": None},
        {"fingerprint": ""},
        {"fingerprint": 7},
        {"labels": None},
        {"labels": {"a": 1}},
        {"labels": ["a"]},
        {"status": {"state": "asleep"}},
        {"status": {}},
        {"status": {"state": "active", "silencedBy": "s1"}},
    ],
)
def test_an_alert_that_makes_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(BadPayload):
        parse_alerts(json.dumps([ALERT | change]).encode())


@pytest.mark.parametrize("body", [b"", PAGE, b"{}", b"[1]", b'"alerts"', b'{"versionInfo":7}'])
def test_answers_of_another_shape(server: Any, body: bytes) -> None:
    server.script = [server.answer(200, body)]
    connector = connect(server)
    for ask in (connector.alerts, connector.probe, lambda: silence(connector), lambda: connector.end_silence("s1")):
        with pytest.raises(BadPayload) as caught:
            ask()
        assert caught.value.hint
    assert {r.method for r in server.requests} == {"GET"}
    connector.close()


@pytest.mark.parametrize(
    ("status", "error"), [(400, Rejected), (401, AuthFailed), (404, NotFound), (429, RateLimited), (500, Unreachable), (503, Unreachable)]
)
def test_refusals(server: Any, status: int, error: type[Exception]) -> None:
    server.script = [server.answer(status, b'"words"')]
    connector = connect(server)
    with pytest.raises(error):
        connector.alerts()
    connector.close()


def test_a_silence_is_looked_for_by_its_key_before_it_is_made(server: Any) -> None:
    known = [
        {"id": "old", "status": {"state": "expired"}, "comment": f"Deployment {mark('k1')}"},
        {"id": "x", "status": {"state": "active"}},
    ]
    server.script = [server.answer(200, json.dumps(known).encode())]
    connector = connect(server)
    assert silence(connector) == "old"
    server.script.append(server.answer(200, json.dumps(known).encode()))
    server.script.append(server.answer(200, b'{"silenceID":"new"}'))
    assert silence(connector, key="k") == "new"
    asked = [r.method for r in server.requests]
    assert asked == ["GET", "GET", "POST"]
    sent = json.loads(server.requests[-1].body)
    assert sent["matchers"] == [{"name": "service", "value": "gateway", "isRegex": False, "isEqual": True}]
    assert (sent["createdBy"], sent["comment"]) == (ME, f"Deployment {mark('k')}")
    assert (sent["startsAt"], sent["endsAt"]) == ("2027-01-15T07:59:00Z", "2027-01-15T08:01:00Z")
    connector.close()


def test_a_silence_is_sent_once_and_settled_by_asking_again(server: Any) -> None:
    connector = connect(server)
    server.script = [server.answer(200, b"[]"), server.hang]
    with pytest.raises(OutcomeUnknown):
        silence(connector)
    for broken in (server.answer(500), server.answer(200, PAGE), server.answer(200, b'{"silenceID":7}'), server.reset):
        server.requests.clear()
        server.script = [server.answer(200, b"[]"), broken]
        with pytest.raises(OutcomeUnknown):
            silence(connector)
        assert [r.method for r in server.requests] == ["GET", "POST"]
    server.requests.clear()
    server.script = [server.answer(200, json.dumps([{"id": "s9", "status": {"state": "active"}, "comment": mark("k1")}]).encode())]
    assert silence(connector) == "s9"
    connector.close()


@pytest.mark.parametrize(
    ("matchers", "until_us", "key"),
    [
        ((), NOW_US + 1, "k"),
        ((Matcher("service", ""),), NOW_US + 1, "k"),
        ((Matcher("service", "gateway", negated=True),), NOW_US + 1, "k"),
        ((Matcher("service", "gateway"),), NOW_US, "k"),
        ((Matcher("service", "gateway"),), NOW_US + 1, " "),
    ],
)
def test_what_is_never_sent(server: Any, matchers: tuple[Matcher, ...], until_us: int, key: str) -> None:
    connector = connect(server)
    with pytest.raises(Rejected) as caught:
        connector.silence(matchers, until_us, ME, "r", key)
    assert caught.value.hint
    assert server.requests == []
    connector.close()


def test_ending_what_has_ended_sends_nothing(server: Any) -> None:
    server.script = [server.answer(200, b'{"id":"s1","status":{"state":"expired"}}')]
    connector = connect(server)
    connector.end_silence("s1")
    assert [r.method for r in server.requests] == ["GET"]
    server.script = [server.answer(422, b'{"code":601,"message":"id in path must be of type uuid"}')]
    with pytest.raises(NotFound):
        connector.end_silence("s1")
    with pytest.raises(NotFound):
        connector.end_silence("..")
    connector.close()


def test_an_end_that_nobody_confirms_is_unknown(server: Any) -> None:
    connector = connect(server)
    for broken in (server.answer(200, PAGE), server.answer(500), server.reset):
        server.requests.clear()
        server.script = [server.answer(200, b'{"id":"s1","status":{"state":"active"}}'), broken]
        with pytest.raises(OutcomeUnknown):
            connector.end_silence("s1")
        assert [r.method for r in server.requests] == ["GET", "DELETE"]
    connector.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*ALERT, "id", "comment", "state", "versionInfo"]), inner),
    max_leaves=12,
)
MOMENTS = st.datetimes().map(lambda at: at.isoformat() + "+23:59") | st.text(max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode("utf-8", "replace")))
def test_any_answer_is_read_or_a_bad_payload(body: bytes) -> None:
    for parse in (parse_alerts, parse_silences, parse_silence, parse_made, parse_status):
        with suppress(BadPayload):
            parse(body)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5)), MOMENTS)
def test_any_alert_is_read_or_a_bad_payload(labels: dict[str, str], at: str) -> None:
    body = json.dumps([ALERT | {"labels": labels, "annotations": labels, "startsAt": at}]).encode("utf-8", "replace")
    try:
        (alert,) = parse_alerts(body)
    except BadPayload:
        return
    assert not any("\x1b" in value for value in (*alert.labels.values(), *alert.annotations.values()))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager")) as running:
        yield running


@pytest.fixture
def connector(real: Running) -> Iterator[Alertmanager]:
    made = Alertmanager(HttpClient(real.url, limits=PATIENT))
    yield made
    made.close()


def fire(real: Running, name: str, service: str, *, resolved: bool = False) -> None:
    end_us = now_us() - US if resolved else now_us() + 300 * US
    alert = {"labels": {"alertname": name, "service": service}, "annotations": {"summary": f"{name} of {service}"}}
    times = {"startsAt": moment(now_us() - 10 * US), "endsAt": moment(end_us), "generatorURL": "http://engine.invalid/graph"}
    body = json.dumps([alert | times]).encode()
    request = urllib.request.Request(f"{real.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def moment(at_us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_us // US)) + f".{at_us % US:06d}Z"


def named(connector: Alertmanager, name: str) -> Alert | None:
    return next((alert for alert in connector.alerts() if alert.name == name), None)


def test_a_real_alert_comes_is_silenced_and_goes(real: Running, connector: Alertmanager, eventually: Callable[..., Any]) -> None:
    assert isinstance(connector, AlertsApi)
    fire(real, "Slow", "gateway-1")
    fire(real, "Slower", "ledger")
    alert = eventually(lambda: (a := named(connector, "Slow")) and a.state == "active" and a)
    assert alert.summary == "Slow of gateway-1"
    assert alert.url == "http://engine.invalid/graph"
    assert abs(alert.since_us - now_us()) < 60 * US
    matchers = (Matcher("service", "gateway-.*", regex=True), Matcher("alertname", "Other", negated=True))
    until_us = now_us() + 3600 * US
    first = connector.silence(matchers, until_us, ME, "Deployment of ünï\ncode “1.5”", "deploy-1")
    assert connector.silence(matchers, until_us, ME, "Deployment", "deploy-1") == first
    eventually(lambda: (a := named(connector, "Slow")) and a.silenced_by == (first,) and a.state == "suppressed")
    other = named(connector, "Slower")
    assert other is not None
    assert other.silenced_by == ()
    connector.end_silence(first)
    eventually(lambda: (a := named(connector, "Slow")) and not a.silenced)
    connector.end_silence(first)
    assert connector.silence(matchers, until_us, ME, "Deployment", "deploy-1") == first
    assert not getattr(named(connector, "Slow"), "silenced", True)
    fire(real, "Slow", "gateway-1", resolved=True)
    eventually(lambda: named(connector, "Slow") is None)


def test_a_real_silence_ends_by_itself(real: Running, connector: Alertmanager, eventually: Callable[..., Any]) -> None:
    fire(real, "Short", "matching")
    made = connector.silence((Matcher("service", "matching"),), now_us() + 2 * US, ME, "", "deploy-2")
    eventually(lambda: (a := named(connector, "Short")) and a.silenced_by == (made,))
    eventually(lambda: (a := named(connector, "Short")) and not a.silenced)
    connector.end_silence(made)


def test_a_real_server_refuses(connector: Alertmanager) -> None:
    with pytest.raises(Rejected):
        connector.silence((Matcher("no-label-name", "x"),), now_us() + 60 * US, ME, "r", "deploy-3")
    with pytest.raises(Rejected):
        connector.silence((Matcher("service", "(", regex=True),), now_us() + 60 * US, ME, "r", "deploy-4")
    for unknown in ("nothing", "00000000-0000-4000-8000-000000000000", "a/b"):
        with pytest.raises(NotFound):
            connector.end_silence(unknown)


def test_a_real_server_behind_our_clock(real: Running, eventually: Callable[..., Any]) -> None:
    fire(real, "Early", "risk")
    ahead = Alertmanager(HttpClient(real.url, limits=PATIENT), lambda: now_us() + 30 * US)
    made = ahead.silence((Matcher("service", "risk"),), now_us() + 600 * US, ME, "r", "deploy-5")
    eventually(lambda: (a := named(ahead, "Early")) and a.silenced_by == (made,))
    ahead.close()


def test_testing_a_real_connection(connector: Alertmanager) -> None:
    found = registry.probe(connector)
    assert isinstance(found, Probe)
    assert found.reached.startswith("Alertmanager 0.")


def test_a_real_server_that_hangs_and_comes_back(real: Running, eventually: Callable[..., Any]) -> None:
    connector = connect(real)

    def state() -> type[ConnectorError] | str:
        try:
            connector.alerts()
        except ConnectorError as error:
            return type(error)
        return "answers"

    eventually(lambda: state() == "answers")
    real.process.send_signal(signal.SIGSTOP)  # its threads stop one after the other
    try:
        eventually(lambda: state() is Unreachable)
    finally:
        real.process.send_signal(signal.SIGCONT)
    eventually(lambda: state() == "answers")
    connector.close()


def test_an_alert_without_words_still_has_a_line() -> None:
    alert = Alert("f", "Slow", {"alertname": "Slow"}, {}, 0)
    assert alert.summary == "Slow"
    assert (alert.severity, alert.silenced) == ("", False)
    assert msgspec.structs.replace(alert, annotations={"description": "long"}).summary == "long"
