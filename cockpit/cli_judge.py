"""`release-cockpit judge FOLDER`: how many injected faults the judge finds at what rate of false alarms, beside two other rules."""

from __future__ import annotations

import math
from argparse import Namespace
from typing import Any

from cockpit.cli_text import NONE, Cell, Column, Out, State, counted, number_text, percent_text, plain, table
from cockpit.domain.errors import CockpitError
from cockpit.domain.faults import RULES, Judged, judge_faults
from cockpit.paths import Paths
from cockpit.storage.labelled import LAYOUT, read_labelled

Document = dict[str, Any]
NAMES = {"judge": "judge", "mann_whitney": "Mann-Whitney", "percentile": "99th percentile"}
RATES = (0.01, 0.02, 0.05)


def judge(_paths: Paths, _out: Out, options: Namespace) -> Document:
    """Judges every fault of a folder against its fault-free series."""
    labelled = read_labelled(options.folder)
    try:
        judged = judge_faults(labelled.fault_free, labelled.faults)
    except ValueError as error:
        raise CockpitError(f"{error}.", title="This folder cannot be judged", hint=LAYOUT) from error
    metrics = sorted({f.fault.metric for f in judged.found})
    by_metric = {}
    for metric in metrics if len(metrics) > 1 else ():
        if any(f.judge is not None for f in judged.found if f.fault.metric == metric):
            part = judge_faults(labelled.fault_free, [f for f in labelled.faults if f.metric == metric])
            by_metric[metric] = _rules(part, options.false_alarms)
    return {
        "judge": {
            "folder": str(options.folder),
            "faults": len(judged.found),
            "fault_free_windows": len(judged.calm["judge"]),
            "false_alarms_asked": options.false_alarms,
            "rules": _rules(judged, options.false_alarms),
            "by_metric": by_metric,
            "at_rates": [{"false_alarms_asked": rate, "rules": _rules(judged, rate)} for rate in RATES],
            "found": [_fault(judged, i, options.false_alarms) for i in range(len(judged.found))],
        }
    }


def _rules(judged: Judged, rate: float) -> list[Document]:
    """Every rule held to the same rate of false alarms on the same windows."""
    rows = []
    for rule in RULES:
        found, of = judged.share_found(rule, rate)
        share = found / of if of else None
        rows.append({"rule": rule, "found": found, "of": of, "share_found": share, "false_alarms": judged.false_alarms(rule, rate)})
    return rows


def _fault(judged: Judged, index: int, rate: float) -> Document:
    found = judged.found[index]
    fault = found.fault
    return {
        "fault": fault.name,
        "node": fault.node,
        "metric": fault.metric,
        "statistic": fault.statistic,
        "change": found.change if found.change is not None and math.isfinite(found.change) else None,
        "state": "no data" if found.judge is None else "found" if found.judge <= rate else "not found",
        "why": found.why,
        "samples_before": sum(math.isfinite(v) for v in fault.before),
        **{rule: getattr(found, rule) for rule in RULES},
    }


def text_of_judge(document: Document, out: Out) -> list[str]:
    """The shares, at several rates, then every fault."""
    j = document["judge"]
    asked = percent_text(j["false_alarms_asked"])
    lines = [f"{counted(j['faults'], 'fault')}, {counted(j['fault_free_windows'], 'fault-free window')} of the same length", ""]
    heads = (Column("at most"), Column("rule"), Column("faults found", True), Column("false alarms", True))
    rows: list[list[Cell]] = []
    shown = {j["false_alarms_asked"]: j["rules"], **{r["false_alarms_asked"]: r["rules"] for r in j["at_rates"]}}
    for rate, rules in sorted(shown.items()):
        rows += [[percent_text(rate), *_rule(rule)] for rule in rules]
    lines += table(heads, rows, out.colour)
    for metric, rules in j["by_metric"].items():
        lines += ["", f"{plain(metric, 60)} alone, at most {asked}:", *table(heads[1:], [_rule(r) for r in rules], out.colour, "  ")]
    columns = (Column("fault"), Column("series"), Column("change", True), Column("as bad as", True), Column("judge"))
    rows = [[f["fault"], f"{f['node']} {f['metric']} {f['statistic']}", number_text(f["change"], " x"), *_seen(f)] for f in j["found"]]
    whys = sorted({f"no data: {plain(f['why'], 200)}" for f in j["found"] if f["why"]})
    bare = sum(f["state"] != "no data" and not f["samples_before"] for f in j["found"])
    if bare:
        whys.append(f"{counted(bare, 'fault')} without a sample before: is its time in seconds, as those of metrics.csv?")
    return [*lines, "", *table(columns, rows, out.colour), *whys]


def _rule(rule: Document) -> list[Cell]:
    return [NAMES[rule["rule"]], f"{rule['found']} of {rule['of']}", percent_text(rule["false_alarms"])]


def _seen(fault: Document) -> list[Cell]:
    words = {"found": "ok", "not found": "warning", "no data": "unknown"}
    share = f"{percent_text(fault['judge'])} of windows" if fault["judge"] is not None else NONE
    return [share, State(words[fault["state"]], fault["state"])]
