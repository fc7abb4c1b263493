import pytest

from scheduler.demo.sight import State, judge
from tests.demo.cases import Json, pod, work

WAITS = pod(said=("QuotaExhausted", "the quota is used up"))


@pytest.mark.parametrize(
    ("pods", "state", "placed"),
    [
        pytest.param([], "expected", 0, id="no pod yet"),
        pytest.param([pod(), pod()], "waiting", 0, id="no node"),
        pytest.param([pod("a-0"), pod()], "starting", 1, id="one of two has a node"),
        pytest.param([pod("a-0", "Running"), pod("a-1")], "running", 2, id="both have"),
        pytest.param([pod("a-0", "Succeeded"), pod("a-1", "Running")], "running", 2, id="one is through"),
        pytest.param([pod("a-0", "Succeeded"), pod("a-1", "Succeeded")], "completed", 2, id="both are through"),
    ],
)
def test_how_a_gang_of_two_stands(pods: list[Json], state: State, placed: int) -> None:
    seen = judge(work(pods=2), pods)
    assert (seen.state, seen.placed) == (state, placed)


def test_nodes_are_told_once_and_by_number() -> None:
    seen = judge(work(pods=3), [pod("n-10"), pod("n-2"), pod("n-10")])
    assert seen.nodes == ("n-2", "n-10")


def test_a_reason_is_told_while_it_waits_and_no_longer() -> None:
    seen = judge(work(pods=2), [pod(), WAITS])
    assert (seen.reason, seen.message) == ("QuotaExhausted", "the quota is used up")
    placed = pod("a-0", said=("QuotaExhausted", "the quota is used up"))
    assert judge(work(pods=1), [placed]).reason == ""
