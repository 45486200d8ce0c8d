"""Where versions come from: repositories on disk, and forges. Each connector is imported when one is created."""

from __future__ import annotations

from typing import Any

from cockpit.connectors.kinds.common import Options, Secret
from cockpit.connectors.ports import ConnectorSpec, Field


def _git(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.git_local import GitLocal

    return GitLocal(options["path"])


KINDS: tuple[ConnectorSpec, ...] = (
    ConnectorSpec(
        kind="git",
        title="Git repository on disk",
        ports=("SourceControl",),
        fields=(Field("path", "Repository", kind="path", description="A working tree or a bare repository"),),
        create=_git,
        rights=("read the repository's files",),
    ),
)
