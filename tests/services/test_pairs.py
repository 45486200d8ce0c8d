"""What a deployment is compared with: the baseline's time at equal age, or nothing where that is not known."""

from __future__ import annotations

from cockpit.domain.release import Deployment, DeployState
from cockpit.services.pairs import Life, pair_of

S = 1_000_000


def deployment(
    number: int, version: str, before: str, start: int, state: DeployState = DeployState.SUCCEEDED, kind: str = "deploy"
) -> Deployment:
    return Deployment(
        f"d{number}", f"k{number}", "gateway", "production", version, "", kind, state, from_version=before, started_at_us=start * S,
        finished_at_us=(start + 30) * S,
    )  # fmt: skip


def test_nothing_was_deployed() -> None:
    assert pair_of(()) is None
    assert pair_of((deployment(1, "1.0", "1.0", 100),)) is None, "a repeated deployment brings no other version"


def test_the_first_version_has_no_baseline() -> None:
    pair = pair_of((deployment(1, "1.0", "", 100),))
    assert pair is not None
    assert (pair.from_version, pair.baseline, pair.apart_us) == ("", None, 0)
    assert pair.ages(0, 200 * S) == ((100 * S, 200 * S), None)


def test_a_baseline_that_came_before_what_is_known() -> None:
    pair = pair_of((deployment(2, "1.1", "1.0", 500),))
    assert pair is not None
    assert pair.from_version == "1.0"
    assert pair.baseline is None


def test_both_have_the_same_age() -> None:
    pair = pair_of((deployment(3, "1.2", "1.1", 1000), deployment(2, "1.1", "1.0", 400), deployment(1, "1.0", "", 100)))
    assert pair is not None
    assert pair.candidate == Life("1.2", 1000 * S)
    assert pair.baseline == Life("1.1", 400 * S, 1000 * S)
    assert pair.ages(900 * S, 1100 * S) == ((1000 * S, 1100 * S), (400 * S, 500 * S))
    assert pair.ages(1500 * S, 1650 * S) == ((1500 * S, 1650 * S), (900 * S, 1000 * S)), "cut where it was replaced"
    assert pair.ages(1700 * S, 1800 * S) == ((1700 * S, 1800 * S), None), "it never grew so old"
    first, last = pair.ages(100 * S, 200 * S)[0]
    assert first == last, "the candidate was not there yet"


def test_a_failed_deployment_of_the_baseline_is_not_its_coming_but_ends_the_one_before() -> None:
    history = (
        deployment(1, "1.0", "", 100),
        deployment(2, "1.1", "1.0", 300, DeployState.FAILED),
        deployment(3, "1.1", "1.0", 400),
        deployment(4, "1.2", "1.1", 900),
    )
    pair = pair_of(history)
    assert pair is not None
    assert pair.baseline == Life("1.1", 400 * S, 900 * S)
    earlier = pair_of(history[:3])
    assert earlier is not None
    assert earlier.baseline == Life("1.0", 100 * S, 300 * S)


def test_a_rollback_is_compared_with_what_it_undoes() -> None:
    history = (deployment(1, "1.0", "", 100), deployment(2, "1.1", "1.0", 400), deployment(3, "1.0", "1.1", 500, kind="rollback"))
    pair = pair_of(history)
    assert pair is not None
    assert (pair.candidate.version, pair.baseline) == ("1.0", Life("1.1", 400 * S, 500 * S))
