"""The check of plans on GPUs divided on demand: a wrong plan is refused by its sentence, a right one by none."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.node import MigInstance
from scheduler.model.plan import Admit, Assignment, Offer, Placement, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import PodShape
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from scheduler.state.events import DevicesSeen
from tests.state.build import Thing, mig, node, part, pod, queue, report, shape, sliced, state_of

PRODUCT = "NVIDIA-A100-SXM4-80GB"
N, PLAIN = NodeName("n1"), NodeName("n2")
"""A node that divides its 4 GPUs on demand, the last of which is broken, and one that does not divide any."""


def dividing(
    *instances: MigInstance, mig_too: bool = True, shares: bool = True, **held: Sequence[object]
) -> DevicesSeen:
    seen = report("n1", gpus=4, sick=[3])
    return replace(
        seen,
        mig_on_demand=mig_too,
        shares_on_demand=shares,
        mig_instances=instances,
        held=tuple((f"a/{name}", has) for name, has in held.items() if not isinstance(has[0], MigInstance)),
        slices_held=tuple((f"a/{name}", has) for name, has in held.items() if isinstance(has[0], MigInstance)),
    )


def waiting(shapes: Sequence[PodShape], *things: Thing, seen: DevicesSeen | None = None) -> Snapshot:
    """Pods `p0`, `p1` … of these shapes wait, beside what else there is."""
    nodes = [node("n1", gpus=4, product=PRODUCT), node("n2", gpus=4, product=PRODUCT), report("n2", gpus=4)]
    pods = [pod(f"p{i}", shape=each, gated=True) for i, each in enumerate(shapes)]
    return state_of(queue("default"), *nodes, seen or dividing(), *things, *pods).snapshot()


def given_out(snap: Snapshot, *assignments: Assignment) -> list[str]:
    """What the check says of a plan with these places for p0, p1 …"""
    decisions = tuple(
        Admit(workload=WorkloadKey(f"pod:a/{a.pod}"), placement=Placement(assignments=(a,))) for a in assignments
    )
    return broken_rules(snap, Plan(generation=snap.generation, decisions=decisions))


def at(number: int, *where: int | MigInstance, on: NodeName = N) -> Assignment:
    """The place of a pod: indexes of GPUs, or instances."""
    devices = tuple(w for w in where if isinstance(w, int))
    slices = tuple(w for w in where if isinstance(w, MigInstance))
    return Assignment(pod=PodUid(f"p{number}"), node=on, devices=devices, slices=slices)


HELD = (
    pod("h", shape=shape(1), node=N),
    pod("s", shape=part(600), node=N),
    pod("m", shape=sliced("2g.20gb"), node=N),
)
"""Pods that hold GPU 0 whole, 600 milli of GPU 1, and a slice at 2 of GPU 2."""
SEEN = dividing(mig(2, "1g.10gb", 6), h=(0,), s=(1,), m=(mig(2, "2g.20gb", 2),))


@pytest.mark.parametrize(
    ("shapes", "places", "said"),
    [
        pytest.param([part(400), sliced("1g.10gb")], [at(0, 1), at(1, mig(2, "1g.10gb", 6))], [], id="both are right"),
        pytest.param([sliced("2g.20gb")], [at(0, mig(2, "2g.20gb", 4))], [], id="a slice in the place that is left"),
        pytest.param(
            [part(500)], [at(0, 1)], ["p0 on n1: 1100 milli of device 1 are given out"], id="more than what is left"
        ),
        pytest.param(
            [part(200), part(300)],
            [at(0, 1), at(1, 1)],
            ["p1 on n1: 1100 milli of device 1 are given out"],
            id="two that fit one by one",
        ),
        pytest.param([part(100)], [at(0, 0)], ["p0 on n1: device 0 is held whole"], id="a part of a GPU held whole"),
        pytest.param([part(100)], [at(0, 2)], ["p0 on n1: device 2 is divided into slices"], id="a part beside slices"),
        pytest.param(
            [part(100)],
            [at(0, 3)],
            ["p0 on n1: device 3 is unknown, unhealthy or sliced beforehand"],
            id="a part of a broken GPU",
        ),
        pytest.param([part(100)], [at(0)], ["p0 on n1: 0 devices for parts of 1 GPUs"], id="a part of no GPU"),
        pytest.param(
            [part(100, 2)], [at(0, 1, 1)], ["p0 on n1: a device is named twice"], id="two parts of the same GPU"
        ),
        pytest.param(
            [sliced("1g.10gb")],
            [at(0, mig(1, "1g.10gb", 0))],
            ["p0 on n1: parts of device 1 are given out"],
            id="a slice beside parts",
        ),
        pytest.param(
            [sliced("1g.10gb")],
            [at(0, mig(2, "1g.10gb", 3))],
            ["p0 on n1: device 2: memory unit 3 is given to 2 slices"],
            id="a slice in the place of another",
        ),
        pytest.param(
            [sliced("3g.40gb")],
            [at(0, mig(2, "3g.40gb", 4))],
            ["p0 on n1: device 2: memory unit 6 is given to 2 slices"],
            id="a slice in the place of one that exists and nobody holds",
        ),
        pytest.param(
            [sliced("3g.40gb")],
            [at(0, mig(2, "3g.40gb", 2))],
            [
                "p0 on n1: device 2: a slice 3g.40gb may not begin at 2",
                "p0 on n1: device 2: memory unit 2 is given to 2 slices",
                "p0 on n1: device 2: memory unit 3 is given to 2 slices",
            ],
            id="a slice where none may begin",
        ),
        pytest.param(
            [sliced("1g.10gb")],
            [at(0, mig(2, "2g.20gb", 4))],
            ["p0 on n1: slices {'2g.20gb': 1} for {'1g.10gb': 1}"],
            id="another slice than asked for",
        ),
        pytest.param(
            [sliced("1g.10gb")],
            [at(0)],
            ["p0 on n1: slices {} for {'1g.10gb': 1}"],
            id="no slice where one is asked for",
        ),
        pytest.param(
            [shape(1)],
            [at(0, 2)],
            ["p0 on n1: device 2 is taken", "new pods on n1: 1 of nvidia.com/gpu asked for, 0 free"],
            id="a divided GPU whole",
        ),
        pytest.param(
            [sliced("1g.10gb")],
            [at(0, mig(0, "1g.10gb", 0), on=PLAIN)],
            [
                "p0 on n2: it makes no slices",
                "new pods on n2: 1 of nvidia.com/mig-1g.10gb asked for, 0 free",
            ],
            id="a slice of a node that makes none",
        ),
        pytest.param(
            [part(300)],
            [at(0, on=PLAIN)],
            ["new pods on n2: 1 of nvidia.com/gpu.shared asked for, 0 free"],
            id="a part of a node that gives none",
        ),
    ],
)
def test_gpus_that_are_partly_in_use(shapes: Sequence[PodShape], places: Sequence[Assignment], said: list[str]) -> None:
    assert sorted(given_out(waiting(shapes, *HELD, seen=SEEN), *places)) == sorted(said)


@pytest.mark.parametrize(
    ("shapes", "places", "said"),
    [
        pytest.param(
            [sliced("3g.40gb"), sliced("4g.40gb")],
            [at(0, mig(0, "3g.40gb", 4)), at(1, mig(0, "4g.40gb", 0))],
            [],
            id="two that fill a GPU",
        ),
        pytest.param(
            [sliced("3g.40gb"), sliced("4g.40gb")],
            [at(0, mig(0, "3g.40gb", 0)), at(1, mig(0, "4g.40gb", 0))],
            [f"p1 on n1: device 0: memory unit {unit} is given to 2 slices" for unit in range(4)],
            id="two in one place",
        ),
        pytest.param(
            [sliced("1g.10gb.me", 2)],
            [at(0, mig(0, "1g.10gb+me", 0), mig(0, "1g.10gb+me", 1))],
            [
                "p0 on n1: device 0: 2 slices 1g.10gb+me, of at most 1",
                "p0 on n1: device 0: 2 of its 1 jpeg engines are given out",
                "p0 on n1: device 0: 2 of its 1 ofa engines are given out",
            ],
            id="more than engines allow",
        ),
        pytest.param(
            [part(300), shape(1)],
            [at(0, 0), at(1, 0)],
            ["p1 on n1: device 0 is given whole and otherwise too"],
            id="a GPU in part, then whole",
        ),
        pytest.param(
            [shape(1), part(300)], [at(0, 0), at(1, 0)], ["p1 on n1: device 0 is held whole"], id="whole, then in part"
        ),
        pytest.param(
            [part(300), sliced("1g.10gb")],
            [at(0, 0), at(1, mig(0, "1g.10gb", 6))],
            ["p1 on n1: parts of device 0 are given out"],
            id="in part, then sliced",
        ),
        pytest.param(
            [part(300), shape(2), sliced("1g.10gb")],
            [at(0, 0), at(1, 1, 2), at(2, mig(0, "1g.10gb", 6))],
            ["p2 on n1: parts of device 0 are given out"],
            id="no GPU is left to divide",
        ),
        pytest.param(
            [part(300), shape(3)],
            [at(0, 0), at(1)],
            ["new pods on n1: 4 of nvidia.com/gpu asked for, 3 free"],
            id="more GPUs than there are",
        ),
    ],
)
def test_gpus_that_nobody_uses(shapes: Sequence[PodShape], places: Sequence[Assignment], said: list[str]) -> None:
    assert sorted(given_out(waiting(shapes), *places)) == sorted(said)


def test_a_node_gives_out_only_what_it_divides() -> None:
    only_mig = waiting([part(300)], seen=dividing(shares=False))
    assert given_out(only_mig, at(0, 0)) == ["p0 on n1: it gives out no parts of GPUs"]
    only_parts = waiting([sliced("1g.10gb")], seen=dividing(mig_too=False))
    assert given_out(only_parts, at(0, mig(0, "1g.10gb", 0))) == ["p0 on n1: it makes no slices"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (part(400), []),
        (part(500), ["p0 on n1: no GPU has such a part free"]),
        (sliced("2g.20gb"), []),
        (sliced("3g.40gb"), ["p0 on n1: no GPU has a place for 3g.40gb"]),
    ],
)
def test_an_offered_node_has_a_place(what: PodShape, said: list[str]) -> None:
    snap = waiting([what], *HELD, seen=SEEN)
    offer = Offer(workload=WorkloadKey("pod:a/p0"), pod=PodUid("p0"), nodes=((N, 1),))
    assert broken_rules(snap, Plan(generation=snap.generation, decisions=(offer,))) == said


ASKED = st.one_of(
    st.sampled_from([200, 300, 500, 700]).map(part),
    st.sampled_from(["1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb"]).map(sliced),
    st.integers(1, 2).map(shape),
)


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(st.lists(ASKED, min_size=2, max_size=7), st.data())
def test_a_plan_is_right_and_with_a_pod_on_the_place_of_another_it_is_wrong(
    shapes: list[PodShape], data: st.DataObject
) -> None:
    nodes = [replace(node("n1", gpus=4, product=PRODUCT)), dividing()]
    pods = [pod(f"p{i}", shape=each, gated=True) for i, each in enumerate(shapes)]
    snap = state_of(queue("default"), *nodes, *pods).snapshot()
    decided = plan(snap, now_s=0, settings=PlanSettings())
    assert broken_rules(snap, decided) == []
    places = [a for d in decided.decisions if isinstance(d, Admit) for a in d.placement.assignments]
    if len(places) < 2:
        return
    one, other = data.draw(st.permutations(places))[:2]
    moved = replace(one, devices=other.devices, slices=other.slices)
    known = dict(zip((p.uid for p in pods), shapes, strict=True))
    together = known[one.pod].share_milli + known[other.pod].share_milli
    if (
        other.devices
        and together <= 1000
        and not known[one.pod].requests.gpus
        and len(one.devices) == len(other.devices)
    ):
        return
    rest = [a for a in places if a.pod not in {one.pod, other.pod}]
    assert given_out(snap, moved, other, *rest)
