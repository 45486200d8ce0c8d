"""The contract suite on a real folder, and what is special about folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cockpit_junit_folder import JunitFolder, parse_run_file

from cockpit.contract.ci import CiContract, CiWorld
from cockpit.domain.errors import BadPayload

DAY_US = 86_400_000_000
FIRST_US = 1_750_000_000_000_000
GREEN = '<testsuite><testcase classname="book" name="test_add"/><testcase classname="book" name="test_cancel"/></testsuite>'
RED = '<testsuite><testcase classname="book" name="test_add"><failure message="101.5 is no string"/></testcase></testsuite>'


def write_run(folder: Path, name: str, day: int, **suites: str) -> None:
    """One run with these suites."""
    place = folder / "gateway" / name
    place.mkdir(parents=True)
    for suite, report in suites.items():
        (place / f"{suite}.xml").write_text(report)
    (place / "unit.log").write_text(f"collected the tests of {name}\n")
    begin_us = FIRST_US + day * DAY_US
    told = {"version": f"1.{day}.0", "commit": f"{day}" * 40, "started_at_us": begin_us, "finished_at_us": begin_us + 5_000_000}
    (place / "run.json").write_text(json.dumps(told))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs, the newest red; and a service without runs."""
    reports = tmp_path / "reports"
    for day, name in enumerate(("build-9", "build-10", "build-11"), 1):
        write_run(reports, name, day, unit=RED if day == 3 else GREEN, integration=GREEN)
    (reports / "ledger").mkdir()
    return reports


class TestContract(CiContract):
    @pytest.fixture
    def world(self, folder: Path) -> CiWorld:
        ids = ("gateway/build-11", "gateway/build-10", "gateway/build-9")
        away = folder.with_name("away")
        return CiWorld(
            connector=JunitFolder(str(folder)),
            shared=True,
            service="gateway",
            run_ids=ids,
            commits={run_id: f"{3 - index}" * 40 for index, run_id in enumerate(ids)},
            moments={ids[2]: (FIRST_US + DAY_US, FIRST_US + DAY_US + 5_000_000)},
            failed=(ids[0], "unit", "test_add"),
            log=(ids[0], "unit", "collected the tests of build-11"),
            empty="ledger",
            unknown_service="no-such-service",
            many=("gateway", ids),
            cut=lambda: folder.rename(away),
            heal=lambda: away.rename(folder) if away.exists() else None,
        )


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"version":1}', b"\xff", b'{"version":"1","commit":"","started_at_us":1}'])
def test_a_run_file_that_is_none(body: bytes) -> None:
    with pytest.raises(BadPayload):
        parse_run_file(body)


def test_a_report_that_is_none(folder: Path) -> None:
    (folder / "gateway" / "build-11" / "unit.xml").write_text("<html>")
    with pytest.raises(BadPayload):
        JunitFolder(str(folder)).run("gateway/build-11")


def test_no_name_leads_out_of_the_folder(folder: Path) -> None:
    (folder.parent / "run.json").write_text("{}")
    with pytest.raises(Exception, match="no run or suite"):
        JunitFolder(str(folder)).run("../reports")
