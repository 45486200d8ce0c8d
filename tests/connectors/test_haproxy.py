"""The traffic of a real HAProxy: shares that are measured, a node taken out at once, and every way in which its socket fails."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.connectors.haproxy import Haproxy, Server, new_shares, parse_info, parse_servers, parse_spares, shares_of
from cockpit.connectors.ports import Traffic
from cockpit.domain.errors import (
    AuthFailed,
    BadPayload,
    ConfigError,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unreachable,
)

HEAD = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight"
UNPACKED = Path(__file__).resolve().parents[2] / "build" / "debian" / "haproxy-unpacked"
PACKAGES = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
CONFIG = """
global
  stats socket {folder}/admin mode 600 level admin
  stats socket {folder}/reader mode 600 level user
  stats socket ipv4@127.0.0.1:{runtime} level admin
  maxconn 100
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend f
  bind 127.0.0.1:{front}
  default_backend gw-production
backend gw-production
  balance roundrobin
  server gw_n1 127.0.0.1:{n1} weight 1
  server gw_n2 127.0.0.1:{n2} weight 1
  server gw_spare 127.0.0.1:{n1} weight 7 backup
backend gw-static
  balance static-rr
  server gw_n1 127.0.0.1:{n1}
  server gw_n2 127.0.0.1:{n2}
backend gw-empty
"""


class _Named(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.server.server_name_for_tests.encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def named_server(name: str) -> Iterator[int]:
    """A server whose every answer is its name; yields its port."""
    server = http.server.HTTPServer(("127.0.0.1", 0), _Named)
    server.server_name_for_tests = name  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def unpacked() -> tuple[str, dict[str, str]]:
    """(program, environment) of an installed HAProxy, or of Debian's packages unpacked once; skips where there is neither."""
    installed = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if installed:
        return installed, {}
    root, program = UNPACKED / "root", UNPACKED / "root/usr/sbin/haproxy"
    if not program.exists():
        UNPACKED.mkdir(parents=True, exist_ok=True)
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            pytest.skip("there is no HAProxy, and no Debian to take it from")
        # in a folder of its own, so that an unpacking that broke off, or one beside this one, is never taken for whole
        with tempfile.TemporaryDirectory(dir=UNPACKED) as folder:
            got = subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, capture_output=True, text=True, timeout=60)
            if got.returncode:
                pytest.skip("Debian's package of HAProxy cannot be loaded")
            for package in Path(folder).glob("*.deb"):
                subprocess.run(["dpkg", "-x", str(package), f"{folder}/root"], check=True, capture_output=True)
            with contextlib.suppress(OSError):
                os.rename(f"{folder}/root", root)
    libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))
    return str(program), {"LD_LIBRARY_PATH": libraries}


class Rig:
    """A HAProxy before two servers."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], front: int, runtime: int) -> None:
        self.folder, self.process, self.front, self.runtime = folder, process, front, runtime
        self.traffic = self.at(f"{folder}/admin")

    def at(self, address: str, backend: str = "{service}-{environment}", timeout_s: str = "5") -> Haproxy:
        return Haproxy(address, backend, "{service}_{node}", timeout_s)

    def counted(self, times: int) -> Counter[str]:
        """Which server answered how often, each over a new connection."""
        found: Counter[str] = Counter()
        for _ in range(times):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.front, timeout=5)) as connection:
                connection.request("GET", "/")
                found[connection.getresponse().read().decode()] += 1
        return found

    def raw(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{self.folder}/admin")
            connection.sendall(line.encode() + b"\n")
            return connection.makefile("rb").read().decode()


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@pytest.fixture
def rig(eventually: Callable[..., Any]) -> Iterator[Rig]:
    program, extra = unpacked()
    # a socket's path has little room, so not below the test's own folder
    with tempfile.TemporaryDirectory(prefix="hap") as name, named_server("n1") as n1, named_server("n2") as n2:
        folder = Path(name)
        front, runtime = free_port(), free_port()
        (folder / "config").write_text(CONFIG.format(folder=folder, front=front, runtime=runtime, n1=n1, n2=n2))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program, "-db", "-f", str(folder / "config")], stdout=log, stderr=log, env={**os.environ, **extra})
        try:

            def up() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", front), timeout=1):
                    # who answers at the port is HAProxy only once its socket is there
                    return (folder / "admin").exists()
                return False

            eventually(up)
            yield Rig(folder, process, front, runtime)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


# -- what works --


def test_a_split_of_90_to_10_is_measured(rig: Rig) -> None:
    assert isinstance(rig.traffic, Traffic)
    assert rig.traffic.weights("gw", "production") == {"n1": 50, "n2": 50}
    assert rig.traffic.set_weights("gw", "production", {"n1": 90, "n2": 10}) == {"n1": 90, "n2": 10}
    assert rig.traffic.weights("gw", "production") == {"n1": 90, "n2": 10}
    # its round robin is deterministic: whole rounds give the shares exactly, but for how a round begins
    counted = rig.counted(200)
    assert abs(counted["n1"] - 180) <= 2
    assert counted["n1"] + counted["n2"] == 200


def test_setting_the_same_again_sends_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.traffic.set_weights("gw", "production", {"n2": 10})
    asked: list[str] = []
    ask = rig.traffic._ask

    def listening(line: str, changes: bool = False) -> str:
        asked.append(line)
        return ask(line, changes)

    monkeypatch.setattr(rig.traffic, "_ask", listening)
    assert rig.traffic.set_weights("gw", "production", {"n1": 90, "n2": 10}) == {"n1": 90, "n2": 10}
    assert [line for line in asked if line.startswith("set")] == []
    assert rig.traffic.set_weights("gw", "production", {"n1": 0, "n2": 100}) == {"n1": 0, "n2": 100}
    assert rig.counted(20) == {"n2": 20}


def test_a_drained_node_gets_nothing_from_then_on(rig: Rig) -> None:
    rig.traffic.set_weights("gw", "production", {"n1": 90, "n2": 10})
    assert rig.traffic.drain("gw", "production", "n1") == {"n1": 0, "n2": 100}
    assert rig.counted(30) == {"n2": 30}
    assert rig.traffic.drain("gw", "production", "n1") == {"n1": 0, "n2": 100}
    with pytest.raises(Rejected, match="last node"):
        rig.traffic.drain("gw", "production", "n2")
    with pytest.raises(Rejected, match="taken out"):
        rig.traffic.set_weights("gw", "production", {"n1": 50, "n2": 50})
    assert rig.counted(10) == {"n2": 10}
    assert rig.traffic.ready("gw", "production", "n1") == {"n1": 90, "n2": 10}
    assert rig.traffic.ready("gw", "production", "n1") == {"n1": 90, "n2": 10}
    assert rig.counted(20)["n1"] >= 15


def test_the_spare_server_is_left_alone(rig: Rig) -> None:
    rig.traffic.set_weights("gw", "production", {"n1": 100, "n2": 0})
    assert rig.raw("get weight gw-production/gw_spare").startswith("7 ")


def test_over_tcp_and_what_a_test_of_the_connection_says(rig: Rig) -> None:
    over_tcp = rig.at(f"127.0.0.1:{rig.runtime}")
    assert over_tcp.set_weights("gw", "production", {"n2": 25}) == {"n1": 75, "n2": 25}
    assert over_tcp.probe().reached.startswith("HAProxy 2")
    assert over_tcp.probe().missing == ()
    assert "level admin" in rig.at(f"{rig.folder}/reader").probe().missing[0]


# -- what is refused --


def test_refusals_change_nothing(rig: Rig) -> None:
    before = rig.raw("show servers state")
    for wanted in ({"n1": 90, "n2": 20}, {"n1": 101}, {"n1": -1}, {"n1": 50, "n2": 40}):
        with pytest.raises(Rejected):
            rig.traffic.set_weights("gw", "production", wanted)
    with pytest.raises(NotFound, match="n9"):
        rig.traffic.set_weights("gw", "production", {"n9": 10})
    with pytest.raises(NotFound):
        rig.traffic.drain("gw", "production", "n2 weight 0")
    with pytest.raises(NotFound, match="No such proxy"):
        rig.traffic.weights("gw", "nowhere")
    assert rig.traffic.weights("gw", "empty") == {}
    with pytest.raises(Rejected, match="static LB algorithm"):
        rig.traffic.set_weights("gw", "static", {"n1": 90, "n2": 10})
    with pytest.raises(AuthFailed):
        rig.at(f"{rig.folder}/reader").set_weights("gw", "production", {"n1": 90})
    assert rig.raw("show servers state") == before


@pytest.mark.parametrize("odd", ["gw production", "gw;disable", "gw\ndisable", "gw/x", "#3", "", "gw\0", "ä", "{node}"])
def test_no_name_breaks_out_of_the_line(odd: str) -> None:
    with pytest.raises(NotFound, match="cannot be a backend"):
        Haproxy("/nowhere", "{service}").set_weights(odd, "e", {"n": 1})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("relative", "x"), "socket"),
        (("10.0.0.1:9999", "x"), "socket"),
        (("127.0.0.1:0", "x"), "socket"),
        (("/" + "a" * 108, "x"), "socket"),
        (("/s", "{servise}"), "servise"),
        (("/s", "a; b"), "characters"),
        (("/s", "x", "fixed"), "node"),
        (("/s", "x", "{node}", "soon"), "timeout_s"),
        (("/s", "x", "{node}", "0"), "timeout_s"),
    ],
)
def test_settings_that_are_none(options: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Haproxy(*options)


# -- faults --


def test_nobody_listens(rig: Rig) -> None:
    rig.process.kill()
    rig.process.wait()
    for address in (f"{rig.folder}/admin", f"127.0.0.1:{rig.runtime}", f"{rig.folder}/none"):
        with pytest.raises(Unreachable):
            rig.at(address).weights("gw", "production")
        with pytest.raises(Unreachable):
            rig.at(address).set_weights("gw", "production", {"n1": 90})


def test_a_stopped_haproxy_is_unreachable_and_a_change_unknown(rig: Rig, eventually: Callable[..., Any]) -> None:
    impatient = rig.at(f"{rig.folder}/admin", timeout_s="0.3")
    servers = impatient._servers("gw", "production")
    rig.process.send_signal(signal.SIGSTOP)
    with pytest.raises(Unreachable, match="in time"):
        impatient.weights("gw", "production")
    with pytest.raises(Unreachable, match="in time"):
        impatient.set_weights("gw", "production", {"n1": 90})
    with pytest.raises(OutcomeUnknown, match="in time"):
        impatient._change("gw", "production", servers, {"n1": "weight 90", "n2": "weight 10"})
    rig.process.send_signal(signal.SIGCONT)
    # what was handed over is done once it runs again, which is why nobody may call it failed
    eventually(lambda: rig.traffic.weights("gw", "production") == {"n1": 90, "n2": 10})


def test_a_socket_that_this_account_may_not_use(rig: Rig) -> None:
    path = rig.folder / "admin"
    rig.traffic.weights("gw", "production")
    mode = stat.S_IMODE(path.stat().st_mode)
    rig.folder.chmod(0o755)
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(AuthFailed, match="account"):
            rig.traffic.weights("gw", "production")
    finally:
        if root:
            os.seteuid(0)
        path.chmod(mode)
    assert rig.traffic.weights("gw", "production")


# -- what is parsed --


def line(name: str, weight: object = 1, admin: object = 0, state: object = 2) -> str:
    return f"\n3 b 1 {name} 127.0.0.1 {state} {admin} {weight}"


def test_states() -> None:
    text = HEAD + line("a", 5) + line("b", 256, 8) + line("c", 1, 1) + line("d", 1, 4) + line("e", 1, 0, 0) + "\n\n"
    found = parse_servers(text, "b")
    assert [(s.name, s.weight, s.open, s.up) for s in found] == [
        ("a", 5, True, True),
        ("b", 256, False, True),
        ("c", 1, False, True),
        ("d", 1, True, True),
        ("e", 1, True, False),
    ]


@pytest.mark.parametrize(
    "bad",
    [HEAD + line("a", "x"), HEAD + line("a", 257), HEAD + line("a;b"), HEAD + line("a", "9" * 50), "1\n# x\ny", "", HEAD + "\n3 c 1 a"],
)
def test_states_that_are_none(bad: str) -> None:
    with pytest.raises(BadPayload):
        parse_servers(bad, "b")


def test_names_that_fit_twice_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Haproxy("/s", "b", "x{node}")
    answers = {"show stat b 4 -1": "# pxname,svname,bck\n", "show servers state b": HEAD + line("a") + line("xa") + "\n\n"}
    monkeypatch.setattr(traffic, "_ask", lambda line: answers[line])
    with pytest.raises(BadPayload, match="Two servers"):
        traffic.weights("s", "e")


@given(st.text() | st.text().map(lambda rest: HEAD + "\n" + rest) | st.text().map(lambda rest: "# pxname,svname,bck\nb," + rest))
def test_only_connector_errors_come_out_of_parsing(text: str) -> None:
    for parse in (lambda: parse_servers(text, "b"), lambda: parse_spares(text, "b"), lambda: parse_info(text)):
        with contextlib.suppress(ConnectorError):
            parse()


SERVERS = st.dictionaries(
    st.sampled_from("abcdef"), st.builds(Server, st.just("x"), st.integers(0, 256), st.booleans(), st.booleans()), min_size=1
)


@given(SERVERS, st.dictionaries(st.sampled_from("abcdefg"), st.integers(-5, 110), max_size=4))
def test_shares_add_up_and_keep_what_was_asked(servers: dict[str, Server], wanted: dict[str, int]) -> None:
    assert sum(shares_of(servers).values()) in (0, 100)
    try:
        new = new_shares(servers, wanted)
    except (Rejected, NotFound):
        return
    assert sum(new.values()) == 100
    assert all(new[node] == percent for node, percent in wanted.items())
    held = {node: Server(s.name, new[node], s.open) for node, s in servers.items()}
    assert shares_of(held) == new == new_shares(held, wanted)
