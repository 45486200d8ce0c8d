"""A kubeconfig's clusters and credentials, read by the official client's loader in a process of its own.

The loader starts the plugins that a kubeconfig names. One that waits for somebody would hang the caller for ever, so the process has
no terminal to ask at, and is ended with all that it started when its time is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from msgspec import Struct

from cockpit.connectors.http_answers import checked_address, decode
from cockpit.connectors.text import one_line
from cockpit.domain.errors import AuthFailed, BadPayload, CockpitError, Unreachable

LIMIT_S = 20.0
_HINT = "Try `kubectl get deployments` with the same kubeconfig and context; correct what it says."
_HINT_WAITS = "A login program of the kubeconfig may wait for a person: log in at a terminal once, then test the connection again."


class Credentials(Struct, frozen=True):
    """Where a cluster is and how to log in there. `authority`, `certificate`, `key`: PEM text; `user` and `token`: HTTP authentication."""

    host: str = ""
    authority: str = ""
    certificate: str = ""
    key: str = ""
    user: str = ""
    token: str = ""
    verify: bool = True
    server_name: str = ""
    problem: str = ""
    missing: bool = False


class Held:
    """Text that a TLS library wants as a file. In memory where the system can do that, else in a folder that only this user may open."""

    def __init__(self) -> None:
        self._open: list[int] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def path(self, text: str) -> str:
        """Where it can be read until `close`."""
        if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
            self._open.append(os.memfd_create("cockpit"))
            os.write(self._open[-1], text.encode())
            return f"/proc/self/fd/{self._open[-1]}"
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="cockpit-")
        descriptor, name = tempfile.mkstemp(dir=self._folder.name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return name

    def close(self) -> None:
        """Gone; may be called twice."""
        while self._open:
            os.close(self._open.pop())
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def load(path: str, context: str, limit_s: float = LIMIT_S) -> Credentials:
    """What the kubeconfig says of a context ("" = its current one). Blocks at most `limit_s`; Unreachable or AuthFailed where it cannot."""
    if path and not os.path.isfile(os.path.expanduser(path)):
        raise Unreachable(f"There is no kubeconfig “{one_line(path, 200)}”.", hint="Name the file in the settings, or leave it empty.")
    with tempfile.TemporaryDirectory(prefix="cockpit-") as folder:
        printed = _run([sys.executable, "-m", __name__, path and os.path.abspath(os.path.expanduser(path)), context], folder, limit_s)
    found = parse_credentials(printed)
    if found.problem:
        raise (Unreachable if found.missing else AuthFailed)(f"The kubeconfig gives no login: {one_line(found.problem, 400)}.", hint=_HINT)
    if found.server_name or not found.verify:
        what = "does not verify the cluster's certificate" if not found.verify else "names another server for the certificate"
        raise AuthFailed(f"The kubeconfig {what}; that is refused.", hint="Give the cluster its certificate-authority there instead.")
    try:
        checked_address(found.host)
    except CockpitError as error:
        raise Unreachable(error.message, hint=_HINT) from None
    return found


def parse_credentials(body: bytes) -> Credentials:
    """What the reading process printed; no error shows any of it."""
    try:
        return decode(body, Credentials)
    except BadPayload:
        raise BadPayload("The kubeconfig could not be read.", hint=_HINT) from None


def _run(arguments: list[str], folder: str, limit_s: float) -> bytes:
    """What it printed; it and all that it started are gone then, and so are the loader's own files."""
    environment = {**os.environ, "TMPDIR": folder, "PYTHONIOENCODING": "utf-8"}
    child = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
    )
    try:
        return child.communicate(timeout=limit_s)[0]
    except subprocess.TimeoutExpired:
        raise AuthFailed(f"The kubeconfig's login did not end within {limit_s:g} seconds.", hint=_HINT_WAITS) from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()


# -- in the process of its own ---------------------------------------------------------------------------------------------------


def _read(path: str, context: str) -> dict[str, Any]:
    try:
        from kubernetes.client import Configuration
        from kubernetes.config import load_kube_config
        from kubernetes.config.config_exception import ConfigException
    except ImportError:
        return {"problem": "the package “kubernetes” is not installed"}
    import logging

    said: list[str] = []
    told = logging.Handler()
    told.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(told)  # the loader tells of a failed plugin only there
    configuration = Configuration()
    configuration.host = ""
    try:
        load_kube_config(path or None, context or None, client_configuration=configuration)
    except (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return {"problem": str(error) or type(error).__name__, "missing": True}
    header = next(iter(configuration.api_key.values()), "")
    if not header and not configuration.cert_file and said:
        return {"problem": "; ".join(said)}
    return _told(configuration, header)


def _told(configuration: Any, header: str) -> dict[str, Any]:
    from base64 import b64decode

    scheme, _, token = header.partition(" ")
    user = ""
    if scheme == "Basic":
        user, _, token = b64decode(token).decode("utf-8", "replace").partition(":")
    return {
        "host": configuration.host,
        "authority": _text(configuration.ssl_ca_cert),
        "certificate": _text(configuration.cert_file),
        "key": _text(configuration.key_file),
        "user": user,
        "token": token.strip(),
        "verify": bool(configuration.verify_ssl),
        "server_name": configuration.tls_server_name or "",
    }


def _text(path: str | None) -> str:
    return Path(path).read_text("utf-8") if path else ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_read(sys.argv[1], sys.argv[2])))
