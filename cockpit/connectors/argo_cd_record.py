"""What is written on an application of Argo CD before anything is asked of it."""

from __future__ import annotations

from msgspec import Struct

from cockpit.connectors.wire_values import Name, Text, TimeUs


class Record(Struct, frozen=True, omit_defaults=True):
    """What was asked from here, written before it is asked. `before`: when the last operation started; `mark`: the newest history id."""

    key: Name
    service: Name
    environment: Name
    version: Name
    digest: Name
    kind: Name
    by: Name = ""
    reason: Text = ""
    at_us: TimeUs = 0
    from_version: Name = ""
    from_digest: Name = ""
    before: Name = ""
    mark: int = -1
    ended: Name = ""
    ended_at_us: TimeUs = 0
    note: Text = ""

    @property
    def revision(self) -> str:
        return self.digest.removeprefix("git:")
