"""The settings file of the playground, as a team would write one for a venue of this size."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from cockpit.playground.calendar_file import FILE as CALENDAR
from cockpit.playground.keys import ALLOWED_SIGNERS, PEOPLE, YOU
from cockpit.playground.processes import write_atomic

# what must run before, with the least version that it must have
_NEEDS = {"order-gateway": ("market-data", "risk-engine>=3.3.0")}
_SET = ("order-gateway", "market-data")
_TEAM = "release-managers"
_SIGNED = """# Approvals are signed with keys made for this playground alone (below keys/, without a passphrase). One person plays all
# parts here, so production asks for one approval that is not by an author; a team would name more people and more approvals."""
_UNSIGNED = """# ssh-keygen was not found when this file was made: approvals stand unsigned in this machine's journal. One person plays all
# parts here, so production asks for one approval that is not by an author; a team would name more people and more approvals."""
_CANARY = """# One node first, with a tenth of the traffic; a person looks at it before the others follow. To use it, write
# strategy = "canary" below [environments.production].
[strategies.canary]
steps = [
    { do = "weight", nodes = ["*-1"], percent = 10 },
    { do = "deploy", nodes = ["*-1"] },
    { do = "bake", seconds = 20 },
    { do = "gate", ask = ["checks", "verdict"] },
    { do = "hold" },
    { do = "deploy", nodes = ["rest"] },
    { do = "weight", nodes = ["all"], percent = 100 },
]
"""
# Where all nodes change at once, and the version before never saw a market of that kind, only a limit that holds in every market speaks.
# In a wild one the good versions answer 99 % within 1 to 5 ms, within 10 on a machine with four times its work; the bad one in 30 to 120.
_WATCH = (
    "# A bad version is rolled back by itself once this says true: announced before, and a person can stop it.",
    "automatic = false",
    "countdown_s = 30",
    "p99_ms = 20",
)


def write_settings(path: Path, services: tuple[str, ...], environments: tuple[str, ...], urls: dict[str, str], signed: bool) -> None:
    """Write the file where there is none (or none that can be read); in one that is there only the two URLs are kept right."""
    try:
        text = path.read_text("utf-8")
        known = tomllib.loads(text)["connections"]
        old = {part: known[part]["url"] for part in urls}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError):
        write_atomic(path, _settings(services, environments, urls, signed).encode())
        return
    if old != urls:
        for part, url in urls.items():
            section = re.compile(rf"(\[connections\.{part}\][^\[]*?url\s*=\s*)\"[^\"]*\"", re.DOTALL)
            text = section.sub(lambda found, url=url: f'{found.group(1)}"{url}"', text)  # type: ignore[misc]
        write_atomic(path, text.encode())


def _settings(services: tuple[str, ...], environments: tuple[str, ...], urls: dict[str, str], signed: bool) -> str:
    lines = ["# The playground: everything and everybody in it is made up.", *_people(signed), ""]
    for service in services:
        lines += [*_service(service, services), ""]
    for rank, name in enumerate(environments, 1):
        lines += [*_environment(name, rank, environments[rank - 2] if rank > 1 else ""), ""]
    for part, kind in (("ci", "ci-v1"), ("deployer", "deployment-v1")):
        lines += [f"[connections.{part}]", f'kind = "{kind}"', f'url = "{urls[part]}"', ""]
    lines += ["[connections.venue]", 'kind = "icalendar"', f'path = "{CALENDAR}"', 'environments = "production"', ""]
    lines += [
        "[connections.latency]",
        'kind = "openmetrics"',
        'volatility = "order_book_depth"',
        'invariants = "venue_violations_total"',
        "",
    ]
    lines += ["[checks]", 'required = ["unit", "integration", "performance"]', ""]
    if set(_SET) <= set(services):
        lines += ["[sets.trading]", f"services = {json.dumps(_SET)}", 'on_failure = "stop"', ""]
    return "\n".join([*lines, _CANARY])


def _people(signed: bool) -> list[str]:
    lines = [_SIGNED if signed else _UNSIGNED, "[me]", f'name = "{YOU.name}"', f'email = "{YOU.email}"']
    if signed:
        lines += ['signing = "ssh"', f'signing_key = "keys/{YOU.key}"', "", "[approvals]", f'allowed_signers = "keys/{ALLOWED_SIGNERS}"']
    team = json.dumps([person.email for person in PEOPLE])
    lines += ["", "[groups]", f"{_TEAM} = {team}", "", "[overrides]", f'freeze = ["{_TEAM}"]', f'emergency = ["{_TEAM}"]']
    return [*lines, f'clear = ["{_TEAM}"]']


def _service(service: str, services: tuple[str, ...]) -> list[str]:
    path = f"services/{service}"
    needs = [need for need in _NEEDS.get(service, ()) if need.partition(">")[0] in services]
    return [
        f"[services.{service}]",
        'repository = "repo"',
        f'tag_pattern = "{service}/v{{version}}"',
        f'path = "{path}"',
        f"depends_on = {json.dumps(needs)}",
        f'config_paths = ["{path}/settings.conf"]',
        f'contract_paths = ["{path}/README.md"]',
    ]


def _environment(name: str, rank: int, before: str) -> list[str]:
    production = name == "production"
    lines = [f"[environments.{name}]", f"rank = {rank}", f"approvals = {int(production)}", f"production = {json.dumps(production)}"]
    if not production:
        return [*lines, f'after = "{before}"']
    return [*lines, f'after = "{before}"', 'apart = ["author"]', "", f"[environments.{name}.watch]", *_WATCH]
