"""Where tests run. Each connector is imported when one is created."""

from __future__ import annotations

from typing import Any

from cockpit.connectors.kinds.common import CA_FILE, TOKEN, URL, Options, Secret, client
from cockpit.connectors.ports import ConnectorSpec


def _ci(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.open_ci import OpenCi

    return OpenCi(client(options, secret, "The CI system"))


KINDS: tuple[ConnectorSpec, ...] = (
    ConnectorSpec(
        kind="ci-v1",
        title="CI system (open interface)",
        ports=("CiSystem",),
        fields=(URL, TOKEN, CA_FILE),
        create=_ci,
        rights=("read runs and logs", "run suites again and stop them"),
        shared=True,
    ),
)
