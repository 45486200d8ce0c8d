"""Starts the service as it runs in production, and talks to it."""

import http.client
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

RUN = Path(__file__).resolve().parent.parent / "run.py"


class Client:
    """One kept-alive connection."""

    def __init__(self, port):
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def text(self, method, path, body=None):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, path, data)
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode()

    def call(self, method, path, body=None):
        status, text = self.text(method, path, body)
        return status, json.loads(text)

    def close(self):
        self._connection.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running():
    """A client of a service process of its own, ended afterwards."""
    port = free_port()
    settings = {"PORT": str(port), "NODE_NAME": "test-1", "ENVIRONMENT": "test", "RELEASE_VERSION": "0.0.0"}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(RUN)], env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "listens on" in process.stdout.readline()
        client = Client(port)
        yield client
        client.close()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
