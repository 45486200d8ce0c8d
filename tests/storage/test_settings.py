"""Settings: every mistake at once, with path and nearest right name; what is good stays in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from cockpit.domain.errors import ConfigError
from cockpit.storage.settings import ConnectionSettings, Settings, check, load, load_lenient, schema

WHOLE = """
[me]
name = "You"
email = "you@playground.invalid"
[services.order-gateway]
repository = "repo"
tag_pattern = "order-gateway/v{version}"
path = "services/order-gateway"
live = "1.2.3"
[environments.production]
rank = 2
approvals = 1
production = true
after = "staging"
[environments.staging]
rank = 1
[connections.ci]
kind = "ci-v1"
url = "http://127.0.0.1:1"
services = ["order-gateway"]
token_env = "CI_TOKEN"
project = "exchange"
retries = 3
verify = true
[checks]
required = ["unit", "integration"]
[poll]
interval_s = 1
deadline_s = 20.5
[window]
theme = "light"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cockpit.toml"
    path.write_text(text, "utf-8")
    return path


def problems_of(tmp_path: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    return caught.value.problems


def test_three_mistakes_are_told_at_once_and_the_rest_is_kept(tmp_path: Path) -> None:
    text = (
        WHOLE.replace('repository = "repo"', 'repositry = "repo"')
        .replace('theme = "light"', 'theme = "drak"')
        .replace("interval_s = 1", "interval_s = 0")
    )
    settings, error = load_lenient(write(tmp_path, text))
    assert error is not None
    assert error.problems == (
        'services.order-gateway.repositry: unknown key (did you mean "repository"?)',
        "poll.interval_s: must be at least 0.5, not 0",
        'window.theme: must be one of "contrast", "dark", "light", not "drak" (did you mean "dark"?)',
    )
    assert settings.services == {}
    assert settings.poll.interval_s == 2.0
    assert settings.poll.deadline_s == 20.5
    assert settings.window.theme == "dark"
    assert [e.name for e in settings.domain_environments()] == ["staging", "production"]
    assert all(problem in error.message for problem in error.problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[windwo]\n", 'windwo: unknown table (did you mean "window"?)'),
        ("[services.a]\nrepository='x'\n[service.odd]\nrepository='x'\n", 'service: unknown table (did you mean "services"?)'),
        ("[environments.p]\n[enviroments.x]\n", 'enviroments: unknown table (did you mean "environments"?)'),
        ("[connections.a]\nkind='x'\n[connection.b]\nkind='x'\n", 'connection: unknown table (did you mean "connections"?)'),
        ("x = 1\n", "x: unknown key"),
        ("me = 3\n", "me: expected a table, got a whole number 3"),
        ("[me]\nname = 3\n", "me.name: expected text, got a whole number 3"),
        ("[me]\nemail = 'nobody'\n", 'me.email: "nobody" is no e-mail address'),
        ('[me]\nname = "a\\u0007b"\n', "me.name: must not hold control characters"),
        ("services = []\n", "services: expected a table, got a list"),
        ("[services]\na = 1\n", "services.a: expected a table, got a whole number 1"),
        ("[services.a]\n", "services.a.repository: missing, and no connection tells its versions"),
        ("[services.a]\nrepository = ' '\n", "services.a.repository: must not be empty"),
        ("[services.'']\nrepository = 'x'\n", 'services."": a name must not be empty or hold control characters'),
        (
            "[services.a]\nrepository = 'https://example.invalid/x.git'\n",
            'services.a.repository: must be a folder on this machine, not "https://example.invalid/x.git": clone it first',
        ),
        (
            "[services.a]\nrepository='x'\ntag_pattern='v{versoin}'\n",
            'services.a.tag_pattern: must hold {version} exactly once (did you mean "{version}"?)',
        ),
        ("[services.a]\nrepository='x'\ntag_pattern='v'\n", "services.a.tag_pattern: must hold {version} exactly once"),
        ("[environments.p]\nrank = true\n", "environments.p.rank: expected a whole number, got true or false true"),
        ("[environments.p]\nrank = 1.5\n", "environments.p.rank: expected a whole number, got a number 1.5"),
        ("[environments.p]\nrank = -1\n", "environments.p.rank: must be at least 0, not -1"),
        ("[environments.p]\napprovals = 99\n", "environments.p.approvals: must be at most 20, not 99"),
        ("[environments.p]\nproduction = 'yes'\n", 'environments.p.production: expected true or false, got text "yes"'),
        ("[environments.p]\nafter = 'x'\n", 'environments.p.after: there is no environment "x"'),
        (
            "[environments.p]\nafter = 'stagin'\n[environments.staging]\n",
            'environments.p.after: there is no environment "stagin" (did you mean "staging"?)',
        ),
        ("[environments.p]\nafter = 'p'\n", "environments.p.after: waits for itself: p after p"),
        ("[environments.p]\nrank = 1\n[environments.q]\nrank = 1\n", 'environments.q.rank: 1 is the rank of "p" already'),
        ("[connections.c]\nkidn = 'ci-v1'\n", 'connections.c.kind: missing (did you mean "kind" where "kidn" stands?)'),
        ("[connections.c]\nkind = 'x'\nurl = 'ftp://x'\n", 'connections.c.url: must begin with http:// or https://, not "ftp://x"'),
        ("[connections.c]\nkind = 'x'\nservices = 'all'\n", 'connections.c.services: expected a list, got text "all"'),
        ("[connections.c]\nkind = 'x'\nservices = [1]\n", "connections.c.services[0]: expected text, got a whole number 1"),
        ("[connections.c]\nkind = 'x'\nservices = ['a']\n", 'connections.c.services: there is no service "a"'),
        ("[connections.c]\nkind = 'x'\nmore = [1]\n", "connections.c.more: expected text, a number, or true or false, got a list"),
        ("[checks]\nrequired = ['unit', 'unit']\n", 'checks.required[1]: "unit" stands there twice'),
        ("[poll]\ninterval_s = nan\n", "poll.interval_s: must be a finite number, not nan"),
        ("[poll]\ninterval_s = 1e9\n", "poll.interval_s: must be at most 3600, not 1e+09"),
        ("[poll]\ninterval_s = 60\ndeadline_s = 30\n", "poll.deadline_s: must be more than poll.interval_s (60), not 30"),
        ("[poll]\ninterval_s = 2026-11-22\n", "poll.interval_s: expected a number, got a date or time"),
    ],
)
def test_each_mistake_has_its_words(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in problems_of(tmp_path, text)


def test_a_syntax_error_tells_line_and_column(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, '[me]\nname = "a\n')
    assert "line 2, column" in problem


def test_a_table_that_stands_twice_is_told(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "[me]\n[me]\n")
    assert "twice" in problem
    assert "line 2" in problem


def test_no_file_binary_content_a_directory_and_deep_nesting_are_told(tmp_path: Path) -> None:
    for make in (
        lambda p: None,
        lambda p: p.write_bytes(b"\xff\xfe\x00"),
        lambda p: p.mkdir(),
        lambda p: p.write_text("a = " + "[" * 100_000, "utf-8"),
    ):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.toml"
        make(path)
        settings, error = load_lenient(path)
        assert settings == Settings()
        assert error is not None
        assert str(path) in error.message
        assert error.hint


def test_a_circle_of_environments_is_told(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "[environments.a]\nafter='b'\n[environments.b]\nafter='c'\n[environments.c]\nafter='a'\n")
    assert found[0] == "environments.a.after: waits for itself: a after b after c after a"


def test_an_environment_with_a_mistake_is_left_out_rather_than_loosened(tmp_path: Path) -> None:
    text = "[environments.production]\napprovals = 'two'\n[environments.prod2]\nafter = 'stagin'\n[environments.test]\naprovals = 2\n"
    settings, error = load_lenient(write(tmp_path, text))
    assert error is not None
    assert len(error.problems) == 3
    assert settings.environments == {}


def test_a_connection_with_a_mistake_is_left_out_rather_than_widened(tmp_path: Path) -> None:
    text = "[services.gateway]\nrepository='x'\n[connections.c]\nkind='ci-v1'\nservices=['gatewya']\n"
    settings, error = load_lenient(write(tmp_path, text))
    assert error is not None
    assert error.problems == ('connections.c.services: there is no service "gatewya" (did you mean "gateway"?)',)
    assert settings.connections == {}


def test_required_suites_fall_back_to_all_when_one_is_wrong(tmp_path: Path) -> None:
    settings, error = load_lenient(write(tmp_path, "[checks]\nrequired = ['unit', 5]\n"))
    assert error is not None
    assert settings.checks.required == ()


def test_a_token_in_the_place_of_its_variable_is_not_repeated(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "[connections.c]\nkind = 'x'\ntoken_env = 'not-a-name-but-s3cret'\n")
    assert "s3cret" not in problem


def test_a_whole_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path, WHOLE))
    (service,) = settings.domain_services()
    assert service.name == "order-gateway"
    assert service.repository == str(tmp_path / "repo")
    assert service.live_version == "1.2.3"
    staging, production = settings.domain_environments()
    assert (staging.name, production.name, production.approvals_required, production.after) == ("staging", "production", 1, "staging")
    assert settings.connections["ci"] == ConnectionSettings(
        "ci-v1", "http://127.0.0.1:1", ("order-gateway",), "CI_TOKEN", options={"project": "exchange", "retries": "3", "verify": "true"}
    )
    assert settings.poll.interval_s == 1.0


def test_one_service_and_nothing_else_is_a_valid_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path, f"[services.x]\nrepository = '{tmp_path}'\n"))
    assert settings.domain_services()[0].repository == str(tmp_path)


def test_a_byte_order_mark_and_names_of_500_characters_are_fine(tmp_path: Path) -> None:
    name = "n" * 500
    settings = load(write(tmp_path, f"\ufeff[services.{name}]\nrepository = 'x'\n"))
    assert settings.domain_services()[0].name == name


def test_the_schema_carries_titles_and_limits() -> None:
    found = schema()["$defs"]["PollSettings"]["properties"]["interval_s"]
    assert found["title"] == "Interval"
    assert (found["minimum"], found["maximum"]) == (0.5, 3600)
    assert found["description"]


def test_a_form_gets_the_same_problems_as_a_file() -> None:
    assert check({"poll": {"interval_s": 0}}).problems == ["poll.interval_s: must be at least 0.5, not 0"]


def test_a_service_needs_a_repository_or_a_connection_that_serves_it(tmp_path: Path) -> None:
    text = "[services.a]\n[services.b]\n[connections.hub]\nkind = 'github'\nservices = ['a']\n"
    settings, error = load_lenient(write(tmp_path, text))
    assert error is not None
    assert error.problems == ("services.b.repository: missing, and no connection tells its versions",)
    assert list(settings.services) == ["a"]
    assert settings.services["a"].repository == ""
    assert load(write(tmp_path, "[services.a]\n[connections.hub]\nkind = 'github'\n")).domain_services()[0].repository == ""
