"""Refusals say how many GPUs are not healthy, and where, if these would do."""

from scheduler.model.node import Node
from scheduler.model.plan import Wait
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from tests.planning.build import equal, node, queue, shape, single, snapshot, waiting


def refused(*nodes: Node, gpus: int = 1, model: str = "", held: dict[str, list[int]] | None = None) -> Wait:
    wanted = shape(gpus, models=(model,) if model else ())
    snap = snapshot(nodes, [single("w", wanted)], queues=[queue(nominal=100)], held=held or {})
    return waiting(plan(snap, now_s=0, settings=PlanSettings()), "w")


def health_of(wait: Wait) -> list[tuple[str, int]]:
    return [(b.subject, b.available) for b in wait.blocking if b.kind == "health"]


def test_gpus_that_would_do_if_they_were_healthy_are_in_the_way() -> None:
    wait = refused(node("n1", 4, unhealthy=[0]), node("n2", 2, unhealthy=[0, 1]), held={"n1": [1, 2, 3]})
    assert wait.detail.startswith(
        "needs 1 GPU; 0 GPUs free on suitable nodes; 3 GPUs are not healthy: 1 of n1 and 2 of n2"
    )
    assert health_of(wait) == [("health of 3 GPUs: 1 of n1 and 2 of n2", 3)]


def test_gpus_that_would_not_be_enough_are_told_and_are_not_in_the_way() -> None:
    wait = refused(node("n1", 4, unhealthy=[0]), gpus=3, held={"n1": [1, 2]})
    assert "1 GPU is not healthy: 1 of n1" in wait.detail
    assert health_of(wait) == []


def test_a_node_that_would_be_large_enough_if_all_its_gpus_were_healthy() -> None:
    wait = refused(node("n1", 8, unhealthy=[5]), gpus=8)
    assert wait.message == "no node is large enough: a pod needs 8 GPUs"
    assert health_of(wait) == [("health of 1 GPU: 1 of n1", 1)]


def test_a_node_with_the_label_that_would_be_large_enough() -> None:
    nodes = [node("n1", 8, labels={"pool": "a"}, unhealthy=[5]), node("n2", 8, unhealthy=[1])]
    wanted = shape(8, node_selector=(("pool", "a"),))
    snap = snapshot([*nodes, node("n3", 8)], [single("w", wanted)], queues=[queue(nominal=100)])
    wait = waiting(plan(snap, now_s=0, settings=PlanSettings()), "w")
    assert wait.message == "no node has the label pool=a and 8 GPUs"
    assert wait.detail.endswith("1 GPU is not healthy: 1 of n1")
    assert health_of(wait) == [("health of 1 GPU: 1 of n1", 1)]


def test_gpus_of_nodes_that_do_not_suit_the_pod_are_not_told() -> None:
    wait = refused(node("n1", 2, product="L40S", unhealthy=[0]), node("n2", 1), model="H100", held={"n2": [0]})
    assert "not healthy" not in wait.detail


def test_the_first_nodes_are_named() -> None:
    nodes = [node(f"n{i}", 1, unhealthy=[0]) for i in range(7)]
    assert (
        "7 GPUs are not healthy: 1 of n0, 1 of n1, 1 of n2, 1 of n3 and those of 3 more nodes" in refused(*nodes).detail
    )


def test_a_gang_is_told_too() -> None:
    snap = snapshot([node("n1", unhealthy=[1]), node("n2")], [equal("g", 2)], queues=[queue(nominal=100)])
    wait = waiting(plan(snap, now_s=0, settings=PlanSettings()), "g")
    assert health_of(wait) == [("health of 1 GPU: 1 of n1", 1)]
