"""What may be typed after `connect`."""

from __future__ import annotations

from typing import Any


def _connect(parser: Any) -> None:
    parser.add_argument("kind", nargs="?", default="", metavar="KIND", help="of --list, such as ci-v1")
    parser.add_argument("id", nargs="?", default="", metavar="ID", help="how it is called here")
    parser.add_argument("--list", action="store_true", help="all kinds: what they do, their options, the rights that they need")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the kind (may be repeated)")
    parser.add_argument("--service", action="append", default=[], metavar="NAME", help="only for this service (may be repeated)")
    parser.add_argument("--token-env", default="", metavar="NAME", help="the environment variable that holds the token")
    parser.add_argument("--token-stdin", action="store_true", help="read the token from standard input, its first line")
    parser.add_argument("--test-only", action="store_true", help="test it and save nothing")
    parser.add_argument("--untested", action="store_true", help="save it without a test")
    parser.add_argument("--test", default="", metavar="ID", help="test a connection that is there")
    parser.add_argument("--change", default="", metavar="ID", help="change a connection that is there: --set NAME= takes an option away")
    parser.add_argument(
        "--token", default="", metavar="ID", help="enter another token for a connection that is there; never as an argument"
    )
    parser.add_argument("--remove", default="", metavar="ID", help="take a connection and its token away")
    parser.add_argument("--yes", action="store_true", help="remove without asking")


_TEST = "{reached, identity, missing: [text], took_ms}"
_EXAMPLES = """connect --list
  release-cockpit connect ci-v1 ci --set url=https://ci.example.org --test-only
  release-cockpit connect ci-v1 ci --set url=https://ci.example.org --service order-gateway
  pass show ci | release-cockpit connect ci-v1 ci --set url=https://ci.example.org --token-stdin
  release-cockpit connect ci-v1 ci --set url=https://ci.example.org --token-env CI_TOKEN
  release-cockpit connect --change ci --set url=https://ci2.example.org
  release-cockpit connect --token ci
  release-cockpit connect --test ci
  release-cockpit connect --remove ci

It is tested before it is saved. A token is asked for on the terminal and never echoed; it goes into the keyring."""
_SHAPE = f"""{{kinds: [{{kind, title, group, ports, words, rights, origin, fields: [{{name, title, kind, required, default, description,
  choices}}]}}], broken: [{{title, message, hint}}]}}   (--list)
  {{connection: {{id, kind, done: tested|saved|changed|token kept|removed, path, toml, waits, memory, test: null | {_TEST}}}}}"""
CONNECT = (("connect", "add, test, change and remove connections", _EXAMPLES, _SHAPE, _connect),)
