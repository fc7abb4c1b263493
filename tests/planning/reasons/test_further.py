"""What more a refusal says: the smallest blocking set, ways out that are real, what is missing, and who has to end."""

from collections.abc import Sequence
from itertools import combinations, product

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.model.names import WorkloadKey
from scheduler.model.node import Taint
from scheduler.model.plan import Admit, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import PodShape, Toleration, Workload
from scheduler.planning.candidate import Candidate, candidate_of
from scheduler.planning.cycle import plan
from scheduler.planning.desk import Desk
from scheduler.planning.reasons import ends
from scheduler.planning.reasons.ends import who_has_to_end
from scheduler.planning.reasons.explain import explain
from scheduler.planning.reasons.nearest import nearest
from scheduler.planning.reasons.wishes import Wish, way_out, wishes_of, without
from scheduler.planning.settings import PlanSettings
from scheduler.quota.usage import opening_ledger
from scheduler.scoring.fleet import Fleet
from tests.planning.build import draw, equal, gang, node, pods, shape, single, snapshot, waiting

LAWS = settings(max_examples=60, deadline=None)


def wait_of(snap: Snapshot) -> Wait:
    return waiting(plan(snap, now_s=0, settings=PlanSettings()), "g")


def at_desk(snap: Snapshot) -> tuple[Desk, Candidate]:
    """A desk on which nothing is decided yet, and the gang g."""
    desk = Desk(snap, Fleet(snap), opening_ledger(snap, {}), now_s=0, settings=PlanSettings(solver_budget_ms=0))
    candidate = candidate_of(snap.workloads[WorkloadKey("gang:team/g")])
    assert candidate is not None
    return desk, candidate


def starts(snap: Snapshot) -> bool:
    """Whether the gang g starts by a plan."""
    decisions = plan(snap, now_s=0, settings=PlanSettings(solver_budget_ms=0)).decisions
    return any(isinstance(d, Admit) and d.workload.endswith("/g") for d in decisions)


def running(name: str, gpus: int, on: Sequence[str]) -> Workload:
    return gang(name, pods(name, [shape(gpus)] * len(on), on=on))


# ---- words


TWO_RACKS = "b0/r0 n0: ......##\nb0/r0 n1: ########\nb0/r1 n2: .....###\nb0/r1 n3: ##......"


def test_the_nearest_domain_is_named_with_what_it_lacks() -> None:
    wait = wait_of(draw(TWO_RACKS, equal("g", 3, 4, topology_required="rack")))
    assert "nearest is rack r1, which lacks 2 GPUs" in wait.detail
    assert wait.unblock == (
        "It starts when enough work leaves one rack. "
        "It could start now without that level (bayplan.dev/topology-preferred instead of -required)."
    )


def test_what_would_do_is_said_of_pieces() -> None:
    wait = wait_of(draw("n0: ......##\nn1: ##......", equal("g", 3, 4)))
    assert wait.detail == "room for 2 of 3 pods that need 4 GPUs each; 2 GPUs more would do where least is missing"


def test_a_gang_that_no_rack_could_ever_hold_is_told_so() -> None:
    wait = wait_of(draw("b0/r0 n0: ........\nb0/r1 n1: ....####", equal("g", 2, topology_required="rack")))
    assert wait.message == "there would not be room for all its pods in one rack even if nothing else stood there"
    assert wait.unblock.startswith("It needs more nodes that suit it, or has to ask for less.")


MIXED = (
    node("a0", product="H100", labels={"zone": "z1"}),
    node("b0", product="L40S", labels={"zone": "z1"}),
    node("c0", product="H100", labels={"zone": "z2"}, taints=(Taint(key="spot"),)),
)


@pytest.mark.parametrize(
    ("wanted", "held", "subjects", "out"),
    [
        pytest.param(
            shape(8, models=("H100",)),
            ["a0", "c0"],
            ["GPU model H100"],
            "It could start now with GPU model L40S.",
            id="model",
        ),
        pytest.param(
            shape(8, node_selector=(("zone", "z1"),), tolerations=(Toleration(key="spot", operator="Exists"),)),
            ["a0", "b0"],
            ["zone=z1"],
            "It could start now without the node selector zone=z1.",
            id="selector",
        ),
        pytest.param(
            shape(8),
            ["a0", "b0"],
            ["taints that it does not tolerate"],
            "It could start now if it tolerated spot:NoSchedule.",
            id="taints",
        ),
        pytest.param(
            shape(8, models=("H100",), node_selector=(("zone", "z1"),)),
            ["a0", "b0"],
            ["zone=z1"],
            "It could start now without the node selector zone=z1 and if it tolerated spot:NoSchedule.",
            id="only two of them together",
        ),
    ],
)
def test_own_conditions_in_the_way(wanted: PodShape, held: list[str], subjects: list[str], out: str) -> None:
    snap = snapshot(MIXED, [gang("g", pods("g", [wanted]))], held={name: range(8) for name in held})
    wait = wait_of(snap)
    assert [blocker.subject for blocker in wait.blocking if blocker.kind == "selector"] == subjects
    assert wait.unblock.endswith(out)
    assert explain(wait)[-1] == wait.unblock


def test_a_way_out_over_nodes_that_tell_no_gpu_model() -> None:
    nodes = [node("n0", product="H100"), node("n1", product="")]
    asked = gang("g", pods("g", [shape(8, models=("H100",))]))
    snap = snapshot(nodes, [asked, running("old", 8, ["n0"])])
    assert wait_of(snap).unblock.endswith("It could start now without its GPU models.")


def test_who_would_have_to_end_is_named() -> None:
    other = running("other", 8, ["n0"]), running("small", 2, ["n1"])
    wait = wait_of(draw("n0: ........\nn1: ........", *other, equal("g", 2, 8)))
    assert wait.detail.endswith("it would fit if team/other and team/small ended")
    wait = wait_of(draw("n0: ........\nn1: ........", *other, equal("g", 1, 8)))
    assert wait.detail.endswith("it would fit if team/small ended")


def test_only_so_many_refusals_of_a_plan_are_looked_into() -> None:
    snap = draw("n0: ######..", *(equal(f"g{i}", 1, 3 + i, created_s=i) for i in range(3)))
    decided = plan(snap, now_s=10_000, settings=PlanSettings(explained=2))
    details = [d.detail for d in decided.decisions if isinstance(d, Wait)]
    assert ["would do" in detail or "ended" in detail for detail in details].count(True) <= 2


# ---- laws


@st.composite
def choosy(draw: st.DrawFn) -> Snapshot:
    """A few nodes that differ, partly held, and a gang with conditions."""
    count = draw(st.integers(2, 6))
    nodes = [
        node(
            f"n{i}",
            product=draw(st.sampled_from(["H100", "L40S"])),
            labels={"r": draw(st.sampled_from(["r0", "r1"])), "zone": draw(st.sampled_from(["z1", "z2"]))},
            taints=(Taint(key="spot"),) if draw(st.booleans()) else (),
        )
        for i in range(count)
    ]
    each = shape(
        draw(st.sampled_from([2, 4, 8])),
        models=draw(st.sampled_from([(), ("H100",)])),
        node_selector=draw(st.sampled_from([(), (("zone", "z1"),)])),
    )
    wanted = gang(
        "g",
        pods("g", [each] * draw(st.integers(1, 4))),
        topology_required=draw(st.sampled_from([None, "rack", "node"])),
    )
    held = {f"n{i}": range(draw(st.integers(0, 8))) for i in range(count)}
    return snapshot(nodes, [wanted], held=held)


def with_candidate(snap: Snapshot, candidate: Candidate) -> Snapshot:
    """The snapshot in which g asks for what `candidate` does."""
    shapes = [shape for shape, count in candidate.groups for _ in range(count)]
    members = tuple(
        msgspec.structs.replace(pod, shape=each) for pod, each in zip(candidate.pending, shapes, strict=True)
    )
    workload = msgspec.structs.replace(candidate.workload, members=members)
    return msgspec.structs.replace(snap, workloads={workload.key: workload})


@LAWS
@given(snap=choosy())
def test_no_part_of_a_blocking_set_blocks_and_ways_out_are_real(snap: Snapshot) -> None:
    desk, candidate = at_desk(snap)
    assume(not starts(snap))
    way = way_out(desk, candidate)
    if way is None:
        return

    def starts_with(kept: Sequence[Wish]) -> bool:
        rest = [wish for wish in wishes_of(desk, candidate) if wish not in kept]
        return starts(with_candidate(snap, without(desk, candidate, rest)))

    assert way.blocking
    assert not starts_with(way.blocking)
    for wish in way.blocking:
        assert starts_with([other for other in way.blocking if other != wish])
    out = [wish for wish, _ in way.out]
    for lost in [[wish] for wish in out] if way.several else [out]:
        assert starts(with_candidate(snap, without(desk, candidate, lost)))


@st.composite
def busy(draw: st.DrawFn) -> Snapshot:
    """A few nodes in racks, running gangs and pods on them, and a gang that waits."""
    count = draw(st.integers(1, 5))
    names = [f"n{i}" for i in range(count)]
    nodes = [node(name, labels={"r": draw(st.sampled_from(["r0", "r1"]))}) for name in names]
    free = dict.fromkeys(names, 8)
    work: list[Workload] = []
    for i in range(draw(st.integers(1, 6))):
        gpus = draw(st.sampled_from([1, 2, 4, 8]))
        places = [name for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=2)) if free[name] >= gpus]
        places = places[:1] if len(places) == 2 and places[0] == places[1] and free[places[0]] < 2 * gpus else places
        for name in places:
            free[name] -= gpus
        if places:
            work.append(running(f"w{i}", gpus, places) if i % 3 else single(f"w{i}", shape(gpus), on=places[0]))
            if i % 3 == 0 and len(places) == 2:
                free[places[1]] += gpus
    wanted = equal(
        "g",
        draw(st.integers(1, 3)),
        draw(st.sampled_from([2, 4, 8])),
        topology_required=draw(st.sampled_from([None, "rack"])),
    )
    return snapshot(nodes, [*work, wanted])


def after_end_of(snap: Snapshot, keys: Sequence[WorkloadKey]) -> Snapshot:
    nodes, rest = list(snap.nodes.values()), [w for w in snap.workloads.values() if w.key not in keys]
    return snapshot(nodes, rest)


@pytest.mark.long
@LAWS
@given(snap=busy())
def test_the_fewest_workloads_that_have_to_end_are_named(snap: Snapshot) -> None:
    desk, candidate = at_desk(snap)
    assume(not starts(snap))
    found = who_has_to_end(desk, candidate, desk.ask(candidate))
    others = [key for key in snap.workloads if not key.endswith("/g")]
    if not found:
        assert not starts(after_end_of(snap, others))
        return
    assert starts(after_end_of(snap, found))
    for size in range(len(found)):
        assert not any(starts(after_end_of(snap, some)) for some in combinations(others, size))


@LAWS
@given(
    free=st.lists(st.integers(0, 8), min_size=1, max_size=4),
    gpus=st.sampled_from([2, 3, 4, 8]),
    count=st.integers(1, 4),
)
def test_no_fewer_gpus_than_said_would_do(free: list[int], gpus: int, count: int) -> None:
    drawing = "\n".join(f"b0/r0 n{i}: {'.' * n}{'#' * (8 - n)}" for i, n in enumerate(free))
    desk, candidate = at_desk(draw(drawing, equal("g", count, gpus)))
    more = [
        sum(extra)
        for extra in product(*(range(9 - n) for n in free))
        if sum((n + e) // gpus for n, e in zip(free, extra, strict=True)) >= count
    ]
    said = nearest(desk, desk.ask(candidate))
    if not more or not min(more):
        assert said == ""
    else:
        assert said.startswith(f"{min(more)} GPU")


def test_slices_in_the_way_are_named_as_asked_for() -> None:
    drawing = "b0/r0 n0: ....####\nb0/r0 n1: ....####\nb0/r1 n2: ....####\nb0/r1 n3: ....####"
    wait = wait_of(draw(drawing, equal("g", 4, 3, topology_slices=(("node", 2),))))
    assert [(blocker.kind, blocker.subject) for blocker in wait.blocking] == [("topology", "node")]
    assert wait.unblock.endswith("It could start now without slices (bayplan.dev/topology-slices).")


def test_pods_of_all_sizes_do_not_fit_into_one_rack_together() -> None:
    members = pods("g", [shape(7), shape(6), shape(5)])
    drawing = "b0/r0 n0: ........\nb0/r0 n1: ........\nb0/r1 n2: ........\nb0/r1 n3: ........"
    wait = wait_of(draw(drawing, gang("g", members, topology_required="rack")))
    assert "the best has room for 3, but not for pods of all sizes together" in wait.detail


def test_nobody_is_named_whose_end_would_not_be_enough() -> None:
    # Either pod would fit where w0 is, but not both.
    work = running("w0", 8, ["n0"]), running("w1", 8, ["n1"])
    wait = wait_of(draw("n0: ........\nn1: ........", *work, gang("g", pods("g", [shape(5), shape(4)]))))
    assert "ended" not in wait.detail


def test_what_turns_out_to_be_needless_is_left_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "TRIES", 0)
    work = [
        running(f"w{i}", gpus, [name])
        for i, (gpus, name) in enumerate([(6, "n0"), (1, "n0"), (1, "n0"), (5, "n1"), (3, "n1")])
    ]
    wait = wait_of(draw("n0: ........\nn1: ........", *work, equal("g", 1, 8)))
    assert wait.detail.endswith("it would fit if team/w3 and team/w4 ended")
