"""Which service needs which: the compatibility matrix, and what a version to come would break."""

from __future__ import annotations

import pytest

from cockpit.domain.dependencies import Need, compatibility, dependency_lines, needs
from cockpit.domain.facts import place
from cockpit.domain.release import Environment, Fleet, Node, Service

GATEWAY = Service("gw", depends_on=("risk>=3.3.0", "md"))
RISK, MARKET = Service("risk"), Service("md")
ALL = (GATEWAY, RISK, MARKET)
PROD = Environment("prod", 2)


def fleets(**versions: tuple[str, ...]) -> dict[str, Fleet]:
    return {
        place(name, "prod"): Fleet(name, "prod", tuple(Node(f"{name}{i}", name, "prod", v, "", v and f"d{v}") for i, v in enumerate(found)))
        for name, found in versions.items()
    }


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("risk", Need("risk")),
        ("risk>=3.3.0", Need("risk", "3.3.0")),
        (" risk >= 3.3.0 ", Need("risk", "3.3.0")),
    ],
)
def test_needs_are_read(text: str, need: Need) -> None:
    assert needs(Service("gw", depends_on=(text,))) == (need,)


@pytest.mark.parametrize("text", ["", ">=1", "risk>=", "risk<2", "risk 2"])
def test_what_cannot_be_read_is_no_need(text: str) -> None:
    assert needs(Service("gw", depends_on=(text,))) == ()


def rows(**versions: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    return {r.need.service: (str(r.state), r.words) for r in compatibility(ALL, (PROD,), fleets(**versions))}


def test_the_oldest_node_decides() -> None:
    found = rows(gw=("1.7.0",), risk=("3.10.0", "3.2.9"), md=("2.0.0",))
    assert found["risk"] == ("blocked", "risk 3.3.0 or newer is needed, and 3.2.9 runs here")
    assert found["md"][0] == "ok"


def test_what_is_not_known_is_unknown_and_never_ok() -> None:
    assert rows(gw=("1.7.0",), md=("2.0.0",))["risk"][0] == "unknown"
    assert rows(gw=("1.7.0",), risk=("3.3.0", ""), md=("",))["risk"][0] == "unknown"
    assert rows(gw=("1.7.0",), risk=("3.3.0",), md=("",))["md"][0] == "unknown"
    assert rows(risk=("3.3.0",), md=("2.0.0",))["risk"][0] == "unknown", "what the service itself runs is not known"


def test_a_dependency_that_runs_nowhere_blocks() -> None:
    assert rows(gw=("1.7.0",), risk=(), md=("2.0.0",))["risk"] == ("blocked", "risk 3.3.0 or newer is needed, and it does not run here")


def test_a_service_that_runs_nowhere_needs_nothing() -> None:
    assert rows(gw=(), risk=(), md=()) == {}


def test_a_row_names_all_versions_oldest_first() -> None:
    found = next(r for r in compatibility(ALL, (PROD,), fleets(gw=("1.10.0", "1.9.0"), risk=("3.3.0",), md=("2.0.0",))))
    assert (found.versions, found.against, found.environment, found.service) == (("1.9.0", "1.10.0"), ("3.3.0",), "prod", "gw")


def lines(kind: str, service: Service, target: str, **versions: tuple[str, ...]) -> list[tuple[str, bool]]:
    found = dependency_lines(kind, service, target, "prod", ALL, fleets(**versions), 1)
    return [(str(line.state), line.insist) for line in found]


def test_what_a_version_needs_blocks_its_deployment_and_warns_before_a_rollback() -> None:
    assert lines("deploy", GATEWAY, "1.8.0", risk=("3.2.0",), md=("1.0",)) == [("blocked", False), ("ok", False)]
    assert lines("rollback", GATEWAY, "1.6.0", risk=("3.2.0",), md=("1.0",)) == [("warning", False), ("ok", False)]
    assert lines("deploy", GATEWAY, "1.8.0", md=("1.0",)) == [("unknown", True), ("ok", False)]


@pytest.mark.parametrize("kind", ["deploy", "rollback"])
def test_going_below_what_another_service_needs_blocks_unless_insisted(kind: str) -> None:
    assert lines(kind, RISK, "3.2.9", gw=("1.7.0",), risk=("3.4.0",)) == [("blocked", True)]
    assert lines(kind, RISK, "3.3.0", gw=("1.7.0",), risk=("3.4.0",)) == [("ok", False)]
    assert lines(kind, RISK, "3.2.9", risk=("3.4.0",)) == [("unknown", True)]
    assert lines(kind, RISK, "3.2.9", gw=(), risk=("3.4.0",)) == [], "what does not run needs nothing"


def test_without_a_least_version_any_will_do() -> None:
    assert lines("rollback", MARKET, "0.1", gw=("1.7.0",)) == []
