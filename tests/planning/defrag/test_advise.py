"""What `advise` says, on drawings: `#` is held by others, `.` is free or where the named work stands."""

# ruff: noqa: ANN401  fields of records are passed on by keyword

from collections.abc import Iterable
from typing import Any

import pytest

from scheduler.model.names import NodeName, PodUid, QueueName, gang_key
from scheduler.model.plan import Admit, Assignment
from scheduler.model.snapshot import InFlight, Snapshot
from scheduler.model.workload import HostPort, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.defrag.advice import Advice, MakeFit, Move, NoAdvice, OpenDomain, Target
from scheduler.planning.defrag.advise import advise
from scheduler.planning.defrag.lifted import lifted
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.moves import frame
from tests.planning.build import draw, drawn, gang, node, pods, queue, shape, single, snapshot

NOW_S = 1000
R0 = OpenDomain(level="rack", domain="r0")
NEW = MakeFit(workload="team/new")

TWO_RACKS = """
    b0/r0 n1: .... ....
    b0/r0 n2: .... ....
    b0/r1 n3: .... ....
    b0/r1 n4: .... ....
"""


def stands(name: str, gpus: int, *nodes: str, since_s: int = 0, **more: Any) -> Workload:
    """A gang with a pod of `gpus` GPUs on each of the nodes."""
    return gang(name, pods(name, [shape(gpus)] * len(nodes), on=nodes, bound_s=since_s), **more)


def waits(name: str, pods_: int, gpus: int, **more: Any) -> Workload:
    return gang(name, pods(name, [shape(gpus)] * pods_), **more)


def asked(snap: Snapshot, target: Target, **more: Any) -> Advice | NoAdvice:
    return advise(snap, target, now_s=NOW_S, settings=PlanSettings(), **more)


def moves(found: Advice | NoAdvice) -> list[str]:
    """The moves in a line each: `a: n1 n2 -> n3 n4`, or `a: n1 -> waits`."""
    assert isinstance(found, Advice), found
    return [
        f"{move.workload.partition('/')[2]}: {_listed(p.source for p in move.pods)} -> "
        + ("waits" if move.waits else _listed(p.target or "" for p in move.pods))
        for move in found.moves
    ]


def _listed(names: Iterable[str]) -> str:
    return " ".join(names)


def why_not(found: Advice | NoAdvice) -> str:
    assert isinstance(found, NoAdvice), moves(found)
    return str(found)


def full(*nodes: str) -> list[Workload]:
    """Old work on whole nodes, so that there is one place for whoever moves."""
    return [stands(f"full-{name}", 8, name, since_s=-1_000_000) for name in nodes]


@pytest.mark.parametrize(
    ("work", "target", "want"),
    [
        pytest.param([stands("a", 2, "n1"), *full("n4")], R0, ["a: n1 -> n3"], id="a pod leaves the rack"),
        pytest.param([stands("a", 2, "n3")], R0, [], id="the rack is open already"),
        pytest.param(
            [stands("a", 2, "n1", "n3"), *full("n4")],
            R0,
            ["a: n1 n3 -> n3 n3"],
            id="a gang moves whole, its other pod too",
        ),
        pytest.param(
            [stands("a", 8, "n1"), stands("b", 2, "n3")], R0, ["a: n1 -> n4"], id="on a node that is free as it is"
        ),
        pytest.param(
            [stands("a", 8, "n1"), stands("b", 2, "n3", since_s=900), stands("c", 1, "n4", since_s=100)],
            R0,
            ["a: n1 -> n3", "b: n3 -> n4"],
            id="the cheaper of two makes way",
        ),
        pytest.param(
            [stands("a", 2, "n1", since_s=10), stands("b", 2, "n3", since_s=20), *full("n2")],
            OpenDomain(level="rack"),
            ["b: n3 -> n1"],
            id="the rack with the younger work",
        ),
        pytest.param(
            [stands("a", 2, "n1"), stands("b", 2, "n2", since_s=900), *full("n3", "n4")],
            OpenDomain(level="rack", domain="r0", nodes=1),
            ["b: n2 -> n1"],
            id="one node of the rack",
        ),
        pytest.param(
            [stands("a", 1, "n1", since_s=500), stands("b", 1, "n2"), *full("n3", "n4")],
            OpenDomain(level="rack", nodes=1),
            ["a: n1 -> n2"],
            id="pods are put together",
        ),
        pytest.param(
            [stands("a", 1, "n1"), *full("n2", "n3")],
            OpenDomain(level="node", domain="n1"),
            ["a: n1 -> n4"],
            id="a node",
        ),
        pytest.param(
            [
                stands("a", 1, "n1", since_s=999),
                stands("b", 1, "n3"),
                *full("n4"),
                waits("new", 2, 8, topology_required="rack"),
            ],
            NEW,
            ["a: n1 -> n3"],
            id="room in one rack for a gang",
        ),
        pytest.param([stands("a", 1, "n1"), waits("new", 2, 8)], NEW, [], id="it fits without moves"),
        pytest.param(
            [*(stands(f"a{i}", 2, f"n{i}", since_s=10 * i) for i in range(1, 5)), waits("new", 3, 8)],
            NEW,
            ["a2: n2 -> n1", "a3: n3 -> n1", "a4: n4 -> n1"],
            id="three nodes anywhere",
        ),
    ],
)
@pytest.mark.parametrize("few", [0, frame.FEW_PLACES], ids=["by classes", "by nodes"])
def test_moves(
    work: list[Workload], target: Target, want: list[str], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "FEW_PLACES", few)
    found = asked(draw(TWO_RACKS, *work), target)
    assert moves(found) == want
    assert isinstance(found, Advice)
    assert found.proof.status == "optimal"
    assert found.proof.cost == found.lost_gpu_seconds == found.proof.bound


@pytest.mark.parametrize("few", [0, frame.FEW_PLACES], ids=["by classes", "by nodes"])
def test_the_nodes_of_one_gang_are_emptied_together(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "FEW_PLACES", few)
    racks = "\n".join([*(f"b0/r0 n{i}: ........" for i in range(1, 4)), *(f"b0/- n{i}: ........" for i in range(4, 7))])
    work = [stands("a", 8, "n1", "n2", "n3"), waits("new", 3, 8, topology_required="rack")]
    assert moves(asked(draw(racks, *work), NEW)) == ["a: n1 n2 n3 -> n4 n5 n6"]


def test_places_are_found_together_where_one_after_the_other_fails() -> None:
    racks = "b0/r0 n1: ....\nb0/r0 n2: ....\nb0/r1 n3: ....\nb0/r2 n4: ..##\nb0/r2 n5: ..##"
    # By itself, a would take n3, the one node that holds all of it; but b fits on no other.
    work = [
        gang("a", pods("a", [shape(2)] * 2, on=["n1", "n1"], bound_s=0), topology_required="rack"),
        stands("b", 4, "n2"),
    ]
    assert sorted(moves(asked(draw(racks, *work), R0))) == ["a: n1 n1 -> n4 n5", "b: n2 -> n3"]


def test_places_of_the_solver_are_taken_where_no_order_of_placing_finds_any() -> None:
    racks = "b0/r0 n1: ........\nb0/r0 n2: ....\nb0/r1 n3: ....\nb0/r2 n4: ....\nb0/r3 n5: ....\n"
    in_r2, on_n3 = (("r", "r2"),), (("kubernetes.io/hostname", "n3"),)
    # b fits anywhere, and by itself would take n3 or n4, which are all that a and c may use.
    work = [
        gang("a", pods("a", [shape(2, node_selector=in_r2)] * 2, on=["n1"] * 2, bound_s=0), topology_required="rack"),
        stands("b", 4, "n1"),
        gang("c", pods("c", [shape(4, node_selector=on_n3)], on=["n2"], bound_s=0)),
    ]
    assert sorted(moves(asked(draw(racks, *work), R0))) == ["a: n1 n1 -> n4 n4", "b: n1 -> n5", "c: n2 -> n3"]


def test_rules_that_the_solver_does_not_know_are_kept_and_the_proof_is_no_more_than_true() -> None:
    port = (HostPort(port=80),)
    a = gang("a", pods("a", [shape(1, host_ports=port)], on=["n1"], bound_s=0))
    b = gang("b", pods("b", [shape(2, host_ports=port)], on=["n2"], bound_s=0))
    c = stands("c", 4, "n4", since_s=900)
    racks = "b0/r0 n1: ........\nb0/r0 n2: ........\nb0/r1 n3: ........\nb0/r1 n4: ....####"
    # a and b cannot share n3, so that c has to leave n4 for one of them.
    found = asked(draw(racks, a, b, c), R0)
    assert isinstance(found, Advice)
    assert {move.workload for move in found.moves} == {a.key, b.key, c.key}
    assert len({move.pods[0].target for move in found.moves if move.workload != c.key}) == 2
    assert (found.proof.status, found.proof.cost, found.proof.bound) == ("feasible", 3400, 3000)


def test_what_is_lost_is_counted_from_each_pods_start() -> None:
    members = (
        *pods("a", [shape(2)], on=["n1"], bound_s=400),
        *pods("b", [shape(4)], on=["n2"], bound_s=None, created_s=900),
    )
    found = asked(draw(TWO_RACKS, gang("a", members)), R0)
    assert isinstance(found, Advice)
    (move,) = found.moves
    assert (move.lost_gpu_seconds, move.running_s, move.milli_gpu) == (2 * 600 + 4 * 100, 600, 6000)
    assert (found.opens, found.domain, found.open_gpus) == (("n1", "n2"), "r0", 16)


def test_the_gang_that_waits_gets_the_nodes_that_are_told() -> None:
    work = [stands("a", 1, "n1", since_s=999), stands("b", 1, "n3"), waits("new", 2, 8, topology_required="rack")]
    found = asked(draw(TWO_RACKS, *work), NEW)
    assert isinstance(found, Advice)
    assert [(seat.name, seat.node, seat.devices) for seat in found.starts] == [
        ("new-0", "n1", tuple(range(8))),
        ("new-1", "n2", tuple(range(8))),
    ]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        pytest.param({"preemptible": False}, "team/a on n1: it is not preemptible", id="not preemptible"),
        pytest.param({"size": 3, "least": 2}, "team/a on n1: part of it is missing", id="incomplete"),
        pytest.param(
            {"queue": None}, "team/a on n1: it could not start again: no queue serves its namespace", id="queue"
        ),
    ],
)
def test_work_that_stays_keeps_a_rack_from_being_opened(more: dict[str, Any], why: str) -> None:
    said = why_not(asked(draw(TWO_RACKS, stands("a", 1, "n1", **more)), R0))
    assert said.startswith("1 node of rack r0 cannot be emptied by moves: ")
    assert why in said


def test_work_that_is_being_started_stays() -> None:
    flight = InFlight(
        workload=gang_key("team", "a"),
        queue=QueueName("a"),
        assignments=(Assignment(pod=PodUid("late-0"), node=NodeName("n2")),),
        milli_gpu=1000,
    )
    members = (*pods("a", [shape(1)], on=["n1"]), *pods("late", [shape(1)]))
    snap = draw(TWO_RACKS, gang("a", members, least=1), in_flight=[flight])
    assert "team/a on n1: it is being started" in why_not(asked(snap, R0))


def test_pods_that_only_kube_scheduler_can_judge_stay() -> None:
    work = single("a", shape(1, scheduler_rules=("volumes",)), on="n1")
    assert "only kube-scheduler can judge" in why_not(asked(draw(TWO_RACKS, work), R0))


def test_work_of_others_stays() -> None:
    snap = draw("b0/r0 n1: #...\nb0/r1 n2: ....")
    assert why_not(asked(snap, R0)) == (
        "1 node of rack r0 cannot be emptied by moves: work of other schedulers holds GPUs there."
    )


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (
            OpenDomain(level="row"),
            "the level is 'row'; allowed: block, rack, node, or the key of a label that nodes have.",
        ),
        (OpenDomain(level="rack", domain="r9"), "no node is in rack 'r9'; there are r0, r1."),
        (OpenDomain(level="rack", nodes=0), "the number of nodes is 0; allowed: 1 or more."),
        (MakeFit(workload="new"), "the workload is 'new'; allowed: NAMESPACE/NAME."),
        (
            MakeFit(workload="team/nwe"),
            "nothing called 'team/nwe' is planned by Bayplan; waiting work with a name like it: team/new.",
        ),
    ],
)
def test_questions_that_name_nothing(target: Target, why: str) -> None:
    found = asked(draw(TWO_RACKS, waits("new", 1, 8)), target)
    assert why_not(found) == why
    assert isinstance(found, NoAdvice)
    assert found.unknown


def test_a_domain_label_may_be_asked_for_by_its_key() -> None:
    assert moves(asked(draw(TWO_RACKS, stands("a", 2, "n1")), OpenDomain(level="r", domain="r0"))) == ["a: n1 -> n3"]


@pytest.mark.parametrize(
    ("waiting", "why"),
    [
        (waits("new", 3, 8, topology_required="rack"), "it would not fit even if all work that may move were gone"),
        (waits("new", 1, 16), "moves do not help team/new"),
        (waits("new", 5, 8, queue=QueueName("b")), "moves do not help team/new: "),
        (waits("new", 2, 8, size=3), "moves do not help team/new: not all pods of the gang have arrived"),
        (stands("new", 1, "n1"), "team/new does not wait: all its pods have nodes"),
    ],
)
def test_moves_do_not_help(waiting: Workload, why: str) -> None:
    queues = (queue(), queue("b", nominal=8, borrow=0))
    found = asked(draw(TWO_RACKS, waiting, queues=queues), NEW)
    assert why_not(found).startswith(why)
    assert isinstance(found, NoAdvice)
    assert not found.unknown
    assert found.certain


def test_what_cannot_be_placed_elsewhere_waits_only_if_that_is_allowed() -> None:
    snap = draw(
        TWO_RACKS, stands("a", 8, "n1", "n2", topology_required="rack"), stands("b", 8, "n3", preemptible=False)
    )
    refused = asked(snap, R0)
    assert why_not(refused) == (
        "no moves open rack r0 and leave a place for all that moves. "
        "It can be done if work may be left waiting: team/a would leave."
    )
    assert isinstance(refused, NoAdvice)
    assert refused.certain
    assert moves(asked(snap, R0, let_wait=True)) == ["a: n1 n2 -> waits"]


def test_a_moved_gang_keeps_its_own_rules() -> None:
    racks = "b0/r0 n1: ....\nb0/r1 n2: ....\nb0/r1 n3: ....\nb0/r2 n4: ....\nb0/r2 n5: ....\nb0/r3 n6: ...."
    work = [
        gang("a", pods("a", [shape(4)] * 2, on=["n1", "n6"]), topology_required="rack"),
        stands("b", 1, "n2", since_s=100),
        stands("c", 1, "n4", since_s=500),
    ]
    # a needs a rack of two free nodes: c, which runs for less time, makes way for it.
    found = asked(draw(racks, *work), R0)
    assert moves(found)[0] == "a: n1 n6 -> n4 n5"
    assert isinstance(found, Advice)
    assert [str(move.workload) for move in found.moves] == ["gang:team/a", "gang:team/c"]


def test_slices_of_a_moved_gang_stay_together() -> None:
    racks = "\n".join(f"b0/r{i // 3} n{i}: .." for i in range(9))
    level = draw(racks).topology[1].name
    members = pods("a", [shape(2)] * 4, on=["n0", "n1", "n3", "n4"])
    work = gang("a", members, topology_slices=((level, 2),))
    found = asked(draw(racks, work, stands("b", 1, "n5")), R0)
    assert isinstance(found, Advice)
    (move,) = found.moves
    homes = [str(pod.target) for pod in move.pods]
    rack = {f"n{i}": i // 3 for i in range(9)}
    assert len({rack[name] for name in homes[:2]}) == len({rack[name] for name in homes[2:]}) == 1
    assert 0 not in {rack[name] for name in homes}


def test_quota_of_a_model_keeps_work_on_its_nodes() -> None:
    h100, _ = drawn("b0/r0 n1: ....\nb0/r1 n2: ....")
    a100 = node("n3", 4, product="NVIDIA-A100-SXM4-80GB", labels={"b": "b0", "r": "r2"})
    work = [stands("a", 4, "n1"), stands("b", 1, "n2", preemptible=False)]
    limited = queue(nominal=100, borrow=0, flavors={"A100": 0})
    assert moves(asked(snapshot([*h100, a100], work), R0)) == ["a: n1 -> n3"]
    assert isinstance(asked(snapshot([*h100, a100], work, queues=[limited]), R0), NoAdvice)


def test_unhealthy_and_cordoned_nodes_are_no_whole_nodes() -> None:
    nodes, _ = drawn("b0/r0 n1: ...x\nb0/r0 n2: ....\nb0/r1 n4: ....")
    nodes.append(node("n3", 4, labels={"b": "b0", "r": "r0"}, unschedulable=True))
    snap = snapshot(nodes, [stands("a", 1, "n2")])
    found = asked(snap, OpenDomain(level="rack", domain="r0", nodes=1))
    assert isinstance(found, Advice)
    assert found.opens == ("n2",)
    assert why_not(asked(snap, OpenDomain(level="rack", domain="r0", nodes=2))).startswith(
        "rack r0 has 1 of 2 nodes that moves can empty"
    )


def test_a_rack_that_is_being_emptied_is_asked_for_again() -> None:
    nodes = [node(f"n{i}", 4, labels={"r": f"r{i // 2}"}, unschedulable=i < 2) for i in range(4)]
    snap = snapshot(nodes, [stands("a", 1, "n1")])
    found = asked(snap, R0)
    assert moves(found) == ["a: n1 -> n2"]
    assert isinstance(found, Advice)
    assert found.opens == ("n0", "n1")
    # Whoever leaves the choice wants nodes that work can start on.
    assert isinstance(advise_any := asked(snap, OpenDomain(level="rack")), Advice)
    assert advise_any.domain == "r1"


def test_following_the_advice_starts_the_waiting_gang_and_all_that_moved() -> None:
    work = [stands(f"a{i}", 2, f"n{i}", since_s=10 * i, created_s=50) for i in range(1, 5)]
    snap = draw(TWO_RACKS, *work, waits("new", 3, 8))
    found = asked(snap, NEW)
    assert isinstance(found, Advice)
    after = lifted(snap, [move.workload for move in found.moves])
    decided = plan(after, now_s=NOW_S, settings=PlanSettings())
    started = {d.workload for d in decided.decisions if isinstance(d, Admit)}
    assert started == {gang_key("team", "new"), *(move.workload for move in found.moves)}


def test_a_pod_alone_goes_to_the_fullest_node() -> None:
    work = [single("a", shape(1), on="n1"), stands("b", 7, "n4", since_s=500), stands("c", 3, "n3")]
    found = asked(draw(TWO_RACKS, *work), R0)
    assert moves(found) == ["a: n1 -> n4"]


@pytest.mark.parametrize(("priority", "overtaken"), [(0, False), (7, True)])
def test_who_comes_before_the_waiting_gang_is_told(priority: int, overtaken: bool) -> None:
    work = [stands("a", 8, "n1", since_s=999), stands("b", 8, "n3"), stands("c", 8, "n4")]
    first = waits("first", 2, 8, topology_required="rack", priority=priority, created_s=5)
    found = asked(draw(TWO_RACKS, *work, first, waits("new", 2, 8, topology_required="rack")), NEW, let_wait=True)
    assert isinstance(found, Advice)
    assert found.overtaken is overtaken


def test_a_budget_of_nothing_proves_nothing() -> None:
    found = asked(draw(TWO_RACKS, stands("a", 2, "n1")), R0, budget_ms=0)
    assert isinstance(found, NoAdvice)
    assert not found.certain


def test_a_move_waits_if_any_of_its_pods_does() -> None:
    found = asked(draw(TWO_RACKS, stands("a", 2, "n1")), R0)
    assert isinstance(found, Advice)
    assert isinstance(found.moves[0], Move)
    assert not found.moves[0].waits
