"""The file as it is written: nothing is done by itself until a person changes one word of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from cockpit.playground.settings_file import write_settings
from cockpit.storage.settings import load_lenient

URLS = {"ci": "http://127.0.0.1:1", "deployer": "http://127.0.0.1:2"}
PLACES = (("order-gateway", "market-data"), ("staging", "production"))


def test_one_word_makes_the_rollback_automatic_and_only_in_production(tmp_path: Path) -> None:
    path = tmp_path / "cockpit.toml"
    write_settings(path, *PLACES, URLS, signed=False)
    text = path.read_text("utf-8")
    assert "watch" not in tomllib.loads(text)["environments"]["staging"]
    before, mistakes = load_lenient(path)
    assert mistakes is None
    assert (before.environments["production"].watch.automatic, text.count("automatic = false")) == (False, 1)
    path.write_text(text.replace("automatic = false", "automatic = true"), "utf-8")
    write_settings(path, *PLACES, {**URLS, "ci": "http://127.0.0.1:3"}, signed=False)
    after, mistakes = load_lenient(path)
    assert mistakes is None
    assert after.environments["production"].watch.automatic, "a start of the playground leaves it as it is"
    assert after.environments["production"].watch.p99_ms == 20
    assert not after.environments["staging"].watch.automatic
