"""Sleep and a clock that is set are seen; drift and the mere passing of time are not."""

from __future__ import annotations

from cockpit.services.clock import Fresh, Jumps, now_us


class Clocks:
    """A wall clock and a monotonic one that move as told."""

    def __init__(self) -> None:
        self.wall_us, self.mono_s = 1_800_000_000_000_000, 1000.0
        self.jumps = Jumps(lambda: self.wall_us, lambda: self.mono_s)

    def go(self, wall_s: float, mono_s: float) -> float:
        self.wall_us += round(wall_s * 1e6)
        self.mono_s += mono_s
        return round(self.jumps.jumped(), 3)


def test_time_that_passes_is_no_jump() -> None:
    clocks = Clocks()
    assert [clocks.go(s, s) for s in (0.0, 1.0, 3600.0, 86400.0)] == [0.0] * 4


def test_sleep_and_a_clock_that_is_set_are_jumps_and_said_once() -> None:
    clocks = Clocks()
    assert clocks.go(3602.0, 2.0) == 3600.0
    assert clocks.go(1.0, 1.0) == 0.0
    assert clocks.go(-60.0, 1.0) == -61.0
    assert clocks.go(0.0, 0.0) == 0.0


def test_a_correction_by_less_than_five_seconds_is_none_but_many_are_one() -> None:
    clocks = Clocks()
    assert clocks.go(5.0, 1.0) == 0.0
    assert clocks.go(2.5, 1.0) == 5.5
    assert clocks.go(1.0, 1.0) == 0.0


def test_what_was_asked_for_long_ago_or_before_a_sleep_is_not_fresh() -> None:
    clocks = Clocks()
    fresh = Fresh(30.0, lambda: clocks.wall_us, lambda: clocks.mono_s)
    assert fresh.why_not() == ""
    clocks.go(29.0, 29.0)
    assert fresh.why_not() == ""
    clocks.go(3.0, 3.0)
    assert fresh.why_not() == "32 s went by after the click"
    clocks.go(7200.0, 0.0)
    assert fresh.why_not() == "the clock moved by +7200 s after the click"


def test_the_real_clocks_agree() -> None:
    jumps = Jumps(now_us)
    assert jumps.jumped() == 0.0
