"""Adding a connection while the cockpit runs: what is refused and what is lost never, then tested, saved, in use, changed and removed."""

from __future__ import annotations

import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cockpit.app import build
from cockpit.connect import Systems, draft_in
from cockpit.connect_draft import draft_of, offer, problems, trial, values_of
from cockpit.core import Cockpit
from cockpit.domain.connection import Draft, Kept, Kind, KindField
from cockpit.domain.errors import AuthFailed, ConfigError, NotAllowed, Unreachable
from cockpit.paths import Paths, find_paths
from cockpit.services.runtime import LoopMainThread, Outcome
from cockpit.storage.secrets import SERVICE_NAME, Secrets
from cockpit.storage.settings import ConnectionSettings
from tests.fakes.keyrings import MemoryKeyring, PromptingKeyring
from tests.fakes.token_server import TokenServer

TOKEN = "tok-3n-of-this-test"
CONFIG = """# the desk
[me]
name = "Ada"
email = "ada@example.org"

[services.gw]  # the gateway
repository = "repo"
"""
KINDS = offer()


@pytest.fixture
def server() -> Iterator[TokenServer]:
    made = TokenServer(TOKEN)
    yield made
    made.close()


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    git(folder, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "--allow-empty", "-m", "one")
    git(folder, "tag", "v1.0.0")
    return folder


class Window:
    """A real core and the loop that runs it."""

    def __init__(self, paths: Paths, ring: MemoryKeyring | None) -> None:
        self.paths, self.ring, self.main = paths, ring, LoopMainThread()
        self.core: Cockpit = build(paths, self.main)
        self.core.secrets = Secrets({"CI_TOKEN": TOKEN}, lambda: ring)
        self.core.apart = self.over = False

    def close(self) -> None:
        """Once."""
        if not self.over:
            self.over = True
            self.core.close()

    @property
    def systems(self) -> Systems:
        return self.core.systems

    def start(self) -> None:
        self.core.start()
        assert self.main.run_until(lambda: self.core.ready, 20)
        if self.core.policy is not None:
            assert self.main.run_until(lambda: self.core.policy is None or self.core.policy.accepted is not None, 20)

    def ask(self, deed: Callable[..., None], *arguments: Any) -> Outcome[Any]:
        answers: list[Outcome[Any]] = []
        deed(*arguments, answers.append)
        assert self.main.run_until(lambda: bool(answers), 30)
        return answers[0]

    def save(self, draft: Draft, secret: str = "") -> Kept:
        kept: Kept = self.ask(self.systems.save, draft, KINDS.kind(draft.kind), secret).get()
        return kept

    def health(self, source: str, state: str) -> None:
        def is_so() -> bool:
            found = self.core.store.state.sources.get(source)
            return found is not None and found.state(self.core.clock_us()) == state

        assert self.main.run_until(is_so, 20), self.core.store.state.sources.get(source)


@pytest.fixture
def open_window(tmp_path: Path) -> Iterator[Callable[..., Window]]:
    made: list[Window] = []

    def make(config: str = CONFIG, ring: MemoryKeyring | None = None) -> Window:
        paths = find_paths(tmp_path / "data")
        paths.data.mkdir(exist_ok=True)
        if config:
            paths.config.write_text(config, "utf-8")
        made.append(Window(paths, ring or MemoryKeyring()))
        return made[-1]

    yield make
    for window in made:
        window.close()


@pytest.fixture
def window(tmp_path: Path, open_window: Callable[..., Window]) -> Window:
    repository(tmp_path / "data" / "repo")
    made = open_window()
    made.start()
    return made


def ci(server: TokenServer, **more: Any) -> Draft:
    return replace(Draft("ci", "ci-v1", {"url": server.url}), **more)


# -- the draft -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draft", "name", "words"),
    [
        (Draft("ci", "ci-v1"), "url", "is needed"),
        (Draft("ci", "ci-v1", {"url": "htp://x"}), "url", "must begin with"),
        (Draft("ci", "ci-v1", {"url": "https://me:secret@x.example"}), "url", "no password"),
        (Draft("ci", "ci-v1", {"url": "https://x", "ca_fil": "y"}), "ca_fil", "did you mean “ca_file”"),
        (Draft("", "ci-v1", {"url": "https://x"}), "id", "is needed"),
        (Draft("a b", "ci-v1", {"url": "https://x"}), "id", "letters"),
        (Draft("taken", "ci-v1", {"url": "https://x"}), "id", "another connection"),
        (Draft("ci", "ci-v1", {"url": "https://x"}, ("gatewy",)), "services", "did you mean “gateway”"),
        (Draft("ci", "ci-v1", {"url": "https://x"}, (), "ghp_123-456"), "token_env", "not a token"),
        (Draft("ci", "git", {"path": "x"}, (), "NAME"), "token_env", "needs no token"),
        (Draft("m", "mail", {"host": "h", "sender": "a@b", "to": "c@d", "port": "x5"}), "port", "must be a number"),
        (Draft("m", "mail", {"host": "h", "sender": "a@b", "to": "c@d", "security": "startls"}), "security", "did you mean “starttls”"),
        (Draft("m", "mail", {"host": "h\n", "sender": "a\tb", "to": "c@d"}), "sender", "control characters"),
    ],
)
def test_each_mistake_is_said_at_its_field(draft: Draft, name: str, words: str) -> None:
    found = problems(draft, KINDS.kind(draft.kind), ("gateway",), ("taken",))
    assert words in found[name]
    assert "ghp_123" not in str(found)
    assert "secret" not in str(found)


def test_a_kind_that_is_not_there_has_a_nearest_name() -> None:
    with pytest.raises(NotAllowed) as caught:
        KINDS.kind("ci-v2")
    assert "“ci-v1”" in caught.value.hint


def test_every_kind_is_in_a_group_and_in_plain_words() -> None:
    assert all(k.words and k.group for k in KINDS.kinds)
    ports = {word for k in KINDS.kinds for word in k.words if word[:1].isupper()}
    assert not ports, "a port without plain words"
    assert all(k.rights for k in KINDS.kinds)


def test_what_the_form_does_not_know_stays_and_defaults_are_left_out() -> None:
    mail = KINDS.kind("mail")
    table = {"kind": "mail", "host": "h", "port": 587, "sender": "a@b", "to": "c@d", "interval_s": 5, "more": True}
    draft = draft_of("m", table)
    assert values_of(draft, mail) == table
    changed = replace(draft, options=draft.options | {"port": "465", "security": "starttls"})
    assert values_of(changed, mail) == table | {"port": 465}
    assert values_of(replace(changed, options=changed.options | {"security": "tls"}), mail)["security"] == "tls"


def test_a_trial_never_raises_and_repeats_no_secret(server: TokenServer) -> None:
    def leaking(options: dict[str, str], secret: Callable[[], str]) -> Any:
        raise ValueError(secret())

    assert isinstance(trial(Draft("x", "no-such-kind"), lambda: TOKEN).error, ConfigError)
    server.mode = "echo"
    found = trial(ci(server), lambda: TOKEN)
    assert isinstance(found.error, AuthFailed)
    assert TOKEN not in str(found.error)
    server.mode = "reflect"
    found = trial(ci(server), lambda: TOKEN)
    assert found.error is None
    assert TOKEN not in found.reached + found.identity
    assert found.took_ms > 0


# -- the running window --------------------------------------------------------------------------------------------------------------


def test_nothing_is_saved_by_a_test_and_a_failed_one_says_why(window: Window, server: TokenServer) -> None:
    before = window.paths.config.read_bytes()
    refused = window.ask(window.systems.test, ci(server), "wrong").get()
    assert isinstance(refused.error, AuthFailed)
    assert refused.error.hint
    gone = window.ask(window.systems.test, Draft("x", "ci-v1", {"url": "http://127.0.0.1:9"}), "").get()
    assert isinstance(gone.error, Unreachable)
    good = window.ask(window.systems.test, ci(server), TOKEN).get()
    assert (good.error, good.identity) == (None, "bot")
    assert window.ask(window.systems.test, ci(server, token_env="CI_TOKEN"), "").get().error is None
    assert window.paths.config.read_bytes() == before
    assert window.ring is not None
    assert window.ring.kept == {}


def test_saved_in_use_changed_woken_by_a_new_token_and_removed(window: Window, server: TokenServer) -> None:
    before = window.paths.config.read_bytes()
    kept = window.save(ci(server), "old")
    assert (kept.memory, kept.waits) == ("", "")
    assert window.paths.config.read_bytes().startswith(before)
    assert window.ring is not None
    assert window.ring.kept == {(SERVICE_NAME, "ci"): "old"}
    window.health("ci", "stopped")  # 401: it waits for another token
    assert window.core.policy is not None
    assert window.core.policy.pending is None, "saving it was the person's word"

    assert window.ask(window.systems.new_token, "ci", TOKEN).get() == Kept("")
    window.health("ci", "ok")

    draft = window.systems.draft("ci")
    window.save(replace(draft, services=("gw",)))
    assert tomllib.loads(window.paths.config.read_text("utf-8"))["connections"]["ci"]["services"] == ["gw"]
    assert window.main.run_until(lambda: window.core.settings.connections["ci"].services == ("gw",), 20)
    assert window.ring.kept == {(SERVICE_NAME, "ci"): TOKEN}, "an empty field keeps the token that is there"

    window.ask(window.systems.remove, window.systems.draft("ci")).get()
    assert window.paths.config.read_bytes().rstrip() == before.rstrip()
    assert window.ring.kept == {}
    assert window.main.run_until(lambda: "ci" not in window.core.store.state.sources, 20)
    with pytest.raises(NotAllowed, match="no connection"):
        window.systems.draft("ci")


def test_what_cannot_be_saved_loses_nothing(window: Window, server: TokenServer) -> None:
    good = window.paths.config.read_bytes()
    assert window.ring is not None
    window.paths.config.write_bytes(good + b"[broken\n")
    assert isinstance(window.ask(window.systems.save, ci(server), KINDS.kind("ci-v1"), TOKEN).error, ConfigError)
    assert window.paths.config.read_bytes() == good + b"[broken\n"
    window.paths.config.write_bytes(good)
    window.paths.config.chmod(0o444)
    error = window.ask(window.systems.save, ci(server), KINDS.kind("ci-v1"), TOKEN).error
    assert "read-only" in str(error)
    window.paths.config.chmod(0o644)
    assert window.paths.config.read_bytes() == good
    assert window.ring.kept == {}
    window.save(ci(server), TOKEN)
    again = window.ask(window.systems.save, ci(server), KINDS.kind("ci-v1"), "x").error
    assert "already" in str(again)
    stale = replace(draft_in(window.paths.config, "ci"), before={"kind": "ci-v1"})
    assert "changed" in str(window.ask(window.systems.save, stale, KINDS.kind("ci-v1"), "").error)
    assert window.ring.kept == {(SERVICE_NAME, "ci"): TOKEN}


def test_a_change_of_the_policy_that_waits_already_is_not_waved_through(window: Window, server: TokenServer) -> None:
    text = window.paths.config.read_text("utf-8")
    window.paths.config.write_text(text + "[environments.prod]\napprovals = 0\nproduction = true\n", "utf-8")
    kept = window.save(ci(server), TOKEN)
    assert "waits for your word" in kept.waits
    assert "prod" not in window.core.settings.environments
    assert "ci" not in window.core.settings.connections


def test_without_a_keyring_it_is_held_in_memory_and_said(tmp_path: Path, open_window: Callable[..., Window], server: TokenServer) -> None:
    repository(tmp_path / "data" / "repo")
    window = open_window()
    window.core.secrets = Secrets({}, lambda: None)
    window.start()
    kept = window.save(ci(server), TOKEN)
    assert "memory only" in kept.memory
    window.health("ci", "ok")
    assert window.systems.keyring[0]
    assert TOKEN not in window.paths.config.read_text("utf-8")


def test_a_window_that_only_reads_and_a_team_that_decides_elsewhere(tmp_path: Path, open_window: Callable[..., Window]) -> None:
    repository(tmp_path / "data" / "repo")
    first = open_window()
    second = open_window()
    assert second.core.read_only
    refused = second.ask(second.systems.save, Draft("x", "git", {"path": "/x"}), KINDS.kind("git"), "").error
    assert isinstance(refused, NotAllowed)
    first.core.settings = replace(first.core.settings, policy=replace(first.core.settings.policy, repository="/policy"))
    refused = first.ask(first.systems.save, Draft("x", "git", {"path": "/x"}), KINDS.kind("git"), "").error
    assert isinstance(refused, NotAllowed)
    assert "policy" in refused.message
    hub = ConnectionSettings("ci-v1", "https://ci.example.org", ("gw",), "", 0.0, {"ca_file": "x"})
    first.core.settings = replace(first.core.settings, connections={"hub": hub})
    assert first.systems.draft("hub").options == {"ca_file": "x", "url": "https://ci.example.org"}
    assert first.ask(first.systems.new_token, "hub", TOKEN).get() == Kept(""), "a token is each person's own"
    assert first.systems.as_toml(Draft("x", "git", {"path": "/x"}), KINDS.kind("git")).startswith("[connections.x]\nkind")
    assert first.paths.config.read_text("utf-8") == CONFIG


def test_the_first_connection_leaves_the_playground(tmp_path: Path, open_window: Callable[..., Window], server: TokenServer) -> None:
    code = repository(tmp_path / "code")
    window = open_window("")
    assert window.systems.first
    refused = window.ask(window.systems.save, ci(server, services=("gw",)), KINDS.kind("ci-v1"), "").error
    assert "code" in str(refused)
    assert not window.paths.config.exists()
    nameless = window.ask(window.systems.save, Draft("code", "git", {"path": str(code)}), KINDS.kind("git"), "").error
    assert "services" in str(nameless)
    kept = window.save(Draft("code", "git", {"path": str(code)}, ("gw",)))
    assert kept.first
    assert not window.systems.first
    window.health("code", "ok")
    assert window.main.run_until(lambda: "gw" in window.core.store.state.versions, 20)
    assert [v.name for v in window.core.store.state.versions["gw"].value] == ["1.0.0"]
    assert window.core.playground is None
    assert window.main.run_until(lambda: window.core.policy is not None and window.core.policy.accepted is not None, 20)
    # and the next one is an ordinary one
    window.save(ci(server), TOKEN)
    window.health("ci", "ok")


def test_a_service_that_nothing_tells_the_versions_of_is_named(
    tmp_path: Path, open_window: Callable[..., Window], server: TokenServer
) -> None:
    window = open_window(f'[services.gw]\n[connections.ci]\nkind = "ci-v1"\nurl = "{server.url}"\n')
    window.start()
    told = [n for n in window.core.notices.history if n.title == "No versions"]
    assert len(told) == 1
    assert "gw" in told[0].message


def test_an_installed_kind_looks_like_any_other() -> None:
    kind = Kind("x", "X", "Other", ("Strange",), ("Strange",), (KindField("a", "A", "number"), KindField("t", "T", "secret")))
    assert problems(Draft("x", "x", {"a": "1e999"}), kind, (), ())["a"] == "must be a finite number"
    assert kind.secret is not None
    assert [f.name for f in kind.plain] == ["a"]


def test_a_keyring_that_asks_and_is_not_answered_holds_no_window_open(window: Window, server: TokenServer) -> None:
    ring = PromptingKeyring()
    window.core.secrets = Secrets({}, lambda: ring)
    answers: list[Outcome[Any]] = []
    window.systems.save(ci(server), KINDS.kind("ci-v1"), TOKEN, answers.append)
    assert window.main.run_until(lambda: ring.asked > 0, 20)
    window.main.run_until(lambda: False, 0.05)
    assert not answers, "it waits in the background, and the window goes on"
    begun = time.monotonic()
    window.close()
    assert time.monotonic() - begun < 30
    ring.answered.set()
