"""Notices by HTTP against real local receivers: what arrives, what a hostile text cannot do, and each refusal."""

from __future__ import annotations

import hashlib
import hmac
import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.connectors.ports import Message, Notifier
from cockpit.connectors.webhook import SIGNATURE, SignedWebhook, SlackWebhook, chat_text, parse_slack, safe_link, slack_body, webhook_body
from cockpit.domain.errors import (
    AuthFailed,
    BadPayload,
    ConfigError,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    StorageError,
    Unreachable,
)
from tests.fakes.certificate import write_certificate

PATH = "T000/B000/canary-Secret_7"
KEY = "signing canary 7"
MESSAGE = Message(
    kind="approval_wanted",
    title="order-gateway 1.2.0 waits",
    text="Two approvals are missing.",
    link="https://cockpit.invalid/a?b=1&c=2",
    service="order-gateway",
    environment="production",
    version="1.2.0",
    at_us=1_800_000_000_000_000,
)


def at() -> float:
    return 1_800_000_000.9


def slack(url: str, secret: str = PATH) -> SlackWebhook:
    return SlackWebhook(f"{url}/services", lambda: secret)


def signed(url: str, secret: str = KEY) -> SignedWebhook:
    return SignedWebhook(f"{url}/notices", lambda: secret, now_s=at)


# -- what arrives --


def test_a_chat_gets_plain_text(server: Any) -> None:
    server.script = [server.answer(200, b"ok", "text/plain")]
    chat = slack(server.url)
    assert isinstance(chat, Notifier)
    chat.notify(MESSAGE, "key-1")
    [request] = server.requests
    assert (request.method, request.path) == ("POST", f"/services/{PATH}")
    assert request.headers["idempotency-key"] == "key-1"
    assert "authorization" not in request.headers
    said = json.loads(request.body)
    assert said["text"].split("\n") == [
        "order-gateway 1.2.0 waits",
        "order-gateway 1.2.0 production",
        "Two approvals are missing.",
        "https://cockpit.invalid/a?b=1&amp;c=2",
    ]
    assert said["mrkdwn"] is said["link_names"] is said["unfurl_links"] is said["unfurl_media"] is False
    chat.close()


def test_a_receiver_can_verify_the_signature(server: Any) -> None:
    server.script = [server.answer(204, b"")]
    receiver = signed(server.url)
    assert isinstance(receiver, Notifier)
    receiver.notify(MESSAGE, "key-1")
    [request] = server.requests
    stamp, code = (part.partition("=")[2] for part in request.headers[SIGNATURE.lower()].split(","))
    assert stamp == "1800000000"
    assert code == hmac.new(KEY.encode(), f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()
    assert code != hmac.new(KEY.encode(), b"1800000001." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["idempotency-key"] == "key-1"
    said = json.loads(request.body)
    assert said == {field: getattr(MESSAGE, field) for field in MESSAGE.__struct_fields__} | {"key": "key-1"}
    receiver.close()


def test_over_tls_with_a_private_authority(secure_server: Any, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "certificate.pem")
    rough = secure_server(certificate)
    rough.script = [rough.answer(200, b"ok")]
    with pytest.raises(Unreachable, match="certificate"):
        signed(rough.url).notify(MESSAGE, "k")
    assert rough.requests == []
    SignedWebhook(rough.url, lambda: KEY, ca_file=str(certificate)).notify(MESSAGE, "k")
    assert len(rough.requests) == 1


# -- hostile text --


def test_nobody_is_mentioned_and_no_link_lies() -> None:
    hostile = Message(
        "verdict", "<!channel> & <@U1>\n@here", "[all is well](http://evil.invalid) @all <http://evil.invalid|fine>\x1b[2J\u202e"
    )
    text = str(slack_body(hostile)["text"])
    assert "<" not in text
    assert ">" not in text
    for mention in ("@here", "@all", "@U1", "]("):
        assert mention not in text
    assert text.startswith("&lt;!channel&gt; &amp; ")
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "https://a.invalid/ b", "https://a.invalid/|x", "https://u:p@a.invalid", "https://", "http://[", "x" * 3000],
)
def test_links_that_are_left_out(link: str) -> None:
    assert safe_link(link) == ""


@given(st.text(), st.text(), st.text(), st.text())
def test_any_text_can_be_told(title: str, text: str, link: str, service: str) -> None:
    message = Message("verdict", title, text, link, service)
    shown = slack_body(message)["text"]
    assert isinstance(shown, str)
    assert not set("<>") & set(shown)
    assert len(shown) < 20_000
    assert json.loads(webhook_body(message, "k"))["key"] == "k"
    assert "@" not in chat_text(text).replace("@\u200b", "")


@given(st.binary() | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(lambda v: json.dumps({"ok": v}).encode()))
def test_only_refused_or_unknown_comes_out_of_parsing(body: bytes) -> None:
    try:
        parse_slack(body)
    except (Rejected, OutcomeUnknown):
        return
    assert body.strip().lower() in (b"", b"ok") or json.loads(body).get("ok", json.loads(body).get("success")) is True


# -- refusals and faults --


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (403, AuthFailed),
        (404, NotFound),
        (410, Rejected),
        (429, RateLimited),
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
    ],
)
def test_a_refusal_is_said_without_the_secret_and_sent_once(server: Any, status: int, kind: type[ConnectorError]) -> None:
    words = json.dumps({"message": f"no {PATH} and no {KEY}", "hint": PATH}).encode()
    server.script = [server.answer(status, words)]
    for connector, secret in ((slack(server.url), PATH), (signed(server.url), KEY)):
        server.requests.clear()
        with pytest.raises(kind) as caught:
            connector.notify(MESSAGE, "k")
        said = "".join(traceback.format_exception(caught.value)) + str(caught.value)
        assert secret not in said
        assert "***" in said
        assert len(server.requests) == 1
        connector.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server: Any, other_server: Any, status: int) -> None:
    other_server.script = [other_server.answer(200, b"ok")]
    server.script = [server.answer(status, b"", Location=f"{other_server.url}/services/{PATH}")]
    for connector in (slack(server.url), signed(server.url)):
        with pytest.raises((Rejected, OutcomeUnknown)):
            connector.notify(MESSAGE, "k")
        with pytest.raises(BadPayload, match="another place"):
            connector.probe()
    assert other_server.requests == []


def test_a_page_instead_of_a_chat_is_not_success(server: Any) -> None:
    server.script = [server.answer(200, b"<html>Log in</html>", "text/html"), server.answer(200, b'{"ok":false,"error":"no_service"}')]
    with pytest.raises(OutcomeUnknown):
        slack(server.url).notify(MESSAGE, "k")
    with pytest.raises(Rejected, match="no_service"):
        slack(server.url).notify(MESSAGE, "k")


def test_a_broken_connection_is_never_tried_again(server: Any, closed_port: int) -> None:
    server.script = [server.reset]
    for connector in (slack(server.url), signed(server.url)):
        server.requests.clear()
        with pytest.raises(OutcomeUnknown):
            connector.notify(MESSAGE, "k")
        assert len(server.requests) == 1
    for connector in (slack(f"http://127.0.0.1:{closed_port}"), signed(f"http://127.0.0.1:{closed_port}")):
        with pytest.raises(Unreachable):
            connector.notify(MESSAGE, "k")
        with pytest.raises(Unreachable):
            connector.probe()


# -- secrets and settings --


def test_secrets_that_are_missing_or_none(server: Any) -> None:
    with pytest.raises(AuthFailed):
        signed(server.url, "").notify(MESSAGE, "k")
    for odd in ("../../other", "a b", "T0?x=1", "a//b", "https://hooks.invalid/T0"):
        with pytest.raises(AuthFailed) as caught:
            slack(server.url, odd).notify(MESSAGE, "k")
        assert odd not in str(caught.value)

    def locked() -> str:
        raise StorageError("The keyring is locked.", hint="Unlock it.")

    for connector in (SlackWebhook(server.url, locked), SignedWebhook(server.url, locked)):
        with pytest.raises(AuthFailed, match="locked"):
            connector.notify(MESSAGE, "k")
    with pytest.raises(AuthFailed):
        signed(server.url).notify(MESSAGE, "two\r\nlines: x")
    assert server.requests == []


def test_a_chat_over_http_is_refused_but_here() -> None:
    with pytest.raises(ConfigError, match="readable"):
        SlackWebhook("http://hooks.invalid/services", str)


def test_a_test_of_the_connection_tells_nobody(server: Any) -> None:
    server.script = [server.answer(405), server.answer(404), server.answer(400), server.answer(405)]
    assert slack(server.url).probe().missing == ()
    assert "not found" in slack(server.url).probe().missing[0]
    assert slack(server.url, "").probe().missing == ("the secret part of the address",)
    assert signed(server.url, "").probe().missing == ("the secret to sign with",)
    assert {request.method for request in server.requests} == {"GET"}
    assert all(SIGNATURE.lower() not in request.headers for request in server.requests)
