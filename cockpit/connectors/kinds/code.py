"""Where versions come from: repositories on disk, and forges. Each connector is imported when one is created."""

from __future__ import annotations

from typing import Any

from cockpit.connectors.kinds.common import CA_FILE, TOKEN, Options, Secret, client
from cockpit.connectors.ports import ConnectorSpec, Field


def _git(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.git_local import GitLocal

    return GitLocal(options["path"])


def _github(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.github import Github
    from cockpit.connectors.github_api import Names

    names = Names(**{name: options[name] for name in Names.__struct_fields__ if options.get(name)})
    return Github(options["url"], names, secret, ca_file=options.get("ca_file", ""))


_GITHUB = (
    Field("repository", "Repository", description="owner/name, or owner/{service} where each service has its own"),
    Field(
        "url",
        "Address",
        kind="url",
        required=False,
        default="https://api.github.com",
        description="GitHub Enterprise: https://host/api/v3",
    ),
    Field("tag_pattern", "Tags", required=False, description="Such as {service}/v{version}; empty: any scheme"),
    Field(
        "environment", "Environments", required=False, default="{environment}", description="How GitHub calls them: {service}-{environment}"
    ),
    Field("workflow", "Test workflow", required=False, description="Its file, such as ci.yml; empty: all workflows of a commit together"),
    Field(
        "workflow_dispatch",
        "Deployment workflow",
        required=False,
        description="Its file; empty: a deployment is recorded, and whatever listens to it deploys",
    ),
    TOKEN,
    CA_FILE,
)


def _gitlab(options: Options, secret: Secret) -> Any:
    from cockpit.connectors import gitlab

    given = {name: options[name] for name in ("project", "tag_pattern", "email") if options.get(name)}
    named = gitlab.Options(environments=options.get("environment") or "{environment}", **given)
    return gitlab.Gitlab(client(options, secret, "GitLab"), named)


def _gitea(options: Options, secret: Secret) -> Any:
    from cockpit.connectors import gitea

    given = {name: options[name] for name in gitea.Options.__struct_fields__ if options.get(name)}
    return gitea.Gitea(client(options, secret, "The forge"), gitea.Options(**given))


_TAGS = Field("tag_pattern", "Tags", required=False, description="Such as {service}/v{version}; empty: any scheme")
_EMAIL = Field(
    "email", "Addresses of people", required=False, description="Such as {username}@example.org; empty: as they show them in their profile"
)

KINDS: tuple[ConnectorSpec, ...] = (
    ConnectorSpec(
        kind="git",
        title="Git repository on disk",
        ports=("SourceControl",),
        fields=(Field("path", "Repository", kind="path", description="A working tree or a bare repository"),),
        create=_git,
        rights=("read the repository's files",),
    ),
    ConnectorSpec(
        kind="github",
        title="GitHub",
        ports=("SourceControl", "Reviews", "CiSystem", "DeploymentApi", "Gates"),
        fields=_GITHUB,
        create=_github,
        rights=(
            "read contents, pull requests, checks, Actions and deployments",
            "write deployments: to deploy and to go back",
            "write Actions: to run again, to cancel, and to start a deployment workflow",
            "be among an environment's reviewers: to answer what waits there",
        ),
        shared=True,
        every_s=15.0,
    ),
    ConnectorSpec(
        kind="gitlab",
        title="GitLab",
        ports=("SourceControl", "Reviews", "CiSystem", "DeploymentApi", "Gates"),
        fields=(
            Field("url", "Address", kind="url", required=False, default="https://gitlab.com", description="Without /api/v4"),
            Field("project", "Project", description="Its path, as group/name, or group/{service} where each service has its own"),
            _TAGS,
            Field("environment", "Environments", required=False, default="{environment}", description="How GitLab calls them"),
            _EMAIL,
            TOKEN,
            CA_FILE,
        ),
        create=_gitlab,
        rights=(
            "read the projects (scope read_api): tags, merge requests, pipelines, deployments",
            "start, retry and cancel pipelines with variables (scope api, role Developer or what the project asks for)",
            "be allowed to approve in a protected environment: to answer what waits there",
        ),
        shared=True,
        every_s=10.0,
    ),
    ConnectorSpec(
        kind="gitea",
        title="Gitea or Forgejo",
        ports=("SourceControl", "Reviews", "CiSystem"),
        fields=(
            Field("url", "Address", kind="url", description="Without /api/v1"),
            Field("repository", "Repository", description="owner/name, or owner/{service} where each service has its own"),
            _TAGS,
            Field("workflow", "Test workflow", required=False, description="Its file, such as ci.yml; needed where there are several"),
            _EMAIL,
            TOKEN,
            CA_FILE,
        ),
        create=_gitea,
        rights=("read repositories (read:repository) and the account (read:user)", "write repositories: to run again and to cancel"),
        shared=True,
        every_s=10.0,
    ),
)
