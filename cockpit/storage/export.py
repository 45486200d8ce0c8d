"""Journal entries as CSV and JSON for other programs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from cockpit.storage.journal import Entry

_COLUMNS: Final = ("seq", "at", "kind", "action", "service", "environment", "who", "key", "detail", "owner", "hash")


def export_csv(entries: Iterable[Entry]) -> str:
    """CSV with a header line; a cell that a spreadsheet would take for a formula is led by an apostrophe."""
    import csv
    import io
    import json

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for entry in entries:
        detail = json.dumps(entry.detail, sort_keys=True, ensure_ascii=False, default=str) if entry.detail else ""
        cells = (entry.kind, entry.action, entry.service, entry.environment, entry.who, entry.key, detail, entry.owner, entry.hash)
        writer.writerow((entry.seq, _moment(entry.at_us), *(_harmless(cell) for cell in cells)))
    return out.getvalue()


def export_json(entries: Iterable[Entry]) -> str:
    """A JSON array of entries with all fields."""
    import json

    return json.dumps([msgspec.to_builtins(entry) for entry in entries], indent=2, ensure_ascii=True, default=str)


def _harmless(cell: str) -> str:
    # tab and carriage return are skipped by spreadsheets before they look for a formula
    return f"'{cell}" if cell.lstrip().startswith(("=", "+", "-", "@")) or cell.startswith(("\t", "\r")) else cell


def _moment(at_us: int) -> str:
    try:
        return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return str(at_us)
