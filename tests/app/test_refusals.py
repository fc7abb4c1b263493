"""Refusals in a row."""

from scheduler.app.refusals import FREE_TRIES, LONGEST_REST_S, Refusals
from scheduler.model.names import PodUid, WorkloadKey

ONE, OTHER = WorkloadKey("gang:ns/one"), WorkloadKey("pod:ns/other")
PODS = (PodUid("a"), PodUid("b"))


def test_a_few_refusals_are_free_and_rests_double_up_to_the_longest() -> None:
    refusals = Refusals(memory_s=60.0)
    rests: list[float] = []
    for _ in range(FREE_TRIES + 9):
        refusals.add(ONE, PODS)
        rests.append(refusals.rest_s(ONE))
    assert rests == [0.0] * FREE_TRIES + [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert refusals.rest_s(OTHER) == 0.0


def test_ten_thousand_refusals_are_as_good_as_a_few() -> None:
    refusals = Refusals(memory_s=60.0)
    for _ in range(10_000):
        refusals.add(ONE, PODS)
    assert (refusals.rest_s(ONE), refusals.memory_s(ONE)) == (LONGEST_REST_S, 60.0)


def test_memory_never_exceeds_what_is_set() -> None:
    refusals = Refusals(memory_s=1.0)
    refusals.add(ONE, PODS)
    assert refusals.memory_s(ONE) == 1.0


def test_standing_ends_the_row_and_so_does_the_end_of_any_pod_of_the_latest_plan() -> None:
    refusals = Refusals(memory_s=60.0)
    for forget in (lambda: refusals.end(ONE), lambda: refusals.pod_gone(PODS[1])):
        refusals.add(ONE, PODS)
        refusals.add(ONE, PODS)
        refusals.pod_gone(PodUid("stranger"))
        assert refusals.memory_s(ONE) == 4.0
        forget()
        refusals.add(ONE, PODS)
        assert refusals.memory_s(ONE) == 2.0
        refusals.end(ONE)
