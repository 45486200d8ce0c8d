"""The contract suite on a real HAProxy before two servers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from cockpit.contract.traffic import DrainContract, TrafficWorld
from tests.connectors.test_haproxy import Rig, rig
from tests.fakes.playground import wait_for

__all__ = ["rig"]  # a fixture, by its name


class TestHaproxy(DrainContract):
    @pytest.fixture
    def world(self, rig: Rig) -> Iterator[TrafficWorld]:
        socket, away = rig.folder / "admin", rig.folder / "away"
        wait_for(socket.exists, "its socket is there")  # it is made a moment after the front listens
        connector = rig.at(str(socket), timeout_s="1")

        def heal() -> None:
            rig.process.send_signal(signal.SIGCONT)
            if away.exists():
                away.rename(socket)

        yield TrafficWorld(
            connector=connector,
            deadline_s=8,
            service="gw",
            environment="production",
            nodes=("n1", "n2"),
            cut=lambda: os.rename(socket, away),
            hang=lambda: rig.process.send_signal(signal.SIGSTOP),
            heal=heal,
        )
        connector.close()
