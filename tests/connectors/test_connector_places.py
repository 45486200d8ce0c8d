"""Nodes and their addresses from one option."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.connectors.http_answers import checked_address
from cockpit.connectors.places import MAX_NODES, parse_places
from cockpit.domain.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no node"),
        (" ,\n", "no node"),
        ("production", "“production”"),
        ("production/eu-1", "“production/eu-1”"),
        ("production/eu-1=", "“production/eu-1=”"),
        ("/eu-1=http://a", "“/eu-1=http://a”"),
        ("production/=http://a", "“production/=http://a”"),
        ("a/b/c=http://a", "“a/b/c=http://a”"),
        ("a/b=http://x a/b=http://y", "twice"),
        ("=/=", "“=/=”"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_places(text)
    assert said in caught.value.message
    assert caught.value.message.startswith("nodes: ")
    assert caught.value.hint


def test_every_mistake_is_listed_and_the_option_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_places("one a/b=c two", option="hosts")
    assert [p.split(":")[0] for p in caught.value.problems] == ["hosts", "hosts"]


def test_an_address_the_kind_cannot_use_is_named_with_its_node() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_places("production/eu-1=ftp://host production/eu-2=http://host", checked_address)
    assert "production/eu-1" in caught.value.message
    assert "production/eu-2" not in caught.value.message


def test_too_many_nodes_are_refused() -> None:
    parse_places(" ".join(f"e/n{i}=a" for i in range(MAX_NODES)))
    with pytest.raises(ConfigError):
        parse_places(" ".join(f"e/n{i}=a" for i in range(MAX_NODES + 1)))


def test_spaces_commas_and_lines_separate_and_the_order_stays() -> None:
    places = parse_places("production/b=http://1:1, production/a=unix:///run/x?y=z\nstaging/a=http://2\t,staging/b=http://3")
    assert places == {
        "production": {"b": "http://1:1", "a": "unix:///run/x?y=z"},
        "staging": {"a": "http://2", "b": "http://3"},
    }
    assert list(places["production"]) == ["b", "a"]


@given(st.text(alphabet="ab/=,: \n\u202e\x00"))
def test_only_config_errors_come_out(text: str) -> None:
    try:
        places = parse_places(text)
    except ConfigError:
        return
    assert all(node and address for nodes in places.values() for node, address in nodes.items())
