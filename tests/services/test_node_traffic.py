"""Taking a node out at once and bringing it back: refused with reasons, sent once, settled by what holds; with a real HAProxy."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from cockpit.domain.deeds import Deed, DeedState
from cockpit.domain.errors import ConnectorError, NotAllowed, NotFound, OutcomeUnknown, Rejected, StorageError, Unreachable
from cockpit.domain.facts import Fact, place
from cockpit.services.connections import Connected
from cockpit.services.deeds import LOOK_S, SURE_S, Deeds
from cockpit.services.nodes import Nodes
from cockpit.services.polled import TrafficJob, told_by
from cockpit.storage.journal import Journal
from tests.connectors.test_haproxy import Rig as HaproxyRig
from tests.connectors.test_haproxy import rig as haproxy  # noqa: F401 - a fixture
from tests.fakes.rig import Rig

PROD = place("gw", "prod")


class Balancer:
    """Shares in memory; `error` is raised instead of an answer, after the change where `took` is set."""

    def __init__(self) -> None:
        self.shares = {"n0": 25, "n1": 25, "n2": 25, "n3": 25}
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.took = False
        self.deaf: Exception | None = None

    def weights(self, service: str, environment: str) -> dict[str, int]:
        if self.deaf is not None:
            raise self.deaf
        if environment != "prod":
            raise NotFound("no such backend")
        return dict(self.shares)

    def drain(self, service: str, environment: str, node: str) -> dict[str, int]:
        return self._set(f"drain {node}", {node: 0})

    def ready(self, service: str, environment: str, node: str) -> dict[str, int]:
        return self._set(f"ready {node}", {node: 25})

    def _set(self, words: str, change: dict[str, int]) -> dict[str, int]:
        self.asked.append(words)
        if self.error is None or self.took:
            self.shares |= change
        if self.error is not None:
            raise self.error
        return dict(self.shares)


class Served(Rig):
    """The rig behind a balancer."""

    def __init__(self, folder: Path, clock: Any, balancer: Any, ports: tuple[str, ...] = ("Traffic", "Drain")) -> None:
        super().__init__(folder, clock)
        self.balancer = balancer
        self.lb = Connected("lb", "HAProxy", "haproxy", ports, ("gw",), balancer)
        self.connections.replace((*self.connections.all, self.lb))
        self.refreshed: list[tuple[str, str]] = []
        self.again()
        self.look()

    def again(self, owner: str = "elsewhere:1:1") -> None:
        """As a process that starts makes it."""
        self.journal = Journal(self.database, owner, self.clock)
        self.deeds = Deeds(self.store, self.runner, self.main, self.journal, self.notices, self.clock)
        self.nodes = Nodes(self.store, self.connections, self.deeds, self.clock)
        self.nodes.who = "Ada <ada@example.org>"
        self.nodes.refresh = lambda port, service: self.refreshed.append((port, service))

    def look(self) -> Exception | None:
        job = TrafficJob(self.lb, self.store, self.clock, 30.0)
        return job.apply(job.prepare()())

    def deed(self) -> Deed:
        return list(self.store.state.deeds.values())[-1]

    def noted(self) -> list[tuple[str, str, Any]]:
        found = [e for e in reversed(self.journal.entries()) if e.action in ("drain", "ready")]
        return [(e.kind, e.action, e.detail.get("state")) for e in found]

    def why_not(self, node: str = "n1", kind: str = "drain") -> str:
        return "; ".join(self.nodes.why_not(kind, "gw", "prod", node))


@pytest.fixture
def rig(tmp_path: Path, fake_clock: Any) -> Iterator[Served]:
    made = Served(tmp_path, fake_clock, Balancer())
    yield made
    made.deeds.close()
    made.database.close()


def test_each_refusal_says_why_and_nothing_is_sent(rig: Served) -> None:
    assert rig.why_not() == ""
    assert rig.why_not("n9") == "HAProxy knows no node n9 there"
    assert rig.why_not("n1", "ready") == "n1 serves already"
    rig.balancer.shares = {"n0": 0, "n1": 100}
    rig.look()
    assert rig.why_not() == "n1 is the last node that serves there"
    assert rig.why_not("n0") == "n0 gets no requests already"
    rig.clock.advance(31)
    assert rig.why_not() == "how the traffic is shared was seen 31 s ago, and HAProxy does not answer"
    rig.store.apply(shares={})
    assert rig.why_not() == "how the traffic is shared there is not known"
    rig.nodes.read_only, rig.nodes.who = "this window only reads", ""
    assert rig.why_not().startswith("this window only reads; it is not known who you are")
    rig.connections.replace(())
    assert "nothing that takes single nodes out is connected" in rig.why_not()
    with pytest.raises(NotAllowed) as caught:
        rig.nodes.take_out("gw", "prod", "n1")
    assert (caught.value.hint, len(caught.value.reasons)) == ("Nothing was sent.", 3)
    assert (rig.balancer.asked, rig.noted()) == ([], [])


def test_a_freeze_does_not_keep_a_bad_node_in(rig: Served) -> None:
    rig.rules(freezes={"prod": ("xetra",)})
    assert rig.why_not() == ""


def test_a_place_without_a_backend_is_no_failure_of_the_balancer(rig: Served) -> None:
    assert rig.look() is None
    assert set(rig.store.state.shares) == {PROD}
    rig.balancer.deaf = NotFound("no such backend")
    assert isinstance(rig.look(), NotFound), "of nothing at all it is"


def test_out_and_back_with_intent_first_and_outcome_after(rig: Served) -> None:
    real = rig.balancer.drain

    def drain(*about: str) -> dict[str, int]:
        assert rig.noted() == [("intent", "drain", "sent")], "the intent is on the disk before"
        return real(*about)

    rig.balancer.drain = drain
    rig.nodes.take_out("gw", "prod", "n1", " p99 doubled ")
    assert rig.why_not() == "what was asked before is sent: wait for its answer"
    rig.main.settle()
    deed = rig.deed()
    assert (deed.state, deed.subject, deed.reason, deed.who) == (DeedState.DONE, "n1", "p99 doubled", "Ada <ada@example.org>")
    assert deed.message == "n0 25 %, n1 0 %, n2 25 %, n3 25 %"
    assert rig.notices.history[0].title == "Taking n1 out of gw in prod: done"
    assert rig.refreshed == [("Traffic", "gw")]
    rig.look()
    rig.nodes.bring_back("gw", "prod", "n1")
    rig.main.settle()
    both = [[("intent", kind, "sent"), ("outcome", kind, "done")] for kind in ("drain", "ready")]
    assert rig.noted() == [*both[0], *both[1]]
    assert rig.balancer.asked == ["drain n1", "ready n1"]


@pytest.mark.parametrize(("error", "state"), [(Rejected("the last one"), "refused"), (Unreachable("no socket"), "not sent")])
def test_what_was_refused_or_not_sent_is_that(rig: Served, error: ConnectorError, state: str) -> None:
    rig.balancer.error = error
    rig.nodes.take_out("gw", "prod", "n1")
    rig.main.settle()
    assert (rig.deed().state, rig.deed().message) == (state, error.message)
    assert rig.balancer.asked == ["drain n1"]


def test_where_the_intent_cannot_be_written_nothing_is_sent(rig: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(rig.journal, "append", full)
    rig.nodes.take_out("gw", "prod", "n1")
    rig.main.settle()
    assert (rig.deed().state, rig.balancer.asked) == (DeedState.NOT_SENT, [])


@pytest.mark.parametrize("took", [True, False])
def test_a_lost_answer_is_unknown_until_the_shares_tell(rig: Served, took: bool) -> None:
    rig.balancer.error, rig.balancer.took, rig.balancer.deaf = OutcomeUnknown("no answer in time"), took, Unreachable("gone")
    rig.nodes.take_out("gw", "prod", "n1")
    rig.main.settle()
    assert rig.deed().state is DeedState.UNKNOWN
    assert rig.notices.newest is not None
    assert rig.notices.newest.title == "Taking n1 out of gw in prod: outcome not known yet"
    rig.main.run_for(10 * SURE_S)
    assert rig.deed().state is DeedState.UNKNOWN, "who cannot be asked told nothing"
    assert "what was asked before is unknown" in rig.why_not()
    rig.balancer.deaf = None
    rig.main.run_for(SURE_S + 2 * LOOK_S)
    assert rig.deed().state is (DeedState.DONE if took else DeedState.NOT_SENT)
    assert rig.balancer.asked == ["drain n1"], "never sent again"


def test_a_restart_looks_and_sends_nothing(rig: Served) -> None:
    lost = Deed("k9", "drain", "gw", "prod", "n1", "lb", "Ada", "", at_us=rig.clock())
    for number, took in enumerate((True, False)):
        rig.balancer.shares["n1"] = 0 if took else 25
        key = f"k{number}"
        here = Journal(rig.database, dead_owner(), rig.clock)
        here.append("intent", key, "drain", "Ada", "gw", "prod", {**asdict_of(replace(lost, key=key))})
        rig.deeds.recover()
        rig.main.run_for(SURE_S + 3 * LOOK_S)
        assert rig.store.state.deeds[key].state is (DeedState.DONE if took else DeedState.NOT_SENT)
    assert rig.balancer.asked == []
    rig.deeds.recover()
    rig.main.settle()
    assert len(rig.store.state.deeds) == 2


def dead_owner() -> str:
    """A process of this machine that is gone."""
    return f"{platform.node()}:4194304:1"


def asdict_of(deed: Deed) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(deed)
    return found


def test_a_real_haproxy_takes_a_node_out_at_once(haproxy: HaproxyRig, tmp_path: Path, fake_clock: Any) -> None:  # noqa: F811
    rig = Served(tmp_path, fake_clock, haproxy.traffic)
    try:
        at = ("gw", "production")
        rig.store.apply(environments=tuple(replace(e, name="production") for e in rig.store.state.environments[-1:]))
        assert rig.look() is None
        assert rig.store.state.shares["gw@production"].value == {"n1": 50, "n2": 50}
        rig.nodes.take_out(*at, "n1")
        rig.main.settle()
        assert (rig.deed().state, haproxy.counted(20)) == (DeedState.DONE, {"n2": 20})
        assert rig.look() is None
        assert rig.nodes.why_not("drain", *at, "n2") == ("n2 is the last node that serves there",)
        rig.nodes.bring_back(*at, "n1")
        rig.main.settle()
        counted = haproxy.counted(20)
        assert (rig.deed().state, counted["n1"]) == (DeedState.DONE, 10)
        # the balancer's own word stands against a stale picture here, too
        rig.store.merge("shares", {"gw@production": Fact({"n1": 50, "n2": 50}, rig.clock(), "HAProxy", 30.0)})
        haproxy.raw("set server gw-production/gw_n2 state drain")
        rig.nodes.take_out(*at, "n1")
        rig.main.settle()
        assert (rig.deed().state, "last node" in rig.deed().message) == (DeedState.REFUSED, True)
        haproxy.process.kill()
        haproxy.process.wait()
        rig.nodes.bring_back(*at, "n2") if not rig.nodes.why_not("ready", *at, "n2") else rig.nodes.take_out(*at, "n2")
        rig.main.settle()
        assert rig.deed().state is DeedState.NOT_SENT
    finally:
        rig.deeds.close()
        rig.database.close()


def test_who_is_quick_cannot_take_the_last_one_out(rig: Served) -> None:
    rig.balancer.shares = {"n0": 50, "n1": 50, "n2": 0}
    rig.look()
    rig.nodes.take_out("gw", "prod", "n0")
    assert rig.why_not("n1") == "n1 is the last node that serves there", "under way"
    rig.main.settle()
    assert rig.deed().state is DeedState.DONE
    assert rig.why_not("n1") == "n1 is the last node that serves there", "done, and the shares are those of before"
    rig.look()
    assert rig.why_not("n1") == "n1 is the last node that serves there"
    rig.nodes.bring_back("gw", "prod", "n0")
    rig.main.settle()
    rig.balancer.shares = {"n0": 50, "n1": 50, "n2": 0}
    rig.clock.advance(6)
    rig.look()
    assert rig.why_not("n1") == ""


def test_a_node_of_the_same_name_elsewhere_is_another_one(rig: Served) -> None:
    deed = Deed("d1", "drain", "gw", "staging", "n1", "lb", "Ada", "", DeedState.UNKNOWN, at_us=rig.clock())
    rig.store.apply(deeds={"d1": deed})
    assert rig.why_not("n1") == ""


def test_the_shares_of_a_balancer_that_was_removed_are_gone_with_it(rig: Served) -> None:
    rig.store.apply(**told_by(rig.connections.all, rig.store.state))
    assert set(rig.store.state.shares) == {PROD}
    rig.store.apply(**told_by((), rig.store.state))
    assert rig.store.state.shares == {}
