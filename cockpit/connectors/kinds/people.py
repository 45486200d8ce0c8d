"""Where people are told, and when nothing may be released. Each connector is imported when one is created."""

from __future__ import annotations

from typing import Any

from cockpit.connectors.kinds.common import CA_FILE, TOKEN, Options, Secret
from cockpit.connectors.ports import ConnectorSpec, Field


def _slack(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.webhook import SlackWebhook

    return SlackWebhook(options["url"], secret, options.get("ca_file", ""))


def _webhook(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.webhook import SignedWebhook

    return SignedWebhook(options["url"], secret, options.get("ca_file", ""))


def _mail(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.mail import Mail

    return Mail(options, secret)


def _icalendar(options: Options, secret: Secret) -> Any:
    from cockpit.connectors.icalendar_file import IcalendarFile

    return IcalendarFile(**options, token=secret)


KINDS: tuple[ConnectorSpec, ...] = (
    ConnectorSpec(
        kind="slack",
        title="Chat (Slack-compatible webhook)",
        ports=("Notifier",),
        fields=(
            Field("url", "Address", kind="url", description="Without its secret part, such as https://hooks.slack.com/services"),
            Field("token", "Secret part of the address", kind="secret", description="As T000/B000/XXXX; kept in the keyring only"),
            CA_FILE,
        ),
        create=_slack,
        rights=("post to the webhook's channel",),
    ),
    ConnectorSpec(
        kind="webhook",
        title="Signed webhook",
        ports=("Notifier",),
        fields=(
            Field("url", "Address", kind="url", description="Where notices are posted as JSON"),
            Field("token", "Secret to sign with", kind="secret", description="Shared with the receiver; kept in the keyring only"),
            CA_FILE,
        ),
        create=_webhook,
        rights=("post to that address",),
    ),
    ConnectorSpec(
        kind="mail",
        title="E-mail (SMTP)",
        ports=("Notifier",),
        fields=(
            Field("host", "Mail server"),
            Field("port", "Port", kind="number", required=False, description="Usually 587 with starttls, 465 with tls"),
            Field("security", "Encryption", kind="choice", required=False, default="starttls", choices=("starttls", "tls")),
            Field("sender", "From", description="An address, such as releases@example.org"),
            Field("to", "To", description="Addresses, separated by commas"),
            Field("user", "User", required=False, description="Empty: the server asks for no login"),
            Field("token", "Password", kind="secret", required=False, description="Kept in the keyring only"),
            CA_FILE,
        ),
        create=_mail,
        rights=("send mail from that address",),
    ),
    ConnectorSpec(
        kind="icalendar",
        title="Calendar of freezes (iCalendar)",
        ports=("Calendar",),
        fields=(
            Field("path", "File", kind="path", required=False, description="An iCalendar file (.ics); this or the address"),
            Field("url", "Address", kind="url", required=False, description="Where the calendar is served; this or the file"),
            Field("environments", "Environments", required=False, description="Comma separated; empty means all"),
            Field(
                "hard",
                "Hard",
                kind="choice",
                required=False,
                default="false",
                choices=("false", "true"),
                description="No override passes its events",
            ),
            TOKEN,
            CA_FILE,
        ),
        create=_icalendar,
        rights=("read the calendar",),
    ),
)
