"""The state as it is kept: in two readings that together give back what was known, and nothing of services that have gone."""

from __future__ import annotations

import msgspec
import pytest

from cockpit.services import snapshot
from tests.fakes.believable import believable_state

STATE = believable_state()
NAMES = [service.name for service in STATE.services]


def test_what_another_version_wrote_is_refused_not_guessed() -> None:
    for payload in (b"", b"[]", b'{"fleets": {"a@b": 1}}', b"\x00\xff"):
        with pytest.raises(msgspec.MsgspecError):
            snapshot.shown(payload, NAMES)
    with pytest.raises(msgspec.MsgspecError):
        snapshot.rest(b'{"checks": 3}', NAMES)


def test_the_two_readings_have_every_field_once_and_as_it_was() -> None:
    payload = snapshot.encode(STATE)
    shown, rest = snapshot.shown(payload, NAMES), snapshot.rest(payload, NAMES)
    assert not shown.keys() & rest.keys()
    # runs are asked for again, approvals are in the journal, the other three come from the settings and the start
    assert shown.keys() | rest.keys() == set(STATE.__struct_fields__) - {"runs", "approvals", "services", "environments", "starting"}
    for name in ("versions", "fleets", "latency"):
        assert shown[name] == getattr(STATE, name)
    for name in ("changes", "deployments", "artifacts", "checks"):
        assert rest[name] == getattr(STATE, name)


def test_sources_keep_their_last_success_but_no_verdict() -> None:
    sources = snapshot.shown(snapshot.encode(STATE), NAMES)["sources"]
    assert {k: s.last_success_us for k, s in sources.items()} == {k: s.last_success_us for k, s in STATE.sources.items()}
    assert all(s.problem is None and not s.stopped and not s.next_poll_us for s in sources.values())


def test_services_that_have_gone_are_left_out() -> None:
    payload = snapshot.encode(STATE)
    fields = snapshot.shown(payload, ["risk-engine"]) | snapshot.rest(payload, ["risk-engine"])
    keys = {key.partition("@")[0].partition(":")[0] for name in fields if name not in ("sources", "actions") for key in fields[name]}
    assert keys == {"risk-engine"}
