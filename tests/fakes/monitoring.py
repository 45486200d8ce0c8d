"""Real monitoring servers for tests: unpacked from Debian packages where they are not installed, on free loopback ports, always ended."""

from __future__ import annotations

import functools
import io
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

CACHE = Path(__file__).resolve().parents[2] / "build" / "debian"
READY_S = 20.0
TEMPLATES = "/usr/share/prometheus/alertmanager"

EXPORTER = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BOUNDS = (0.001, 0.01, 0.1, float("inf"))
LOCK = threading.Lock()
COUNTS, ERRORS = {}, {}

def page():
    lines = ["# TYPE http_server_request_duration_seconds histogram"]
    for operation, counts in COUNTS.items():
        for bound, count in zip(BOUNDS, counts):
            le = "+Inf" if bound == BOUNDS[-1] else str(bound)
            lines.append('http_server_request_duration_seconds_bucket{operation="%s",le="%s"} %d' % (operation, le, count))
    lines.append("# TYPE http_server_errors_total counter")
    lines += ['http_server_errors_total{operation="%s"} %d' % item for item in ERRORS.items()]
    lines += ["# TYPE book_depth gauge", "book_depth %s" % len(COUNTS), "# TYPE venue_violations_total counter"]
    lines += ['venue_violations_total{invariant="book not crossed"} %d' % sum(ERRORS.values())]
    return "\\n".join(lines) + "\\n"

class Handler(BaseHTTPRequestHandler):
    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def do_GET(self):
        with LOCK:
            self.answer(page())
    def do_POST(self):
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        with LOCK:
            if "restart" in asked:
                COUNTS.clear(), ERRORS.clear()
            else:
                counts = COUNTS.setdefault(asked["operation"], [0] * len(BOUNDS))
                for index, bound in enumerate(BOUNDS):
                    counts[index] += int(asked["n"]) if float(asked["seconds"]) <= bound else 0
                ERRORS[asked["operation"]] = ERRORS.get(asked["operation"], 0) + int(asked["errors"])
        self.answer("")
    def log_message(self, *words):
        return

ThreadingHTTPServer(("127.0.0.1", 0), Handler).serve_forever()
"""


@functools.cache
def binary(package: str) -> Path:
    """The server of that Debian package, or the test is skipped and says why."""
    installed = shutil.which(package)
    if installed:
        return Path(installed)
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / package
    with FileLock(CACHE / f"{package}.lock"):
        if not target.exists():
            _unpack(package, target)
    return target


def _unpack(package: str, target: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip(f"{package} is not installed, and there is no apt-get to fetch it")
    place = CACHE / f"{package}.download"
    place.mkdir(exist_ok=True)
    try:
        fetched = subprocess.run(["apt-get", "download", package], cwd=place, capture_output=True, text=True, timeout=120)
        found = sorted(place.glob(f"{package}_*.deb"))
        if fetched.returncode != 0 or not found:
            pytest.skip(f"{package} is not installed and could not be fetched: {fetched.stderr.strip()[-200:]}")
        content = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(found[-1])], capture_output=True, check=True, timeout=120).stdout
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            half = place / "half"
            half.write_bytes(_relocated(_content(archive, f"./usr/bin/{package}")))
            for name in archive.getnames():
                if name.startswith(f".{TEMPLATES}/") and name.endswith(".tmpl"):
                    (CACHE / Path(name).name).write_bytes(_content(archive, name))
        half.chmod(0o755)
        half.rename(target)
    finally:
        shutil.rmtree(place)


def wait_until(predicate: Callable[[], Any], timeout_s: float) -> Any:
    """The first true answer of `predicate`, or its last answer after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not (answer := predicate()) and time.monotonic() < deadline:
        pause.wait(0.02)
    return answer


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    source = archive.extractfile(name)
    assert source is not None
    return source.read()


def _relocated(program: bytes) -> bytes:
    """Debian's Alertmanager opens its templates by an absolute path; a copy that is not installed looks where it is started."""
    return program.replace(TEMPLATES.encode(), b"/proc/self/cwd".ljust(len(TEMPLATES), b"/"))


class Running:
    """A server of one's own: `url`, `port`, `process`, and what it printed in `log`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"

    def post(self, path: str, **words: object) -> None:
        """A POST with these words in the address."""
        request = urllib.request.Request(f"{self.url}{path}?{urllib.parse.urlencode(words)}", data=b"", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


@contextmanager
def running(command: list[str], folder: Path, ready: str = "") -> Iterator[Running]:
    """Start it, wait until it listens on one port (and answers `ready` with 200), and end it whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        port = wait_until(lambda: _port(process, log), READY_S)
        assert port, f"{command[0]} does not listen: {_printed(log)}"
        server = Running(process, port, log)
        if ready:
            assert wait_until(lambda: _answers(server.url + ready), READY_S), _printed(log)
        yield server
    finally:
        process.send_signal(signal.SIGCONT)  # SIGCONT: what a test stopped must hear that it is to end
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _printed(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-1000:]


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    assert process.poll() is None, f"it ended by itself: {_printed(log)}"
    found = [c.laddr.port for c in psutil.Process(process.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    return found[0] if found else 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            answer.read()
            return True
    except OSError:
        return False


def exporter(folder: Path) -> AbstractContextManager[Running]:
    """A node with a metrics page; POST /?operation=&seconds=&n=&errors= counts, POST /?restart=1 starts again at zero."""
    return running([sys.executable, "-I", "-S", "-c", EXPORTER], folder, "/metrics")


def prometheus(
    folder: Path, targets: dict[str, tuple[str, str, str]], rules: str = "", alertmanager: str = "", server: Path | None = None
) -> AbstractContextManager[Running]:
    """Prometheus that scrapes each second; `targets`: address -> (node, service, environment).

    `rules` is a rule file, looked at each second; what fires goes to the address `alertmanager`.
    """
    server = server or binary("prometheus")
    scrapes = _scrapes(folder, targets)
    if rules:
        (folder / "rules.yml").write_text(rules, "utf-8")
        lines = scrapes.read_text("utf-8").replace("scrape_timeout: 900ms", "scrape_timeout: 900ms, evaluation_interval: 1s")
        told = f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n"
        scrapes.write_text(lines + f"rule_files: ['{folder / 'rules.yml'}']\n" + told, "utf-8")
    storage = [f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=1h"]
    command = [str(server), f"--config.file={scrapes}", *storage, "--web.listen-address=127.0.0.1:0"]
    return running(command, folder, "/-/ready")


def victoria_metrics(folder: Path, targets: dict[str, tuple[str, str, str]], server: Path | None = None) -> AbstractContextManager[Running]:
    """The same with VictoriaMetrics."""
    server = server or binary("victoria-metrics")
    scrapes = _scrapes(folder, targets)
    storage = [f"-storageDataPath={folder / 'data'}", "-retentionPeriod=1", "-search.latencyOffset=1s"]
    command = [str(server), f"-promscrape.config={scrapes}", *storage, "-httpListenAddr=127.0.0.1:0"]
    return running(command, folder, "/health")


def _scrapes(folder: Path, targets: dict[str, tuple[str, str, str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["global: {scrape_interval: 1s, scrape_timeout: 900ms}", "scrape_configs:", "- job_name: nodes", "  static_configs:"]
    for address, (node, service, environment) in targets.items():
        labels = f"{{node: {node}, service: {service}, environment: {environment}}}"
        lines.append(f"  - {{targets: ['{address}'], labels: {labels}}}")
    path = folder / "scrapes.yml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def alertmanager(folder: Path) -> AbstractContextManager[Running]:
    """Alertmanager that tells nobody; no gossip port."""
    server = binary("prometheus-alertmanager")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n", "utf-8")
    for template in server.parent.glob("*.tmpl"):
        shutil.copy(template, folder)
    addresses = ["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]
    command = [str(server), f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}", *addresses]
    return running(command, folder, "/-/ready")
