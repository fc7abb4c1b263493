from hypothesis import given
from hypothesis import strategies as st

from scheduler.app.barrier import Barrier, Passage
from scheduler.model.names import NodeName, PodUid

PODS = [PodUid(f"p{i}") for i in range(5)]
NODES = [NodeName("n0"), NodeName("n1")]


@given(
    size=st.integers(1, 4),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 1)), max_size=40),
)
def test_opens_exactly_when_every_expected_member_is_there(size: int, steps: list[tuple[bool, int, int]]) -> None:
    expected = {PODS[i]: NODES[i % 2] for i in range(size)}
    barrier = Barrier(expected)
    there: set[PodUid] = set()
    opened = False
    for arrives, pod_index, node_index in steps:
        pod, node = PODS[pod_index], NODES[node_index]
        if not arrives:
            barrier.leave(pod)
            if not opened:
                there.discard(pod)
            continue
        passage = barrier.arrive(pod, node)
        if expected.get(pod) != node:
            assert passage is Passage.REFUSED
            continue
        if opened:
            assert passage is Passage.OPEN
            continue
        there.add(pod)
        opened = there == expected.keys()
        assert passage is (Passage.OPENS if opened else Passage.HELD)
    assert barrier.opened == opened
    if not opened:
        assert set(barrier.missing) == expected.keys() - there
        assert barrier.arrived == len(there)
