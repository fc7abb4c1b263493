"""The checker's own look at links, against trying everything, and against what the planner finds."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.links import LinkGraph
from scheduler.model.workload import Linked
from scheduler.scoring.devices.choose import Chooser
from scheduler.scoring.devices.links import all_equal
from scheduler.scoring.rules.links import broken_links, too_few_linked
from tests.planning.build import node, shape
from tests.scoring.devices import links_by_hand as by_hand
from tests.scoring.devices.links_by_hand import graphs, members

REQUIRED = Linked.REQUIRED


@given(st.data(), graphs(most_gpus=7))
def test_the_checker_calls_linked_what_is(data: st.DataObject, graph: LinkGraph) -> None:
    free = data.draw(st.integers(1, (1 << graph.size) - 1), label="free")
    some = members(free)
    asked = shape(max(len(some), 2), linked=REQUIRED)
    machine = node("n", graph.size, links=graph)
    assert (broken_links(asked, machine, some) == []) == by_hand.linked(graph, some)


@given(st.data(), graphs(most_gpus=7))
def test_checker_and_planner_agree_on_what_is_there(data: st.DataObject, graph: LinkGraph) -> None:
    free = data.draw(st.integers(0, (1 << graph.size) - 1), label="free")
    count = data.draw(st.integers(2, 4), label="count")
    missing = too_few_linked(shape(count, linked=REQUIRED), node("n", graph.size, links=graph), members(free))
    assert (missing == []) == (Chooser(graph).best(free, count, REQUIRED) != 0)


def test_what_is_said() -> None:
    pair = shape(2, linked=REQUIRED)
    switched, unknown = node("n", 4, links=all_equal(4)), node("n", 4)
    assert broken_links(pair, switched, (0, 3)) == []
    assert broken_links(pair, switched, ()) == ["it needs GPUs connected by NVLink, and none are named"]
    assert broken_links(pair, switched, (0, 4)) == ["GPUs 0, 4 are not connected by NVLink"]
    assert broken_links(pair, unknown, (1, 0)) == ["GPUs 0, 1 are not connected by NVLink"]
    assert too_few_linked(pair, unknown, (0, 1)) == [
        "2 GPUs connected by NVLink are asked for, and its links are not known"
    ]
    assert too_few_linked(pair, switched, (0,)) == ["it has no 2 GPUs connected by NVLink"]
    for other in (shape(2), shape(2, linked=Linked.PREFERRED), shape(1, linked=REQUIRED)):
        assert broken_links(other, unknown, ()) == []
        assert too_few_linked(other, unknown, ()) == []
