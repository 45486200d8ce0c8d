"""Turns one source file that holds its whole history into its text after any step of that history."""

from __future__ import annotations

SINCE, BEFORE, END = "#@ since ", "#@ before ", "#@ end"


class WeaveError(ValueError):
    """A woven file is malformed: the message names file and line."""


def file_at(text: str, step: int, order: dict[str, int], name: str) -> str:
    """The file after step number `step`; empty where it does not exist yet or any more. Raises WeaveError.

    Lines between `#@ since <step>` or `#@ before <step>` and `#@ end` belong to a part of the history only; blocks nest.
    """
    kept: list[str] = []
    visible = [True]
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("#@"):
            if visible[-1]:
                kept.append(line)
        elif line.rstrip() == END and len(visible) > 1:
            visible.pop()
        else:
            visible.append(visible[-1] and _holds(line, step, order, f"{name}:{number}"))
    if len(visible) != 1:
        raise WeaveError(f"{name}: a block is not ended")
    return "\n".join(kept) + "\n" if kept else ""


def _holds(line: str, step: int, order: dict[str, int], place: str) -> bool:
    for prefix in (SINCE, BEFORE):
        named = line.removeprefix(prefix).strip()
        if line.startswith(prefix) and named in order:
            return (step >= order[named]) == (prefix == SINCE)
    raise WeaveError(f"{place}: no such step or directive: {line.strip()}")
