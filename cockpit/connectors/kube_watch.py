"""Waiting for the next change of one object: a watch that is closed with the first event, and ends by itself soon in any case."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from cockpit.connectors.http_stream import Listener
from cockpit.connectors.kube_wire import parse_event_type
from cockpit.domain.errors import BadPayload

WATCH_S = 1  # the shortest that the API knows
_MAX_BYTES = 4 * 1024 * 1024


class NextChange(Listener):
    """The end of a watch: closes it with the first event that tells anything, an error such as 410 (too old) among them.

    Whoever waited reads the object anew, so that nothing depends on how the watch ended.
    """

    idle_s = WATCH_S + 2.0

    def __init__(self) -> None:
        super().__init__(lambda event: None)
        self.seen = ""
        self._rest = b""
        self._until_s = time.monotonic() + self.idle_s

    def feed(self, piece: bytes) -> None:
        """A piece of the stream: lines of JSON, cut anywhere."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            try:
                self.seen = self.seen or (kind if (kind := parse_event_type(line)) != "BOOKMARK" else "")
            except BadPayload:
                self.seen = "ERROR"
        if self.seen or len(self._rest) > _MAX_BYTES or time.monotonic() > self._until_s:
            self.close()


def watch_address(listed: str, name: str, version: str) -> str:
    """Where changes of the object after that version are told."""
    asked = {"watch": "1", "fieldSelector": f"metadata.name={name}", "resourceVersion": version, "timeoutSeconds": WATCH_S}
    return f"{listed}?{urlencode(asked)}"
