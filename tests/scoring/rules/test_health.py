"""The checker notices suspect GPUs that are given out for nothing, and lets pass those that have to be."""

import pytest

from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import Allocator
from scheduler.model.plan import Assignment
from scheduler.model.workload import Linked
from scheduler.scoring.rules.health import needless_suspects
from tests.planning.build import node, pods, shape, snapshot

SAID = "w-0 on n1: suspect devices [0] are given and [1] stay free"


@pytest.mark.parametrize(
    ("given", "held", "linked", "allocator", "said"),
    [
        pytest.param([(0, 2)], [3], Linked.ANY, Allocator.DRA, [SAID], id="a sound one was left over"),
        pytest.param([(1, 2)], [3], Linked.ANY, Allocator.DRA, [], id="the suspect one was left over"),
        pytest.param([(0, 2)], [1, 3], Linked.ANY, Allocator.DRA, [], id="the sound one is held"),
        pytest.param([(0, 2), (1, 3)], [], Linked.ANY, Allocator.DRA, [], id="the sound one went to another pod"),
        pytest.param([(0, 2)], [3], Linked.REQUIRED, Allocator.DRA, [], id="links may leave no choice"),
        pytest.param([(0, 2)], [3], Linked.ANY, Allocator.DEVICE_PLUGIN, [], id="the plugin chooses"),
    ],
)
def test_needless_suspects(
    given: list[tuple[int, ...]], held: list[int], linked: Linked, allocator: Allocator, said: list[str]
) -> None:
    snap = snapshot([node("n1", 4, suspect=[0], allocator=allocator)], held={"n1": held})
    members = pods("w", [shape(2, linked=linked)] * len(given))
    placed = [
        (pod, Assignment(pod=PodUid(pod.uid), node=NodeName("n1"), devices=devices))
        for pod, devices in zip(members, given, strict=True)
    ]
    assert needless_suspects(snap, placed) == said


def test_an_unhealthy_one_is_no_sound_one() -> None:
    snap = snapshot([node("n1", 3, suspect=[0], unhealthy=[1], allocator=Allocator.DRA)])
    (pod,) = pods("w", [shape(2)])
    placed = [(pod, Assignment(pod=pod.uid, node=NodeName("n1"), devices=(0, 2)))]
    assert needless_suspects(snap, placed) == []
