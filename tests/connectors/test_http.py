from __future__ import annotations

import datetime
import gzip
import ipaddress
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cockpit.connectors.http import HttpClient, Limits, Pace, segments
from cockpit.connectors.http_answers import decode, retry_after_s
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

TOKEN = "s3cr3t-token-value"
PATIENT = Limits(read_timeout_s=10.0, deadline_s=20.0)  # a busy machine is no failure
HASTY = Limits(read_timeout_s=0.2, deadline_s=20.0)


class Thing(msgspec.Struct):
    name: str


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def pace(self) -> Pace:
        return Pace(sleep=self.sleep, monotonic=lambda: self.now_s, now=lambda: self.now_s, jitter=lambda: 0.5)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(server: Any, clock: Clock) -> Any:
    with HttpClient(server.url, name="The system", token=lambda: TOKEN, limits=PATIENT, pace=clock.pace()) as made:
        yield made


def fails(kind: type[ConnectorError], work: Any) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        work()
    assert type(caught.value) is kind, repr(caught.value)
    assert caught.value.message
    assert caught.value.hint
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(caught.value.__context__ if not caught.value.__suppress_context__ else None)
    return caught.value


def get(client: HttpClient) -> Thing:
    return client.get("/v1/thing", Thing)


def post(client: HttpClient) -> Thing:
    return client.post("/v1/things", {"a": 1}, Thing, key="key-1")


GOOD = b'{"name":"a","unknown":1}'
HALF = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"name":"a'
HALF_CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"nam\r\n40\r\ne"'
NO_HTTP = b"SSH-2.0-OpenSSH_9.2\r\n\r\n"


# reads


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504])
def test_server_errors_are_unreachable(server: Any, client: HttpClient, clock: Clock, status: int) -> None:
    server.script = [server.answer(status, b"<h1>Bad Gateway</h1>", "text/html")]
    fails(Unreachable, lambda: get(client))
    assert len(server.requests) == (3 if status in (502, 503, 504) else 1)
    assert clock.slept == ([0.1, 0.2] if len(server.requests) == 3 else [])


def test_a_passing_gateway_error_is_not_seen(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(502), server.answer(503), server.answer(200, GOOD)]
    assert get(client).name == "a"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthFailed), (403, AuthFailed), (404, NotFound), (400, Rejected), (409, Rejected), (418, Rejected), (422, Rejected)],
)
@pytest.mark.parametrize("ask", [get, post])
def test_refusals(server: Any, client: HttpClient, ask: Any, status: int, kind: type[ConnectorError]) -> None:
    server.script = [server.answer(status, b'{"title":"Busy","message":"Another \x1b[31mone","hint":"Wait."}'.replace(b"\x1b", b"\\u001b"))]
    error = fails(kind, lambda: ask(client))
    assert "Busy: Another \ufffd[31mone" in error.message
    assert error.hint == "Wait."
    assert len(server.requests) == 1
    if isinstance(error, Rejected):
        assert error.status == status


def test_a_token_in_the_servers_words_is_not_shown(server: Any, client: HttpClient) -> None:
    said = {"message": f"bad token {TOKEN} for http://user:pw@host/", "hint": TOKEN}
    server.script = [server.answer(422, msgspec.json.encode(said))]
    error = fails(Rejected, lambda: get(client))
    assert "pw" not in str(error)
    assert "***" in error.message


def test_long_words_of_the_server_are_cut(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(422, msgspec.json.encode({"message": "x" * 10_000}))]
    assert len(fails(Rejected, lambda: get(client)).message) < 600


@pytest.mark.parametrize(
    "body", [b"<html>log in", b"", b"nonsense", b'{"name":', b'{"name":1}', b"[" * 200_000, b'{"name":"\xff"}', b"{}", b"null"]
)
def test_a_body_that_is_not_the_interface(server: Any, client: HttpClient, body: bytes) -> None:
    server.script = [server.answer(200, body)]
    fails(BadPayload, lambda: get(client))
    assert len(server.requests) == 1


def test_a_web_page_is_called_one(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(200, b"<!doctype html>", "text/html")]
    assert "web page" in fails(BadPayload, lambda: get(client)).message


def test_the_place_of_a_mistake_is_named(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(200, b'{"name":7}')]
    assert "$.name" in fails(BadPayload, lambda: get(client)).message


@pytest.mark.parametrize("data", [HALF, HALF_CHUNKED])
def test_half_a_body(server: Any, client: HttpClient, data: bytes) -> None:
    server.script = [server.raw(data)]
    fails(BadPayload, lambda: get(client))
    assert len(server.requests) == 1


@pytest.mark.parametrize("data", [b"", NO_HTTP, b"HTTP/1.1 200"])
def test_no_http_answer(server: Any, client: HttpClient, data: bytes) -> None:
    server.script = [server.raw(data)]
    with pytest.raises((Unreachable, BadPayload)):
        get(client)


def test_a_reset(server: Any, client: HttpClient) -> None:
    server.script = [server.reset]
    assert "broke before an answer" in fails(Unreachable, lambda: get(client)).message


def test_a_server_that_hangs(server: Any) -> None:
    server.script = [server.hang]
    started = time.monotonic()
    with HttpClient(server.url, limits=HASTY) as client:
        fails(Unreachable, lambda: get(client))
    assert time.monotonic() - started < 30
    assert len(server.requests) == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 2"])
@pytest.mark.parametrize("ask", [get, post])
def test_a_trickle_ends_at_the_deadline(server: Any, clock: Clock, head: bytes, ask: Any) -> None:
    server.script = [server.trickle(head)]
    limits = Limits(read_timeout_s=0.9, deadline_s=0.9)
    started = time.monotonic()
    with HttpClient(server.url, limits=limits, pace=clock.pace()) as client:
        fails(Unreachable if ask is get else OutcomeUnknown, lambda: ask(client))
    assert time.monotonic() - started < 30


def test_refused_connections_are_tried_again(closed_port: int, clock: Clock) -> None:
    with HttpClient(f"http://127.0.0.1:{closed_port}", limits=PATIENT, pace=clock.pace()) as client:
        assert "refused" in fails(Unreachable, lambda: get(client)).message
    assert len(clock.slept) == 2


def test_unknown_host(clock: Clock) -> None:
    with HttpClient("http://nowhere.invalid", limits=PATIENT, pace=clock.pace()) as client:
        fails(Unreachable, lambda: get(client))
        fails(Unreachable, lambda: post(client))


def test_a_body_over_the_limit(server: Any) -> None:
    server.script = [server.answer(200, b'{"name":"' + b"a" * 5000 + b'"}')]
    with HttpClient(server.url, limits=Limits(body_bytes=1000)) as client:
        assert "1000 bytes" in fails(BadPayload, lambda: get(client)).message


def test_a_compressed_bomb_is_cut_off(server: Any) -> None:
    packed = gzip.compress(b"a" * 50_000_000)
    server.script = [server.answer(200, packed, Content_Encoding="gzip")]
    with HttpClient(server.url, limits=Limits(body_bytes=100_000)) as client:
        fails(BadPayload, lambda: get(client))


def test_compressed_bodies_are_read(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(200, gzip.compress(GOOD), Content_Encoding="gzip")]
    assert get(client).name == "a"


def test_etag(server: Any, client: HttpClient) -> None:
    server.script = [
        server.answer(200, GOOD, ETag='"1"'),
        server.answer(304),
        server.answer(200, b'{"name":"b"}'),
        server.answer(200, GOOD),
    ]
    first = get(client)
    assert get(client) is first
    assert server.requests[1].headers["if-none-match"] == '"1"'
    assert get(client).name == "b"
    get(client)
    assert "if-none-match" not in server.requests[3].headers


def test_not_modified_out_of_the_blue(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(304)]
    fails(BadPayload, lambda: get(client))


def test_parse_is_not_asked_again_for_what_is_unchanged(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(200, b"x", ETag="e"), server.answer(304)]
    calls = []

    def parse(body: bytes) -> str:
        calls.append(body)
        return body.decode()

    assert [client.read("/a", parse), client.read("/a", parse)] == ["x", "x"]
    assert calls == [b"x"]


def test_text_keeps_its_end(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(200, b"a" * 500_000 + b"\xffend", "text/plain")]
    text = client.get_text("/log", tail=1000)
    assert len(text) == 1000
    assert text.endswith("a\ufffdend")


# credentials and addresses


def test_redirects_to_another_host_are_not_followed(server: Any, other_server: Any, client: HttpClient) -> None:
    other_server.script = [other_server.answer(200, GOOD)]
    for status in (301, 302, 303, 307, 308):
        server.script = [server.answer(status, Location=other_server.url.replace("//", "//user:pw@") + "/x")]
        error = fails(BadPayload, lambda: get(client))
        assert "pw" not in str(error)
        with pytest.raises((Rejected, OutcomeUnknown)):
            post(client)
    assert other_server.requests == []


def test_redirects_on_the_same_host_are_followed(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(302, Location="/elsewhere"), server.answer(200, GOOD)]
    assert get(client).name == "a"
    assert server.requests[1].path == "/elsewhere"
    assert server.requests[1].headers["authorization"] == f"Bearer {TOKEN}"


def test_redirects_in_a_circle(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(302, Location="/v1/thing")]
    fails(BadPayload, lambda: get(client))
    assert len(server.requests) == 6


def test_the_environment_is_not_used(server: Any, other_server: Any, client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, other_server.url)
    server.script = [server.answer(200, GOOD)]
    get(client)
    assert other_server.requests == []


def test_cookies_are_not_kept(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(200, GOOD, Set_Cookie="a=b")]
    get(client)
    get(client)
    assert "cookie" not in server.requests[1].headers


def test_the_token_is_asked_once_and_again_after_a_refusal(server: Any, clock: Clock) -> None:
    asked = []

    def token() -> str:
        asked.append(1)
        return f"{TOKEN}{len(asked)}"

    server.script = [server.answer(200, GOOD), server.answer(200, GOOD), server.answer(401), server.answer(200, GOOD)]
    with HttpClient(server.url, token=token, pace=clock.pace()) as client:
        assert asked == []
        get(client)
        get(client)
        fails(AuthFailed, lambda: get(client))
        get(client)
    assert [r.headers["authorization"][-1] for r in server.requests] == ["1", "1", "1", "2"]


def test_no_token_no_header(server: Any) -> None:
    server.script = [server.answer(200, GOOD)]
    with HttpClient(server.url, token=lambda: "") as client:
        get(client)
    assert "authorization" not in server.requests[0].headers


def test_a_locked_keyring_is_a_matter_of_authorisation(server: Any) -> None:
    def token() -> str:
        raise StorageError("The keyring is locked.", hint="Unlock it.")

    with HttpClient(server.url, token=token) as client:
        assert fails(AuthFailed, lambda: get(client)).hint == "Unlock it."
        fails(AuthFailed, lambda: post(client))
    assert server.requests == []


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "a b", "schlüssel", "a\x00"])
def test_a_token_that_cannot_be_sent(server: Any, token: str) -> None:
    with HttpClient(server.url, token=lambda: token) as client, pytest.raises(AuthFailed) as caught:
        get(client)
    assert token not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize(
    "url", ["", "host", "ftp://host", "http://", "http://host:99999", "http://host?x=1", "file:///etc/passwd", "http://[::1"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError):
        HttpClient(url)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClient("http://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_segments() -> None:
    assert segments("v1", "a b/c?d#e%", "ü") == "/v1/a%20b%2Fc%3Fd%23e%25/%C3%BC"
    for bad in ("", ".", ".."):
        with pytest.raises(NotFound):
            segments("v1", bad)


def test_quoted_segments_arrive_quoted(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(200, GOOD)]
    client.get(segments("v1", "../x?y", "a%2fb"), Thing)
    assert server.requests[0].path == "/v1/..%2Fx%3Fy/a%252fb"


# waiting


@pytest.mark.parametrize("ask", [get, post])
def test_retry_after_is_obeyed(server: Any, client: HttpClient, clock: Clock, ask: Any) -> None:
    server.script = [server.answer(429, Retry_After="30"), server.answer(200, GOOD)]
    assert fails(RateLimited, lambda: ask(client)).retry_after_s == 30  # type: ignore[attr-defined]
    clock.now_s += 29
    again = fails(RateLimited, lambda: get(client))
    assert again.retry_after_s == pytest.approx(1)  # type: ignore[attr-defined]
    fails(RateLimited, lambda: post(client))
    assert len(server.requests) == 1
    clock.now_s += 1
    get(client)
    assert len(server.requests) == 2


def test_unavailable_with_retry_after_is_not_hammered(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(503, Retry_After="7")]
    assert fails(RateLimited, lambda: get(client)).retry_after_s == 7  # type: ignore[attr-defined]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0),
        ("12", 12),
        ("999999999999", 3600),
        ("-5", 5),
        ("soon", 5),
        ("", 5),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_retry_after_forms(text: str, wait_s: float) -> None:
    assert retry_after_s(text, 10.0) == wait_s


def test_minimum_gap(server: Any, clock: Clock) -> None:
    server.script = [server.answer(200, GOOD)]
    with HttpClient(server.url, limits=Limits(min_gap_s=2.0), pace=clock.pace()) as client:
        get(client)
        clock.now_s += 0.5
        get(client)
    assert clock.slept == [1.5]


# writes


def test_a_write_carries_key_and_body(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(201, GOOD)]
    assert post(client).name == "a"
    (request,) = server.requests
    assert request.method == "POST"
    assert request.headers["idempotency-key"] == "key-1"
    assert request.headers["content-type"] == "application/json"
    assert request.body == b'{"a":1}'


def test_a_write_without_body(server: Any, client: HttpClient) -> None:
    server.script = [server.answer(200, GOOD)]
    client.post("/v1/stop", None, Thing)
    assert server.requests[0].headers["content-length"] == "0"
    assert "content-type" not in server.requests[0].headers


def steps(server: Any) -> dict[str, Any]:
    return {
        "hang": server.hang,
        "reset": server.reset,
        "silence": server.raw(b""),
        "half": server.raw(HALF),
        "half chunked": server.raw(HALF_CHUNKED),
        "no http": server.raw(NO_HTTP),
        "page": server.answer(200, b"<html>", "text/html"),
        "empty": server.answer(201, b""),
        "wrong": server.answer(201, b'{"name":1}'),
        "no content": server.answer(204, b""),
        "500": server.answer(500, b'{"message":"oops"}'),
        "502": server.answer(502),
        "503": server.answer(503, Retry_After="1"),
        "504": server.answer(504),
        "408": server.answer(408),
        "302": server.answer(302, Location="/x"),
        "303": server.answer(303, Location="/x"),
        "304": server.answer(304),
    }


@pytest.mark.parametrize("name", list(steps(type("S", (), {"__getattr__": lambda s, n: lambda *a, **k: None})())))
def test_a_write_that_may_have_been_done_is_unknown_and_sent_once(server: Any, clock: Clock, name: str) -> None:
    server.script = [steps(server)[name]]
    with HttpClient(server.url, token=lambda: TOKEN, limits=HASTY if name == "hang" else PATIENT, pace=clock.pace()) as client:
        fails(OutcomeUnknown, lambda: post(client))
    assert len(server.requests) == 1
    assert clock.slept == []


def test_a_write_too_long_an_answer_is_unknown(server: Any) -> None:
    server.script = [server.answer(200, b'{"name":"' + b"a" * 5000 + b'"}')]
    with HttpClient(server.url, limits=Limits(body_bytes=1000)) as client:
        fails(OutcomeUnknown, lambda: post(client))


def test_a_write_that_never_left_is_unreachable(closed_port: int, clock: Clock) -> None:
    with HttpClient(f"http://127.0.0.1:{closed_port}", limits=PATIENT, pace=clock.pace()) as client:
        fails(Unreachable, lambda: post(client))
    assert clock.slept == []


def test_a_write_without_tls_handshake_is_unreachable(server: Any, clock: Clock) -> None:
    server.script = [server.answer(200, GOOD)]
    with HttpClient(
        server.url.replace("http:", "https:"), limits=Limits(connect_timeout_s=0.1, read_timeout_s=0.1), pace=clock.pace()
    ) as client:
        fails(Unreachable, lambda: post(client))
        fails(Unreachable, lambda: get(client))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody but its own file vouches for, with its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "playground")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_tls_is_verified(secure_server: Any, certificate: Path) -> None:
    rough = secure_server(certificate)
    rough.script = [rough.answer(200, GOOD)]
    with HttpClient(rough.url, limits=Limits(retries=0)) as client:
        assert "certificate" in fails(Unreachable, lambda: get(client)).message
        fails(Unreachable, lambda: post(client))
    assert rough.requests == []
    with HttpClient(rough.url, ca_file=str(certificate)) as client:
        assert get(client).name == "a"
        assert post(client).name == "a"
    with HttpClient(rough.url.replace("127.0.0.1", "localhost"), ca_file=str(certificate), limits=Limits(retries=0)) as client:
        fails(Unreachable, lambda: get(client))


def test_a_trickle_over_tls_ends_at_the_deadline(secure_server: Any, certificate: Path) -> None:
    rough = secure_server(certificate)
    rough.script = [rough.trickle(b"HTTP/1.1 200 OK\r\nX-Slow: ")]
    limits = Limits(read_timeout_s=0.3, deadline_s=0.4, retries=0)
    with HttpClient(rough.url, ca_file=str(certificate), limits=limits) as client:
        fails(Unreachable, lambda: get(client))


def test_a_write_does_not_use_a_kept_connection(server: Any, client: HttpClient) -> None:
    """The server closes its side after the read: on the kept connection the write would break off with an unknown outcome."""

    def once(connection: Any, request: Any) -> None:
        server.answer(200, GOOD)(connection, request)
        server.reset(connection, request)

    server.script = [once, server.answer(200, GOOD)]
    get(client)
    assert post(client).name == "a"


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_write_sent_elsewhere_was_not_done(server: Any, client: HttpClient, status: int) -> None:
    server.script = [server.answer(status, Location="/x")]
    fails(Rejected, lambda: post(client))
    assert len(server.requests) == 1


def test_decode_big_integers_and_long_names() -> None:
    class Row(msgspec.Struct):
        n: int
        name: str

    row = decode(b'{"n":9007199254740993,"name":"' + b"n" * 500 + b'"}', Row)
    assert row.n == 9007199254740993
    assert len(row.name) == 500


def test_decode_refuses_numbers_that_are_none() -> None:
    for bad in (b"NaN", b"Infinity", b"1e999"):
        with pytest.raises(BadPayload):
            decode(bad, float)
