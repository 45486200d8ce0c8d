"""What most kinds of connections share: their address, their token, their HTTP client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cockpit.connectors.ports import Field

if TYPE_CHECKING:
    from cockpit.connectors.http import HttpClient

Options = dict[str, str]
Secret = Callable[[], str]

URL = Field("url", "Address", kind="url", description="Where the interface lives, without /v1")
TOKEN = Field("token", "Token", kind="secret", required=False, description="Kept in the keyring only")
CA_FILE = Field("ca_file", "CA certificate", kind="path", required=False, description="PEM file of a private certificate authority")


def client(options: Options, secret: Secret, name: str) -> HttpClient:
    """The HTTP client of a connection; nothing is contacted yet."""
    from cockpit.connectors.http import HttpClient

    return HttpClient(options["url"], name=name, token=secret, ca_file=options.get("ca_file", ""))
