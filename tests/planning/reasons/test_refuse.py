"""What people are told: the reason, the smallest blocking set, the figures, and what would help."""

import msgspec
import pytest

from scheduler.model.node import Taint
from scheduler.model.plan import Blocker, Reason, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import GangClaim, Problem, Requirement
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from tests.planning.build import draw, equal, gang, node, pods, queue, shape, single, snapshot, waiting

WORD = Problem(where="annotation bayplan.dev/gang-size", value="four", allowed="a whole number above 0")


def wait_of(snap: Snapshot, name: str = "g") -> Wait:
    return waiting(plan(snap, now_s=0, settings=PlanSettings()), name)


# ---- before planning


def test_a_value_that_cannot_be_read_is_quoted() -> None:
    wait = wait_of(draw("n0: ........", equal("g", 1, problems=(WORD,))))
    assert wait.reason is Reason.INVALID_REQUEST
    assert wait.message == "annotation bayplan.dev/gang-size is 'four'; allowed: a whole number above 0"
    assert wait.unblock == "Correct annotation bayplan.dev/gang-size."
    assert wait.problems == (WORD,)


def test_problems_of_members_count_once_each() -> None:
    members = pods("g", [shape()] * 3, problems=(WORD,), gang=GangClaim(name="g"))
    assert wait_of(draw("n0: ........", gang("g", members, problems=(WORD,)))).problems == (WORD,)


def test_an_unknown_level_is_quoted_with_the_levels_there_are() -> None:
    wait = wait_of(draw("n0: ........", equal("g", 1, topology_preferred="shelf")))
    assert wait.message == (
        "topology-preferred is 'shelf'; allowed: a topology level (block, rack, node) or a label key that nodes have"
    )


def test_a_missing_queue_is_quoted_with_the_queues_there_are() -> None:
    wait = wait_of(draw("n0: ........", equal("g", 1, queue=queue("nope").name), queues=[queue("b"), queue("a")]))
    assert wait.reason is Reason.QUEUE_MISSING
    assert wait.message == "queue is 'nope'; allowed: the name of a Queue (a, b)"


def test_without_any_queue_the_problem_says_why() -> None:
    problem = Problem(where="namespace", value="team", allowed="a namespace that a Queue serves")
    wait = wait_of(draw("n0: ........", equal("g", 1, queue=None, problems=(problem,))))
    assert wait.reason is Reason.QUEUE_MISSING
    assert wait.message == str(problem)


def test_gates_of_others_are_waited_for() -> None:
    members = (*pods("g", [shape()]), *pods("h", [shape()], foreign_gates=True))
    wait = wait_of(draw("n0: ........", gang("g", members)))
    assert wait.reason is Reason.GATED_BY_OTHERS
    assert wait.detail.startswith("1 of 2 pending pods")


def test_an_incomplete_gang_says_how_many_arrived() -> None:
    wait = wait_of(draw("n0: ........", gang("g", pods("g", [shape()] * 2), size=4)))
    assert wait.reason is Reason.GANG_INCOMPLETE
    assert wait.detail == "2 of 4 pods have arrived"
    assert wait.blocking == (Blocker(kind="gang", subject="pods", needed=4, available=2, unit="pods"),)


# ---- quota


def test_used_up_quota() -> None:
    stands = gang("stands", pods("stands", [shape(3)], on=["n0"]))
    wait = wait_of(draw("n0: ........", stands, equal("g", 1, 2), queues=[queue("a", nominal=3, borrow=1)]))
    assert wait.reason is Reason.QUOTA_EXHAUSTED
    assert wait.message == "the quota of queue a is used up"
    assert wait.detail == "needs 2 GPUs; queue a may use 4 GPUs and has 1 GPU left"
    assert wait.blocking == (Blocker(kind="quota", subject="a", needed=2000, available=1000, unit="milli-GPU"),)


def test_more_than_a_queue_may_ever_use() -> None:
    wait = wait_of(draw("n0: ........", equal("g", 1, 8), queues=[queue("a", nominal=4, borrow=0)]))
    assert wait.message == "it asks for more than queue a may ever use"


def test_quota_of_a_flavor_is_told_where_other_nodes_have_no_room() -> None:
    nodes = [node("h0", product="H100"), node("l0", product="L40S")]
    snap = snapshot(nodes, [equal("g", 1, 4)], queues=[queue("a", flavors={"H100": 2})], held={"l0": range(8)})
    wait = wait_of(snap)
    assert wait.message == "it asks for more of H100 than queue a may ever use"
    assert wait.blocking == (Blocker(kind="quota", subject="a of H100", needed=4000, available=2000, unit="milli-GPU"),)


def test_the_flavor_that_is_told_is_one_that_it_asks_for() -> None:
    nodes = [node("a0", product="A100"), node("h0", product="H100")]
    wish = gang("g", pods("g", [shape(4, models=("H100",))]))
    wait = wait_of(snapshot(nodes, [wish], queues=[queue("a", flavors={"A100": 0, "H100": 2})]))
    assert wait.message == "it asks for more of H100 than queue a may ever use"


# ---- nodes


H100 = node("h0", product="H100", labels={"zone": "z1"})
TAINTED = node("t0", product="A100", labels={"zone": "z2"}, taints=(Taint(key="spot"),))


@pytest.mark.parametrize(
    ("wanted", "message", "subjects"),
    [
        pytest.param(
            shape(1, node_selector=(("zone", "z3"),)), "no node has the label zone=z3", ["zone=z3"], id="label"
        ),
        pytest.param(
            shape(1, models=("B200", "H200")),
            "no node has GPU model B200 or H200",
            ["GPU model B200 or H200"],
            id="model",
        ),
        pytest.param(
            shape(1, node_selector=(("zone", "z2"),)),
            "no node has the label zone=z2 and only taints that the pod tolerates",
            ["zone=z2", "taints spot:NoSchedule"],
            id="two conditions that no node meets together",
        ),
        pytest.param(
            shape(1, affinity=((Requirement(key="zone", operator="DoesNotExist"),),)),
            "no node has what the required node affinity asks for",
            ["node affinity"],
            id="affinity",
        ),
        pytest.param(
            shape(16), "no node is large enough: a pod needs 16 GPUs", ["nvidia.com/gpu"], id="larger than any node"
        ),
        pytest.param(
            shape(mig="1g.10gb"),
            "no node has 1 MIG slice 1g.10gb",
            ["nvidia.com/mig-1g.10gb"],
            id="a resource that no node has",
        ),
    ],
)
def test_no_node_suits(wanted: object, message: str, subjects: list[str]) -> None:
    wait = wait_of(snapshot([H100, TAINTED], [single("g", wanted)]))  # type: ignore[arg-type]
    assert wait.message == message
    assert [blocker.subject for blocker in wait.blocking] == subjects
    by_size = all(subject.startswith("nvidia.com/") for subject in subjects)
    assert wait.reason is (Reason.INSUFFICIENT_RESOURCES if by_size else Reason.NO_NODE_MATCHES)


def test_what_helps_is_told_as_things_are_spelled() -> None:
    (sliced, model, label) = (
        wait_of(snapshot([H100], [single("g", wanted)])).unblock
        for wanted in (shape(mig="1g.10gb"), shape(1, models=("B200",)), shape(1, node_selector=(("Zone", "Z3"),)))
    )
    assert sliced == "Add nodes with 1 MIG slice 1g.10gb."
    assert model == "Accept other GPU models."
    assert label == "Drop the label Zone=Z3."


def test_slices_that_gpus_could_be_divided_into_are_told_how_to_be_had() -> None:
    for strategy, profile, told in (
        ("mixed", "3g.40gb", ", or divide GPUs otherwise (bayplan mig plan)"),
        ("mixed", "9g.40gb", ""),
        ("single", "3g.40gb", ""),
    ):
        there = node("n0", product="NVIDIA-H100-80GB-HBM3", mig_strategy=strategy)
        helps = wait_of(snapshot([there], [single("g", shape(mig=profile))])).unblock
        assert helps == f"Add nodes with 1 MIG slice {profile}{told}."


def test_no_node_is_ready() -> None:
    wait = wait_of(snapshot([node("n0", ready=False), node("n1", unschedulable=True)], [single("g")]))
    assert [(b.kind, b.subject) for b in wait.blocking] == [("health", "node condition Ready")]


# ---- room


def test_too_few_gpus() -> None:
    wait = wait_of(draw("n0: ......##\nn1: ########", equal("g", 2, 4)))
    assert wait.reason is Reason.INSUFFICIENT_RESOURCES
    assert wait.message == "too few GPUs are free on nodes that suit it"
    assert wait.detail == "needs 8 GPUs; 6 GPUs free on suitable nodes"
    assert wait.blocking == (Blocker(kind="resources", subject="nvidia.com/gpu", needed=8, available=6, unit="GPUs"),)


def test_too_little_memory() -> None:
    wait = wait_of(draw("n0: ........", gang("g", pods("g", [shape(1, memory_bytes=300 << 30)] * 2))))
    assert wait.message == "there would not be room for all its pods even if nothing else stood there"
    assert wait.detail == "needs 600 GiB memory; 512 GiB memory free on suitable nodes"


def test_of_several_models_the_one_with_most_room_is_told() -> None:
    nodes = [node("h0", product="H100"), node("l0", product="L40S"), node("l1", product="L40S")]
    wait = wait_of(snapshot(nodes, [gang("g", pods("g", [shape(8, models=("H100", "L40S"))] * 3))]))
    assert wait.detail == "needs 24 GPUs; 16 GPUs free on suitable nodes"


def test_free_in_sum_but_in_pieces() -> None:
    wait = wait_of(draw("n0: ......##\nn1: ##......", equal("g", 3, 4)))
    assert wait.reason is Reason.FRAGMENTED
    assert wait.message == "enough is free in sum, but not 4 GPUs on one node for every pod"
    assert wait.detail == "room for 2 of 3 pods that need 4 GPUs each; 2 GPUs more would do where least is missing"


def test_pods_of_different_sizes_that_fit_apart_only() -> None:
    members = pods("g", [shape(1, milli_cpu=40_000), shape(0, milli_cpu=24_001)])
    wait = wait_of(draw("n0: ........", gang("g", members)))
    assert wait.reason is Reason.INSUFFICIENT_RESOURCES
    three = pods("g", [shape(1, milli_cpu=40_000), shape(0, milli_cpu=33_000), shape(0, milli_cpu=33_000)])
    wait = wait_of(draw("n0: ........\nn1: ........", gang("g", three)))
    assert wait.reason is Reason.FRAGMENTED
    assert wait.message == "enough is free for each kind of pod, but not for all of them together"
    assert wait.detail.endswith("(proved)")


def test_no_domain_has_room() -> None:
    wait = wait_of(
        draw(
            "b0/r0 n0: ........\nb0/r1 n1: ........\nb0/r1 n2: #.......\n-/- n3: ........",
            equal("g", 2, topology_required="rack"),
        )
    )
    assert wait.reason is Reason.TOPOLOGY_UNSATISFIED
    assert wait.message == "no rack has room for all its pods together"
    assert wait.blocking == (Blocker(kind="topology", subject="rack", needed=2, available=1, unit="pods"),)
    assert "(3 of 4 nodes have the label r)" in wait.detail


def test_messages_do_not_change_with_the_figures() -> None:
    drawings = ["n0: ......##\nn1: ########", "n0: .....###\nn1: ########", "n0: ########\nn1: ########"]
    waits = [wait_of(draw(drawing, equal("g", 2, 4))) for drawing in drawings]
    assert len({(w.reason, w.message, w.unblock) for w in waits}) == 1
    assert len({w.detail for w in waits}) == 3


def test_a_limit_further_up_is_told_as_that() -> None:
    org = queue("org", nominal=8, borrow=0)
    below = [msgspec.structs.replace(queue(name, nominal=4), parent=org.name) for name in ("a", "b")]
    other = single("other", shape(6), on="n0", queue=below[1].name)
    snap = draw("n0: ........\nn1: ........", other, equal("g", 1, 4), queues=[org, *below])
    wait = wait_of(snap)
    assert wait.message == "the quota of queue org, which is above a, is used up"
    assert wait.unblock.startswith("Wait until work of any queue below org ends, or ask for")
