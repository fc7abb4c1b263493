"""What `advise` says, on drawings: `#` is held by others, `.` is free or where the named work stands."""

import pytest

from scheduler.model.names import gang_key
from scheduler.model.plan import Admit
from scheduler.model.workload import HostPort, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.defrag.advice import Advice, Move, NoAdvice, OpenDomain, Target
from scheduler.planning.defrag.lifted import lifted
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.moves import frame
from tests.planning.build import draw, drawn, gang, node, pods, queue, shape, single, snapshot
from tests.planning.defrag.asked import NEW, NOW_S, R0, TWO_RACKS, asked, moves, stands, waits, why_not


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


def test_a_domain_label_may_be_asked_for_by_its_key() -> None:
    assert moves(asked(draw(TWO_RACKS, stands("a", 2, "n1")), OpenDomain(level="r", domain="r0"))) == ["a: n1 -> n3"]


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


def test_a_move_waits_if_any_of_its_pods_does() -> None:
    found = asked(draw(TWO_RACKS, stands("a", 2, "n1")), R0)
    assert isinstance(found, Advice)
    assert isinstance(found.moves[0], Move)
    assert not found.moves[0].waits
