"""Tags of every scheme, the order of versions, what is pending, and what a fleet agrees on."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.release import (
    Changes,
    Commit,
    Deployment,
    DeployState,
    Fleet,
    Node,
    Version,
    address_of,
    in_order,
    parse_tag,
    pending,
    version_key,
)


def version(name: str, at_us: int = 0) -> Version:
    return Version("gateway", name, f"v{name}", f"c-{name}", at_us)


@pytest.mark.parametrize(
    ("tag", "prefix", "name"),
    [
        ("v1.2", "", "1.2"),
        ("V1.2.3", "", "1.2.3"),
        ("1.2.3", "", "1.2.3"),
        ("1.2.3-rc1", "", "1.2.3-rc1"),
        ("v1.2.3-rc.1+build.5", "", "1.2.3-rc.1+build.5"),
        ("1.2.3+build", "", "1.2.3+build"),
        ("v12", "", "12"),
        ("v2rc1", "", "2rc1"),
        ("3.12.0a1", "", "3.12.0a1"),
        ("gateway/1.2.3", "gateway", "1.2.3"),
        ("gateway/v1.2.3", "gateway", "1.2.3"),
        ("team/gateway/v1.2.3", "team/gateway", "1.2.3"),
        ("gateway-1.2.3", "gateway", "1.2.3"),
        ("gateway-v1.2.3", "gateway", "1.2.3"),
        ("gateway_v1.2", "gateway", "1.2"),
        ("order-gateway-1.2.3-rc1", "order-gateway", "1.2.3-rc1"),
        ("@scope/package@1.2.3", "@scope/package", "1.2.3"),
        ("release-2026-11-22", "release", "2026-11-22"),
        ("2026-11-22", "", "2026-11-22"),
        ("2026.11.22", "", "2026.11.22"),
        ("20261122", "", "20261122"),
        ("release-20261122", "release", "20261122"),
        ("release-20261122.2", "release", "20261122.2"),
        ("k8s-1.2", "k8s", "1.2"),
        ("python3-1.2.3", "python3", "1.2.3"),
        ("2to3-1.0", "2to3", "1.0"),
        ("v2ray-1.0", "v2ray", "1.0"),
        ("OpenSSL_1_1_1k", "OpenSSL", "1_1_1k"),
        ("REL_15_2", "REL", "15_2"),
        ("boost-1-80-0", "boost", "1-80-0"),
        ("go1.21.5", "go", "1.21.5"),
        ("jdk-21+35", "jdk", "21+35"),
        ("v1.2.3.4.5", "", "1.2.3.4.5"),
        ("überbörse/v1.2", "überbörse", "1.2"),
        ("🚀/v1.0.0", "🚀", "1.0.0"),
        (f"{'n' * 500}/v1.2.3", "n" * 500, "1.2.3"),
        (f"v1.2.3-{'x' * 500}", "", f"1.2.3-{'x' * 500}"),
    ],
)
def test_a_tag_is_split_by_its_scheme(tag: str, prefix: str, name: str) -> None:
    found = parse_tag(tag)
    assert found is not None
    assert (found.prefix, found.name) == (prefix, name)


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "v",
        "latest",
        "build-7",
        "build-7-linux",
        "nightly",
        "release",
        "7",
        "before-refactoring",
        "v1.2.3/",
        "/",
        "v1..2",
        "1.2.3-",
        "v1.2 final",
        "ticket-1234",
    ],
)
def test_a_tag_that_is_no_version(tag: str) -> None:
    assert parse_tag(tag) is None


@pytest.mark.parametrize(
    ("tag", "pattern", "expected"),
    [
        ("order-gateway/v1.2.3", "order-gateway/v{version}", ("order-gateway", "1.2.3")),
        ("dev/v1.2", "dev/v{version}", ("dev", "1.2")),
        ("v1.2", "v{version}", ("", "1.2")),
        ("rel-7-final", "rel-{version}-final", ("rel", "7")),
        ("build-7", "build-{version}", ("build", "7")),
        ("7", "{version}", ("", "7")),
        ("risk-engine/v1.2.3", "order-gateway/v{version}", None),
        ("order-gateway/vNext", "order-gateway/v{version}", None),
        ("order-gateway/v", "order-gateway/v{version}", None),
        ("order-gateway/v1.2.3", "gateway/v{version}", None),
        ("x1x", "x{version}x", ("x", "1")),
        ("x", "x{version}x", None),
    ],
)
def test_a_pattern_decides_alone(tag: str, pattern: str, expected: tuple[str, str] | None) -> None:
    found = parse_tag(tag, pattern)
    assert (found and (found.prefix, found.name)) == expected


@pytest.mark.parametrize(
    "tag", ["1.0" + "a" * 5_000 + "!", "v" + "1" * 5_000, "1-" * 2_500 + "!", "1" * 5_000 + "!", "a1" * 2_500 + "!", "-v1_" * 1_500]
)
def test_a_hostile_tag_costs_no_time(tag: str) -> None:
    begin = time.thread_time()
    found = parse_tag(tag)
    version_key(found.name if found else tag)
    assert time.thread_time() - begin < 2


@given(st.text(max_size=60))
def test_any_text_is_split_or_is_none_and_sorts(text: str) -> None:
    found = parse_tag(text)
    if found is not None:
        assert text.endswith(found.name)
        assert found.name
    assert version_key(text) == version_key(text)


ORDERED = [
    [
        "dev",
        "0.9",
        "1.0-dev",
        "1.0-alpha",
        "1.0-alpha.1",
        "1.0a2",
        "1.0-beta.2",
        "1.0-beta.11",
        "1.0-rc1",
        "1.0rc2",
        "1.0-rc10",
        "1.0",
        "1.0.1",
    ],
    ["9", "10", "11"],
    ["1.2.9", "1.2.10", "1.10.0", "2.0"],
    ["2025-12-31", "2026-01-01", "2026-11-22"],
    ["20251231", "20260101", "20261122"],
    ["1.1.1", "1.1.1a", "1.1.1k", "1.1.2"],
    ["1.2.3", "1.2.3+build.9", "1.2.3+build.10", "1.2.3-hotfix1", "1.2.4"],
    ["1.2.3-SNAPSHOT", "1.2.3-RC1", "1.2.3"],
    ["1.0.dev1", "1.0", "1.0.post1", "1.0.1"],
    ["1.2-m1", "1.2-m2", "1.2"],
    ["1.2.3", "1.2.3-1", "1.2.3-2"],
]


@pytest.mark.parametrize("names", ORDERED)
def test_versions_stand_in_order(names: list[str]) -> None:
    mixed = names[1::2] + names[::2]
    assert sorted(mixed, key=version_key) == names


def test_zeros_at_the_end_do_not_count() -> None:
    assert version_key("1.2") == version_key("1.2.0")
    assert version_key("1.2") < version_key("1.2.0.1")


NUMBERS = st.lists(st.integers(0, 30), min_size=1, max_size=4)


@given(NUMBERS, NUMBERS)
def test_numbers_are_compared_by_value(a: list[int], b: list[int]) -> None:
    width = max(len(a), len(b))
    padded = [tuple(n + [0] * (width - len(n))) for n in (a, b)]
    keys = [version_key(".".join(map(str, n))) for n in (a, b)]
    assert (keys[0] < keys[1]) is (padded[0] < padded[1])
    assert (keys[0] == keys[1]) is (padded[0] == padded[1])


NAMES = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3}){0,3}([-.+]?(rc|alpha|b|post|x)\.?[0-9]{0,2})?(\+b[0-9])?\Z"),
)


@given(st.lists(NAMES, min_size=3, max_size=3))
def test_the_order_is_total(names: list[str]) -> None:
    a, b, c = sorted(names, key=version_key)
    assert version_key(a) <= version_key(b) <= version_key(c)
    assert version_key(a) <= version_key(c)


@given(NUMBERS, st.sampled_from(["-rc1", "rc2", "-alpha", "-beta.3", ".dev1", "-SNAPSHOT"]))
def test_a_pre_release_comes_before_its_release(numbers: list[int], suffix: str) -> None:
    name = ".".join(map(str, numbers))
    assert version_key(name + suffix) < version_key(name) < version_key(f"{name}.1")


def test_the_newest_comes_first_and_dates_decide_between_equals() -> None:
    found = in_order((version("1.2", 5), version("1.10", 1), version("1.2.0", 9)))
    assert [v.name for v in found] == ["1.10", "1.2.0", "1.2"]


def test_what_is_newer_than_live_is_pending() -> None:
    all_of_them = tuple(version(n) for n in ("1.1", "1.3", "1.2", "1.3-rc1"))
    assert [v.name for v in pending(all_of_them, "1.2")] == ["1.3", "1.3-rc1"]
    assert [v.name for v in pending(all_of_them, "")] == ["1.3", "1.3-rc1", "1.2", "1.1"]
    assert pending(all_of_them, "9") == ()
    assert pending((), "1") == ()


def test_people_are_known_by_their_address() -> None:
    assert address_of("Ada Made-Up <Ada@Playground.Invalid>") == "ada@playground.invalid"
    assert address_of(" ADA ") == "ada"
    assert address_of("") == ""
    changes = Changes(
        "a",
        "b",
        (
            Commit("1", "Ada", "ADA@playground.invalid", 0, "s", co_authors=("Bo <Bo@playground.invalid>",), files=("b", "a")),
            Commit("2", "?", "", 0, "s", files=("a",)),
        ),
        (Commit("3", "Cy", "cy@playground.invalid", 0, "s"),),
    )
    assert changes.authors == {"ada@playground.invalid", "bo@playground.invalid"}
    assert Changes("a", "b", total_in=3).authors is None, "what was not read has authors that nobody knows"
    assert Changes("a", "b", total_in=3, people=("eve@playground.invalid",)).authors == {"eve@playground.invalid"}
    assert changes.files == ("a", "b")


def node(name: str, digest: str) -> Node:
    return Node(name, "gateway", "production", "1.0", "c", digest)


def test_a_fleet_agrees_by_digest() -> None:
    fleet = Fleet("gateway", "production", (node("a", "x"), node("b", "y"), node("c", "x"), node("d", "")))
    assert fleet.digests == {"x": 2, "y": 1, "": 1}
    assert fleet.live is not None
    assert fleet.live.name == "a"
    assert fleet.agreement == (2, 4)


def test_a_fleet_of_which_nothing_is_known_has_nothing_live() -> None:
    assert Fleet("g", "p").live is None
    assert Fleet("g", "p").agreement == (0, 0)
    silent = Fleet("g", "p", (node("a", ""), node("b", "")))
    assert silent.live is None
    assert silent.agreement == (0, 2)
    half = Fleet("g", "p", (node("a", ""), node("b", ""), node("c", "x")))
    assert half.agreement == (1, 3)


def test_a_duration_needs_both_ends() -> None:
    whole = Deployment("1", "k", "g", "p", "1.0", "d", "deploy", DeployState.SUCCEEDED, started_at_us=1_000_000, finished_at_us=3_500_000)
    assert whole.duration_s == 2.5
    assert Deployment("1", "k", "g", "p", "1.0", "d", "deploy", DeployState.RUNNING, started_at_us=5).duration_s is None
    assert [s.final for s in DeployState] == [False, False, True, True, True]
