"""The settings of the watch over a deployment, an environment's own: `[environments.NAME.watch]`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from cockpit.storage.validate import Checked, join


class WatchSettings(Struct, frozen=True):
    """How long a deployment is watched, what makes it bad, and whether a bad one is rolled back by itself."""

    minutes: Annotated[
        float, Meta(title="Watch for", description="Minutes that a deployment is watched after its end, at least.", ge=1, le=1440)
    ] = 15.0
    requests: Annotated[
        int, Meta(title="Requests", description="Requests of the new version before the watch may end.", ge=0, le=1_000_000_000)
    ] = 2000
    automatic: Annotated[bool, Meta(title="Roll back by itself", description="A version that is found worse is rolled back.")] = False
    rollback_on: Annotated[
        tuple[Literal["verdict", "alerts", "drift"], ...],
        Meta(
            title="Roll back on",
            description="What an automatic rollback follows from: the judge's verdict, critical alerts, nodes that run something else.",
        ),
    ] = ("verdict",)
    countdown_s: Annotated[
        float, Meta(title="Countdown", description="Seconds that an automatic rollback is announced before it begins.", ge=5, le=3600)
    ] = 30.0
    limit: Annotated[
        float, Meta(title="Limit", description="The ratio to the version before that must not be missed.", ge=1.01, le=100)
    ] = 1.25
    tolerated: Annotated[
        float,
        Meta(title="Tolerated", description="The ratio to the version before up to which a version is not called worse.", ge=1, le=10),
    ] = 1.02
    p99_ratio: Annotated[
        float,
        Meta(
            title="p99 at most",
            description="Bad at once: 4 in 100 requests slower than that many times the p99 before, where that is not usual.",
            ge=1.05,
            le=1000,
        ),
    ] = 2.0
    p99_ms: Annotated[
        float, Meta(title="p99 at most, ms", description="A p99 beyond it is bad at once; 0: no such limit.", ge=0, le=3_600_000)
    ] = 0.0
    error_ratio: Annotated[
        float, Meta(title="Errors at most", description="A share of failing requests beyond it is bad at once.", ge=0, le=1)
    ] = 0.05
    settle_s: Annotated[
        float, Meta(title="Settle", description="Seconds after a deployment's end before it is rolled back by itself.", ge=0, le=3600)
    ] = 60.0
    oldest_failure_minutes: Annotated[
        float, Meta(title="Oldest failure", description="Minutes after which only a person acts on what was found.", ge=1, le=1440)
    ] = 20.0
    window_minutes: Annotated[
        float, Meta(title="One in", description="Minutes in which at most one automatic rollback happens in a place.", ge=1, le=10_080)
    ] = 60.0
    in_freeze: Annotated[
        bool, Meta(title="In a freeze too", description="An automatic rollback passes a freeze; a hard one it never does.")
    ] = False


def check_watches(checked: Checked) -> None:
    """Name limits that contradict each other."""
    for name, environment in checked.value.environments.items():
        path, watch = join(join("environments", name), "watch"), environment.watch
        if watch.tolerated >= watch.limit:
            checked.problems.append(f"{path}.tolerated: must be below the limit ({watch.limit:g}), not {watch.tolerated:g}")
        if watch.p99_ratio < watch.limit:
            checked.problems.append(f"{path}.p99_ratio: must be at least the limit ({watch.limit:g}), not {watch.p99_ratio:g}")
        if watch.automatic and not watch.rollback_on:
            checked.problems.append(f"{path}.rollback_on: must name something to roll back on where automatic = true")
        if watch.oldest_failure_minutes * 60 <= watch.settle_s + watch.countdown_s:
            least = (watch.settle_s + watch.countdown_s) / 60
            words = f"must be more than settle_s and countdown_s together ({least:.3g} minutes), not {watch.oldest_failure_minutes:g}"
            checked.problems.append(f"{path}.oldest_failure_minutes: {words}")
