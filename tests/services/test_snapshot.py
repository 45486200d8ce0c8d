"""The state as it is kept: in two readings that together give back what was known, and nothing of services that have gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cockpit.domain.facts import Fact
from cockpit.domain.rollout import Action, ActionState
from cockpit.services import snapshot
from cockpit.services.store import AppState, Store
from cockpit.storage.database import Database, open_database
from cockpit.storage.history import History
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
    # asked for again, or read from the database again; in the journal and among the signed words; from the settings and the start
    asked = {"runs", "trends", "freezes", "locks", "reviews", "alerts", "gates", "shares", "watches"}
    left_out = asked | {"approvals", "statements", "rollouts", "deeds", "services", "environments", "starting"}
    assert shown.keys() | rest.keys() == set(STATE.__struct_fields__) - left_out
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


def test_only_what_is_read_back_is_written() -> None:
    under_way = Action("k1", "deploy", "order-gateway", "production", "1", "d1", "2", "d2", "Ada", ActionState.UNKNOWN, 1)
    ended = replace(under_way, key="k2", state=ActionState.DONE)
    runs = {"r1": Fact(STATE.checks["order-gateway"].value[0], 1, "ci")}
    written = msgspec.json.decode(snapshot.encode(replace(STATE, runs=runs, actions={"k1": under_way, "k2": ended})))
    assert STATE.approvals
    assert written.keys().isdisjoint({"runs", "approvals", "services", "environments", "starting"})
    assert list(written["actions"]) == ["k2"]


def older(state: AppState, by_us: int) -> AppState:
    """The same knowledge with other ages."""
    names = ("versions", "changes", "fleets", "deployments", "artifacts", "checks", "latency")
    return replace(state, **{n: {k: replace(f, at_us=f.at_us - by_us) for k, f in getattr(state, n).items()} for n in names})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "cockpit.sqlite")
    yield opened
    opened.close()


def test_nothing_is_written_while_only_ages_go_on_but_now_and_then(database: Database) -> None:
    keeper, now = snapshot.Keeper(History(database), Store()), 10**15
    assert keeper.save(older(STATE, 5), now)
    assert not keeper.save(older(STATE, 5), now + 1)
    assert not keeper.save(STATE, now + 1), "only ages"
    assert keeper.save(replace(STATE, checks={}), now + 2)
    assert keeper.save(replace(STATE, checks={}), now + 2 + snapshot.AGES_US), "ages too, but seldom"
    assert keeper.save(replace(STATE, checks={}), now + 3 + snapshot.AGES_US, always=True)


def test_what_could_not_be_written_is_tried_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(database)
    keeper = snapshot.Keeper(history, Store())

    def full(*args: Any) -> None:
        raise OSError("full")

    monkeypatch.setattr(history, "save_snapshot", full)
    with pytest.raises(OSError, match="full"):
        keeper.save(STATE, 10**15)
    monkeypatch.undo()
    assert keeper.save(STATE, 10**15)


def test_a_changed_value_counts_and_a_key_that_went_too() -> None:
    at, fleet = next(iter(STATE.fleets.items()))
    moved = {**STATE.fleets, at: replace(fleet, value=replace(fleet.value, nodes=()))}
    assert snapshot.differ(STATE, replace(STATE, fleets=moved))
    assert snapshot.differ(STATE, replace(STATE, fleets={k: v for k, v in STATE.fleets.items() if k != at}))
    assert not snapshot.differ(STATE, older(STATE, 7))
