"""Run the benchmarks beside this file, print a table and write build/bench.json; what was left out keeps its last result there.

Each bench_*.py has `run() -> list[dict]` with name, ours, rival, unit, ratio, target and holds. Arguments select by a part of the name.
The exit status is 1 only when a benchmark broke: a missed target is a result.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEYS = ("name", "ours", "rival", "unit", "ratio", "target", "holds")


def run_file(path: Path) -> list[dict[str, Any]]:
    """The results of one benchmark file; ValueError where it does not answer as agreed."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    results: list[dict[str, Any]] = module.run()
    for result in results:
        missing = [key for key in KEYS if key not in result]
        if missing:
            raise ValueError(f"{path.name}: a result lacks {', '.join(missing)}")
    return results


def shown(value: object) -> str:
    """A cell of the table."""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(results: list[dict[str, Any]]) -> str:
    """All results under each other, columns in line."""
    rows = [list(KEYS), *([shown(result[key]) for key in KEYS] for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(KEYS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def merged(before: list[dict[str, Any]], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results in their places among those of earlier runs, by name; new ones at the end."""
    new = {result["name"]: result for result in results}
    kept = [new.pop(old["name"], old) for old in before]
    return kept + list(new.values())


def write(out: Path, results: list[dict[str, Any]], *, some: bool) -> None:
    """Put the results into the file at `out`: beside the others where only `some` ran; a file that cannot be read is begun anew."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if some:
        try:
            results = merged(json.loads(out.read_text("utf-8")), results)
        except (OSError, ValueError, TypeError, KeyError):
            print(f"{out.name} held nothing to keep")
    out.write_text(json.dumps(results, indent=2) + "\n", "utf-8")


def main(arguments: list[str]) -> int:
    """Run what the arguments select; everything without any."""
    files = [p for p in sorted(HERE.glob("bench_*.py")) if not arguments or any(a in p.stem for a in arguments)]
    if not files:
        print(f"no benchmark is called so; there are: {', '.join(p.stem.removeprefix('bench_') for p in sorted(HERE.glob('bench_*.py')))}")
        return 1
    # the checkout's own packages and tests' helpers, also where the project is not installed
    sys.path.insert(0, str(ROOT))
    results: list[dict[str, Any]] = []
    broken: list[str] = []
    for path in files:
        print(f"{path.stem.removeprefix('bench_')} ...", flush=True)
        try:
            results += run_file(path)
        except Exception:  # noqa: BLE001 - one broken benchmark must not hide the others
            traceback.print_exc()
            broken.append(path.name)
    if results:
        print(f"\n{table(results)}")
    write(ROOT / "build" / "bench.json", results, some=bool(arguments or broken))
    for name in broken:
        print(f"BROKEN: {name}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
