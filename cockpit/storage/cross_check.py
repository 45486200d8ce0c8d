"""Check what settings say of each other: names that must exist, orders without a circle, limits that depend on other values."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec.structs import replace

from cockpit.storage.policy_check import check_environments, check_groups, check_overrides, check_signing, check_source, unusable
from cockpit.storage.service_check import check_order, check_ways_back
from cockpit.storage.settings_watch import check_watches
from cockpit.storage.strategy_check import check_sets, check_strategies
from cockpit.storage.validate import Checked, cut, faultless, is_email, join, named, nearest, show

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# a service without these is still the right one; without its order or what cannot be taken back it would be another
_HARMLESS: Final = ("tag_pattern", "path", "live")


def cross_check(checked: Checked) -> Any:
    """The value with references checked; what is wrong is named among the problems.

    What has any mistake is left out as a whole, and so is an environment that rests on it: with a default in place of a mistyped
    approval count, signature or order, a version could ship that the file meant to stop.
    """
    settings, problems = checked.value, checked.problems
    groups = check_groups(checked)
    for name, environment in settings.environments.items():
        _check_after(name, environment, checked)
    _check_ranks(settings.environments, checked)
    check_environments(checked, groups)
    check_watches(checked)
    for name, connection in settings.connections.items():
        _check_connection(name, connection, checked)
    services = _services(checked)
    strategies = check_strategies(checked)
    approvals = check_signing(checked)
    overrides = check_overrides(checked)
    check_source(checked)
    sets = check_sets(checked, services)
    environments = {
        name: environment
        for name, environment in faultless("environments", settings.environments, problems).items()
        if not unusable(environment, checked, groups, strategies)
    }
    return replace(
        settings,
        environments=environments,
        services=services,
        connections=faultless("connections", settings.connections, problems),
        groups=groups,
        strategies=strategies,
        approvals=approvals,
        overrides=overrides,
        sets=sets,
        me=_checked_me(settings.me, problems),
        poll=_checked_poll(settings.poll, problems),
        notices=_checked_notices(settings.notices, problems),
    )


def _services(checked: Checked) -> dict[str, Any]:
    problems = checked.problems
    for name, service in checked.value.services.items():
        _check_versions(name, service, checked)
    kept = {n: s for n, service in checked.value.services.items() if (s := _check_service(n, service, problems)) is not None}
    check_order(checked)
    check_ways_back(checked)
    return faultless("services", kept, problems, _HARMLESS)


def _checked_me(me: Any, problems: list[str]) -> Any:
    if me.email and not is_email(me.email):
        problems.append(f"me.email: {show(me.email)} is no e-mail address")
        me = replace(me, email="")
    if me.signing and not me.signing_key:
        problems.append(f"me.signing_key: missing, for me.signing is {show(me.signing)}")
        return replace(me, signing="")
    if me.signing_key and not me.signing:
        problems.append('me.signing: must be "ssh" or "openpgp", for there is a me.signing_key')
    return me


def _checked_poll(poll: Any, problems: list[str]) -> Any:
    if poll.deadline_s > poll.interval_s:
        return poll
    problems.append(f"poll.deadline_s: must be more than poll.interval_s ({poll.interval_s:g}), not {poll.deadline_s:g}")
    return replace(poll, deadline_s=poll.interval_s * 5)


def _checked_notices(notices: Any, problems: list[str]) -> Any:
    """With any mistake there are no quiet hours: too loud is better than never heard."""
    if not notices.quiet and not notices.quiet_zone:
        return notices
    from cockpit.domain.quiet import parse, zone_of

    before = len(problems)
    for number, text in enumerate(notices.quiet):
        try:
            parse(text)
        except ValueError as error:
            problems.append(f"notices.quiet[{number}]: {error}, not {show(text)}")
    try:
        zone_of(notices.quiet_zone)
    except ValueError as error:
        problems.append(f"notices.quiet_zone: {show(notices.quiet_zone)} {error}")
    return replace(notices, quiet=(), quiet_zone="") if len(problems) > before else notices


def _check_after(name: str, environment: Any, checked: Checked) -> None:
    if not environment.after:
        return
    given = named(checked, "environments")
    path = join(join("environments", name), "after")
    if environment.after not in given:
        others = [n for n in given if n != name]
        checked.problems.append(f'{path}: there is no environment "{cut(environment.after)}"{nearest(environment.after, others)}')
        return
    seen, at = [name], environment.after
    while at and at not in seen:
        seen.append(at)
        following = checked.value.environments.get(at)
        at = following.after if following is not None else ""
    if at == name:
        checked.problems.append(f"{path}: waits for itself: {' after '.join(cut(n) for n in [*seen, name])}")


def _check_ranks(environments: dict[str, Any], checked: Checked) -> None:
    taken: dict[int, str] = {}
    for name, environment in environments.items():
        if "rank" not in checked.given["environments"][name]:
            continue
        other = taken.setdefault(environment.rank, name)
        if other != name:
            path = join(join("environments", name), "rank")
            checked.problems.append(f'{path}: {environment.rank} is the rank of "{cut(other)}" already')


def _check_service(name: str, service: Any, problems: list[str]) -> Any:
    path = join("services", name)
    if "://" in service.repository:
        problems.append(f"{path}.repository: must be a folder on this machine, not {show(service.repository)}: clone it first")
        return None
    pattern = service.tag_pattern
    if pattern and pattern.count("{version}") != 1:
        near = ' (did you mean "{version}"?)' if "{" in pattern and "{version}" not in pattern else ""
        problems.append(f"{path}.tag_pattern: must hold {{version}} exactly once{near}")
        return replace(service, tag_pattern="")
    return service


def _check_versions(name: str, service: Any, checked: Checked) -> None:
    """Something must tell its versions. Whether a connection of its kind can is known once connections are made."""
    stands = named(checked, "services")[name]
    if service.repository or (isinstance(stands, dict) and "repository" in stands):
        return
    for connection in named(checked, "connections").values():
        serves = connection.get("services") if isinstance(connection, dict) else ()
        if serves is None or serves == [] or (isinstance(serves, list) and name in serves):
            return
    checked.problems.append(f"{join(join('services', name), 'repository')}: missing, and no connection tells its versions")


def _check_connection(name: str, connection: Any, checked: Checked) -> None:
    path, known = join("connections", name), named(checked, "services")
    for service in connection.services:
        if service not in known:
            checked.problems.append(f'{path}.services: there is no service "{cut(service)}"{nearest(service, known)}')
    if connection.url and not re.match(r"https?://[^/\s]+", connection.url):
        checked.problems.append(f"{path}.url: must begin with http:// or https://, not {show(connection.url)}")
    if connection.token_env and not _VARIABLE.fullmatch(connection.token_env):
        # the value is not repeated: somebody may have put the token itself there
        checked.problems.append(f"{path}.token_env: must be the name of an environment variable, not a token")
