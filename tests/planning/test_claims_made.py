"""Pods that claim MIG slices which were made beforehand: each slice by its name, none twice, and none is made."""

from msgspec.structs import replace

from scheduler.model.claims import DeviceName
from scheduler.model.names import NodeName
from scheduler.model.plan import Admit, Reason
from scheduler.model.queue import Quota
from scheduler.model.workload import GangClaim
from tests.planning.claimed import MADE_SMALL, QUEUE, planned, starts, waits
from tests.state.build import (
    Thing,
    claim,
    claiming,
    made_name,
    node,
    part_claim,
    pod,
    presliced,
    queue,
    report,
    sharing,
    slice_claim,
    sliced,
    state_of,
)


def given_slices(*things: Thing) -> dict[str, list[str]]:
    """Which slices pods get by a plan, by the names by which they are claimed."""
    snap, made = planned(state_of(QUEUE, *things))
    found: dict[str, list[str]] = {}
    for each in (a for d in made.decisions if isinstance(d, Admit) for a in d.placement.assignments):
        names = [snap.nodes[each.node].claimed_as(one) for one in each.slices]
        found[each.pod] = [f"{name.pool}/{name.device}" for name in names if name is not None]
        assert len(found[each.pod]) == len(each.slices)
    return found


def told(name: DeviceName) -> str:
    return f"{name.pool}/{name.device}"


def test_slices_that_were_made_beforehand_are_given_out_and_none_are_made() -> None:
    there = (node("n1", gpus=0), presliced("n1", whole=[2]))
    others = claim("x", made_name("n1", 0, "1g.10gb", 0), ours=False)
    small = [claiming(f"s{i}", f"s{i}", created_s=i) for i in range(3)]
    asked = [slice_claim(f"s{i}", "1g.10gb") for i in range(3)]
    found = given_slices(*there, others, *small, *asked, claiming("l", "l"), slice_claim("l", "3g.40gb"))
    free = [made_name("n1", 0, "1g.10gb", 1), made_name("n1", 1, "1g.10gb", 0)]
    assert sorted(found["s0"] + found["s1"]) == sorted(map(told, free))
    assert found["l"] == [told(made_name("n1", 0, "3g.40gb", 4))]
    # The GPU that is whole stays so, and goes to whoever claims it.
    assert "s2" not in found
    assert starts(*there, claiming("w", "w"), claim("w"), *small, *asked)["w"] == ("n1", (2,))


def test_a_claim_of_several_slices_gets_them_of_several_gpus_of_a_node() -> None:
    there = (node("n1", gpus=0), presliced("n1"), node("n2", gpus=0), presliced("n2", {0: [("1g.10gb", 6)]}))
    found = given_slices(*there, claiming("p", "c"), slice_claim("c", "1g.10gb", count=3))
    assert found == {"p": [told(made_name("n1", *place)) for place in MADE_SMALL]}


def test_slices_of_gpus_with_a_fault_are_left_alone_and_those_of_suspect_gpus_come_last() -> None:
    asked = [thing for i in range(3) for thing in (claiming(f"p{i}", f"c{i}"), slice_claim(f"c{i}", "1g.10gb"))]
    seen = report("n1", gpus=2, sick=[0])
    assert given_slices(node("n1", gpus=0), presliced("n1"), seen, *asked) == {
        "p0": [told(made_name("n1", 1, "1g.10gb", 0))]
    }
    doubtful = replace(seen, devices=tuple(replace(d, healthy=True, suspect=d.index == 0) for d in seen.devices))
    found = given_slices(node("n1", gpus=0), presliced("n1"), doubtful, *asked)
    assert found["p0"] == [told(made_name("n1", 1, "1g.10gb", 0))]
    assert len(found) == 3


def test_a_gang_of_slices_starts_whole_or_not_at_all() -> None:
    there = [thing for i in range(2) for thing in (node(f"n{i}", gpus=0), presliced(f"n{i}"))]
    for size, begun in ((6, 6), (7, 0)):
        members = [claiming(f"p{i}", f"c{i}", gang=GangClaim(name="g", size=size)) for i in range(size)]
        found = given_slices(*there, *members, *(slice_claim(f"c{i}", "1g.10gb") for i in range(size)))
        assert len({name for names in found.values() for name in names}) == begun


def test_why_no_slice_that_was_made_beforehand_is_free() -> None:
    held = slice_claim("c", "3g.40gb", made_name("n1", 0, "3g.40gb", 4))
    there = (node("n1", gpus=0), presliced("n1"), claiming("p", "c", node=NodeName("n1")), held)
    asked = (claiming("q", "d"), slice_claim("d", "3g.40gb"))
    assert waits(*there, *asked) == [
        (
            Reason.INSUFFICIENT_RESOURCES,
            "no GPU has a free place for a 3g.40gb slice",
            "needs 1 such place, there are 0; nearest is GPU 0 of n1 at 4, where 3g.40gb at 4 of a/p is in the way",
        )
    ]
    assert waits(*there, claiming("q", "d"), slice_claim("d", "7g.80gb"))[0][:2] == (
        Reason.INSUFFICIENT_RESOURCES,
        "no node has 1 MIG slice 7g.80gb",
    )


def test_slices_are_charged_to_the_queue_and_limited_by_it() -> None:
    there = (node("n1", gpus=0), presliced("n1"))
    small = [claiming(f"s{i}", f"s{i}", created_s=i) for i in range(3)]
    asked = [slice_claim(f"s{i}", "1g.10gb") for i in range(3)]
    limited = replace(queue(), total=Quota(nominal_milli_gpu=300, borrowing_limit_milli_gpu=0))
    _, made = planned(state_of(limited, *there, *small, *asked))
    assert [type(d).__name__ for d in made.decisions] == ["Admit", "Admit", "Wait"]


def test_slices_and_gpus_that_claims_share_stand_on_one_node() -> None:
    shared, slices = sharing("n1"), presliced("n1", {2: [("1g.10gb", 0)]})
    seen = replace(shared, devices=(*shared.devices, *slices.devices))
    parts = [thing for i in range(3) for thing in (claiming(f"p{i}", f"p{i}"), part_claim(f"p{i}", 40))]
    small = [thing for i in range(2) for thing in (claiming(f"s{i}", f"s{i}"), slice_claim(f"s{i}", "1g.10gb"))]
    things = (node("n1", gpus=0), seen, *parts, *small)
    snap, made = planned(state_of(QUEUE, *things))
    given = {a.pod: a for d in made.decisions if isinstance(d, Admit) for a in d.placement.assignments}
    assert sorted(device for a in given.values() for device in a.devices) == [0, 0, 1]
    assert [snap.nodes[a.node].claimed_as(s) for a in given.values() for s in a.slices] == [
        made_name("n1", 2, "1g.10gb", 0)
    ]


def test_pods_without_claims_get_no_slices_that_are_there_for_claims() -> None:
    assert starts(node("n1", gpus=0), presliced("n1"), pod("p", shape=sliced("1g.10gb"))) == {}
