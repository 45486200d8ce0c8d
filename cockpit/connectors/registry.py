"""All kinds of connections: built in, and from installed packages (entry points `release_cockpit.connectors`).

The modules of `kinds` name the connectors; each of those is imported when one is created.
"""

from __future__ import annotations

import difflib
from typing import Any, cast

from cockpit.connectors.kinds import ci, code, deploy, people, watch
from cockpit.connectors.kinds.common import Secret
from cockpit.connectors.ports import ConnectorSpec, Lock, Probe, SignedWords
from cockpit.domain.errors import BadPayload, CockpitError, ConfigError, ConnectorError

ENTRY_POINTS = "release_cockpit.connectors"
_MODULES = (code, ci, deploy, watch, people)


def signed_words(
    path: str,
    remote: str = "",
    *,
    me: tuple[str, str] = ("", ""),
    key: tuple[str, str] = ("", ""),
    allowed_signers: str = "",
    revoked_keys: str = "",
    openpgp: dict[str, str] | None = None,
) -> SignedWords:
    """The signed words of a repository on disk. `me` is (name, e-mail), `key` is (ssh or openpgp, git's user.signingKey).

    Blocks nothing: the repository is looked at with the first question. It is no kind of connection: the policy as a whole describes it.
    """
    from cockpit.connectors.git_signed import GitSigned, Signer
    from cockpit.connectors.git_verify import Trust

    return GitSigned(path, Signer(*me, *key), Trust(allowed_signers, revoked_keys, openpgp or {}), remote)


def shared_lock(path: str, remote: str = "") -> Lock:
    """The locks of environments that a team keeps in a repository on disk and, with `remote`, in what it is a copy of."""
    from cockpit.connectors.git_lock import GitLock

    return GitLock(path, remote)


CONNECTORS: tuple[ConnectorSpec, ...] = tuple(spec for module in _MODULES for spec in module.KINDS)


def installed() -> tuple[tuple[ConnectorSpec, ...], tuple[ConfigError, ...]]:
    """(connectors of installed packages, what is wrong with those left out). A broken package never stops the others."""
    from importlib.metadata import entry_points

    specs: list[ConnectorSpec] = []
    problems: list[ConfigError] = []
    taken = {spec.kind for spec in CONNECTORS}
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        try:
            found = entry.load()
        except Exception as error:  # noqa: BLE001 - code of others: whatever it raises, the cockpit runs on and says so
            problems.append(_broken(entry.name, f"it cannot be loaded ({type(error).__name__}: {error})"))
            continue
        if not isinstance(found, ConnectorSpec):
            problems.append(_broken(entry.name, "it is no ConnectorSpec"))
        elif found.kind in taken:
            problems.append(_broken(entry.name, f"the kind “{found.kind}” is taken"))
        else:
            taken.add(found.kind)
            specs.append(found)
    return tuple(specs), tuple(problems)


def _broken(name: str, why: str) -> ConfigError:
    from cockpit.connectors.text import one_line

    return ConfigError(
        f"The connector “{one_line(name, 100)}” is left out: {one_line(why, 300)}.",
        hint="Update or remove the package that brings it.",
        title="A connector is broken",
    )


def specs() -> tuple[ConnectorSpec, ...]:
    """All usable kinds, built in first."""
    return CONNECTORS + installed()[0]


def spec(kind: str) -> ConnectorSpec:
    """The connector of that kind; ConfigError with the nearest name. Packages are searched only for kinds that are not built in."""
    for known in CONNECTORS:
        if known.kind == kind:
            return known
    others = installed()[0]
    for known in others:
        if known.kind == kind:
            return known
    names = [known.kind for known in (*CONNECTORS, *others)]
    near = difflib.get_close_matches(kind, names, n=1, cutoff=0.4)
    hint = f"Did you mean “{near[0]}”?" if near else f"Known kinds: {', '.join(names)}."
    raise ConfigError(f"There is no connector of the kind “{kind[:100]}”.", hint=hint)


def create(kind: str, options: dict[str, str], secret: Secret) -> Any:
    """A connector from its options (text) and `secret`, asked when a token is needed; nothing is contacted yet.

    ConfigError names each missing or unknown option. Call `close()` on what comes back when it is no longer used.
    """
    chosen = spec(kind)
    fields = {field.name: field for field in chosen.fields if field.kind != "secret"}
    problems = [f"{name}: is missing" for name, field in fields.items() if field.required and not options.get(name)]
    for name in options:
        if name not in fields:
            near = difflib.get_close_matches(name, list(fields), n=1)
            problems.append(f"{name}: is no option of “{kind}”" + (f" (did you mean “{near[0]}”?)" if near else ""))
    if problems:
        message = f"The connection of the kind “{kind}” cannot be made: {'; '.join(problems)}."
        raise ConfigError(message, hint="Correct it in the settings.", problems=tuple(problems))
    filled = {name: field.default for name, field in fields.items() if field.default} | options
    return chosen.create(filled, secret)


def probe(connector: Any) -> Probe | ConnectorError:
    """Test a connection: what it reaches, or why not. Blocks; never raises."""
    try:
        return cast(Probe, connector.probe())
    except ConnectorError as error:
        return error
    except CockpitError as error:
        return ConnectorError(error.message, hint=error.hint, title=error.title)
    except Exception as error:  # noqa: BLE001 - a connector of others may raise anything; a test of it must still answer
        what = f"The connector failed in itself ({type(error).__name__})."
        return BadPayload(what, hint="This is a mistake in the connector; tell its makers.")
