"""The layouts of the database, one step each. Steps that were released are never changed, only added to."""

from __future__ import annotations

from typing import Final

_JOURNAL: Final = (
    """CREATE TABLE journal (
        seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, action TEXT NOT NULL,
        who TEXT NOT NULL, service TEXT NOT NULL, environment TEXT NOT NULL, owner TEXT NOT NULL,
        detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL)""",
    "CREATE INDEX journal_by_key ON journal (key, kind)",
    "CREATE INDEX journal_by_kind ON journal (kind, seq)",
    "CREATE TRIGGER journal_keeps_rows BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
    "CREATE TRIGGER journal_keeps_words BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
)

_QUANTILES: Final = "p50_ms REAL, p90_ms REAL, p99_ms REAL, p999_ms REAL, rate_per_s REAL, error_ratio REAL, count REAL"
_LOWS_AND_HIGHS: Final = ", ".join(
    f"{name}_{side} REAL" for side in ("low", "high") for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "rate_per_s", "error_ratio")
)

_HISTORY: Final = (
    "CREATE TABLE snapshot (name TEXT PRIMARY KEY, at_us INTEGER NOT NULL, checksum INTEGER NOT NULL, payload BLOB NOT NULL)",
    "CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    f"CREATE TABLE sample (id INTEGER PRIMARY KEY, series INTEGER NOT NULL REFERENCES series, at_us INTEGER NOT NULL, {_QUANTILES})",
    "CREATE INDEX sample_by_series ON sample (series, at_us)",
    """CREATE TABLE chunk (id INTEGER PRIMARY KEY, series INTEGER NOT NULL REFERENCES series, minute_us INTEGER NOT NULL,
        points INTEGER NOT NULL, checksum INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (series, minute_us))""",
    f"""CREATE TABLE rollup (id INTEGER PRIMARY KEY, series INTEGER NOT NULL REFERENCES series, minute_us INTEGER NOT NULL,
        first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, points INTEGER NOT NULL, count REAL NOT NULL, {_LOWS_AND_HIGHS},
        UNIQUE (series, minute_us))""",
)

# one row a test run or a file of results: what it measured, packed; a run that is known better takes its own place
_MEASURES: Final = (
    """CREATE TABLE measured (id INTEGER PRIMARY KEY, service TEXT NOT NULL, run TEXT NOT NULL, at_us INTEGER NOT NULL,
        whole INTEGER NOT NULL, checksum INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (service, run))""",
    "CREATE INDEX measured_by_time ON measured (service, at_us)",
)

# samples of all series that wait until their minute is over
_BLOCKS: Final = (
    """CREATE TABLE block (id INTEGER PRIMARY KEY, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, checksum INTEGER NOT NULL,
        payload BLOB NOT NULL)""",
    "CREATE INDEX block_by_time ON block (first_us)",
)

# what the heat maps show: the counts of a minute of a series, and what the buckets were
_HEAT: Final = (
    "CREATE TABLE heat_bounds (id INTEGER PRIMARY KEY, payload BLOB NOT NULL UNIQUE)",
    """CREATE TABLE heat (series INTEGER NOT NULL REFERENCES series, first_us INTEGER NOT NULL, since_us INTEGER NOT NULL,
        last_us INTEGER NOT NULL, bounds INTEGER NOT NULL REFERENCES heat_bounds, checksum INTEGER NOT NULL, payload BLOB NOT NULL,
        PRIMARY KEY (series, first_us)) WITHOUT ROWID""",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = ((*_JOURNAL, *_HISTORY), _MEASURES, _BLOCKS, _HEAT)
