"""Who asks for linked GPUs is told where links are assumed."""

from msgspec.structs import replace

from scheduler.model.names import NodeName
from scheduler.model.node import Node
from scheduler.model.plan import Admit
from scheduler.model.workload import Linked
from scheduler.planning.cycle import plan
from scheduler.planning.reasons.assumed import NODES_SHOWN, assumed_lines
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.devices.machines import machine_graph
from scheduler.scoring.level_notes import level_notes
from tests.planning.build import node, queue, shape, single, snapshot


def taken_for(name: str, machine: str) -> Node:
    graph = machine_graph(machine)
    assert graph is not None
    return replace(node(name, graph.size, product="P"), links=graph, machine=machine, links_assumed=True)


def test_linked_gpus_are_planned_on_assumed_links_and_that_is_said() -> None:
    work = single("w", shape(4, linked=Linked.REQUIRED))
    snap = snapshot([taken_for("n1", "hgx_h100")], [work], queues=[queue(nominal=8)])
    (admit,) = plan(snap, now_s=0, settings=PlanSettings()).decisions
    assert isinstance(admit, Admit)
    assert assumed_lines(snap, work, (a.node for a in admit.placement.assignments)) == [
        "How the GPUs of n1 are connected is not reported; they are taken to be as in machines of type hgx_h100"
    ]
    assert (
        "no exporter reports from nodes with 8 GPUs P; these are taken to be connected as in machines of type hgx_h100"
        in level_notes(snap)
    )


def test_nothing_is_said_where_links_do_not_matter_or_are_reported() -> None:
    snap = snapshot([taken_for("n1", "hgx_h100"), node("n2")])
    assert assumed_lines(snap, single("w", shape(4)), [NodeName("n1")]) == []
    assert assumed_lines(snap, single("w", shape(4, linked=Linked.PREFERRED)), [NodeName("n2"), NodeName("x")]) == []
    assert level_notes(snapshot([node("n2", labels={"b": "b0", "r": "r0"})])) == ()


def test_nodes_are_told_by_machine_type_and_the_first_by_name() -> None:
    names = [f"n{i}" for i in range(NODES_SHOWN + 2)]
    snap = snapshot([*(taken_for(name, "hgx_h100") for name in names), taken_for("a", "l40s_x8")])
    lines = assumed_lines(snap, single("w", shape(4, linked=Linked.REQUIRED)), [*map(NodeName, names), NodeName("a")])
    assert [line.split(" are connected")[0] for line in lines] == [
        "How the GPUs of n0, n1, n2, n3, n4 and 2 more nodes",
        "How the GPUs of a",
    ]
