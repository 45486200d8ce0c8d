"""Where tests run. Each connector is imported when one is created."""

from __future__ import annotations

from typing import Any

from cockpit.connectors.kinds.common import CA_FILE, TOKEN, URL, Options, Secret, client
from cockpit.connectors.ports import ConnectorSpec, Field


def _ci(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.open_ci import OpenCi

    return OpenCi(client(options, secret, "The CI system"))


def _buildbot(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.buildbot import Buildbot
    from cockpit.connectors.buildbot_runs import Naming
    from cockpit.connectors.http import HttpClient

    user, names = options.get("user", ""), ("builder", "version", "tag_pattern", "codebase", "junit")
    http = HttpClient(options["url"], name="Buildbot", token=secret, ca_file=options.get("ca_file", ""), user=user)
    return Buildbot(http, Naming(options["url"], **{name: options[name] for name in names if options.get(name)}), named=bool(user))


def _commands(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.commands import CommandCi

    return CommandCi(options)


def _jenkins(options: Options, secret: Secret) -> Any:
    from cockpit.connectors import jenkins
    from cockpit.connectors.http import HttpClient

    user, names = options.get("user", ""), jenkins.Options.__struct_fields__
    http = HttpClient(options["url"], name="Jenkins", token=secret, ca_file=options.get("ca_file", ""), user=user)
    return jenkins.Jenkins(http, jenkins.Options(**{name: options[name] for name in names if options.get(name)}))


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
    ConnectorSpec(
        kind="buildbot",
        title="Buildbot",
        ports=("CiSystem",),
        fields=(
            Field("url", "Address", kind="url", description="Of its web server, without /api"),
            Field("user", "User", required=False, description="Empty: nobody logs in; most Buildbots then let you look only"),
            Field("token", "Password", kind="secret", required=False, description="Of that user; kept in the keyring only"),
            CA_FILE,
            Field("builder", "Builder", required=False, default="{service}", description="How a service's builder is named"),
            Field("version", "Property of the version", required=False, description="Empty: version, tag or branch, whichever tells one"),
            Field("tag_pattern", "Tags", required=False, description="Such as {service}/v{version}; empty: any usual scheme"),
            Field("codebase", "Codebase", required=False, description="Where builds have several: the one of the service"),
            Field("junit", "Test reports", required=False, default="junit*.xml", description="How the logs with JUnit reports are named"),
        ),
        create=_buildbot,
        rights=("read builders, builds and logs", "force or rebuild, and stop builds"),
        shared=True,
        every_s=10.0,
    ),
    ConnectorSpec(
        kind="commands-ci",
        title="Tests by commands",
        ports=("CiSystem",),
        fields=(
            Field("runs_command", "Command that lists runs", description="{service} and {limit} are filled in; it prints JSON"),
            Field("run_command", "Command that tells one run", description="{run} is filled in"),
            Field("log_command", "Command that prints a log", required=False, description="{run} and {suite}; plain text"),
            Field("rerun_command", "Command that runs again", required=False, description="{run} and {key}; prints the new run"),
            Field("stop_command", "Command that stops a run", required=False, description="{run}; prints the run"),
            Field("timeout_s", "Time limit (seconds)", kind="number", required=False, default="30", description="Then it is ended"),
        ),
        create=_commands,
        rights=("start these commands as you",),
        shared=True,
    ),
    ConnectorSpec(
        kind="jenkins",
        title="Jenkins",
        ports=("CiSystem",),
        fields=(
            Field("url", "Address", kind="url", description="Of Jenkins itself, without /job"),
            Field("user", "User", required=False, description="Empty: nobody logs in"),
            Field("token", "API token", kind="secret", required=False, description="Of that user; kept in the keyring only"),
            CA_FILE,
            Field("job", "Job", required=False, default="{service}", description="With its folders, as venue/{service}/main"),
            Field("version_parameter", "Parameter of the version", required=False, default="VERSION", description="Else: its tag"),
            Field("commit_parameter", "Parameter of the commit", required=False, description="Where builds check nothing out by git"),
            Field(
                "key_parameter", "Parameter of the key", required=False, default="RELEASE_COCKPIT_KEY", description="The job declares it"
            ),
            Field("repository", "Repository", required=False, description="A part of its address, where builds check out several"),
            Field("tag_pattern", "Tags", required=False, description="Such as {service}/v{version}; empty: any usual scheme"),
        ),
        create=_jenkins,
        rights=("Overall/Read, Job/Read: read jobs, builds and logs", "Job/Build and Job/Cancel: run again and stop"),
        shared=True,
        every_s=10.0,
    ),
)
