"""Where settings, data and cache live: where the platform puts them, or all below one directory."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Paths(Struct, frozen=True):
    """`config` is the settings file; `data` holds database, journal and playground; `cache` may be deleted at any time."""

    config: Path
    data: Path
    cache: Path

    @property
    def database(self) -> Path:
        return self.data / "cockpit.sqlite"

    @property
    def policy(self) -> Path:
        return self.data / "policy"

    @property
    def playground(self) -> Path:
        return self.data / "playground"

    @property
    def log(self) -> Path:
        return self.cache / "cockpit.log"


def find_paths(data_dir: Path | None = None) -> Paths:
    """The platform's directories, or everything below `data_dir`. Creates nothing."""
    if data_dir is not None:
        root = data_dir.expanduser().absolute()
        return Paths(root / "cockpit.toml", root, root / "cache")
    import platformdirs

    dirs = platformdirs.PlatformDirs("release-cockpit", appauthor=False)
    return Paths(Path(dirs.user_config_path) / "cockpit.toml", Path(dirs.user_data_path), Path(dirs.user_cache_path))


def resource(*parts: str) -> Path:
    """A file below `resources/`, in a checkout and in an installed package alike."""
    return Path(__file__).resolve().parent.parent.joinpath("resources", *parts)
