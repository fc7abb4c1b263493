import pytest
from msgspec.structs import replace

from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import TopologyLevel
from scheduler.model.snapshot import InFlight
from scheduler.state.audit import AuditReport, compare, inconsistencies, violations
from scheduler.state.events import NodeGone, PodGone, QueueSeen, TopologySeen
from tests.state.build import N1, N2, Thing, event_of, foreign, job, node, pod, queue, report, reserved, state_of

CLUSTER: tuple[Thing, ...] = (
    node(),
    report(p=(1,)),
    queue(),
    job(completions=2),
    TopologySeen(name="t", levels=(TopologyLevel(name="rack", label="r"),)),
    pod("p", node=N1),
    foreign("f", node=N1),
    foreign("elsewhere"),
)


def test_what_is_as_listed_shows_no_difference() -> None:
    state = state_of(*CLUSTER, pod("q"))
    state.apply(reserved("pod:a/q", ("q", "n1", (0,)), milli_gpu=1000))
    fresh = [event_of(thing) for thing in (*CLUSTER, pod("q"))]
    assert compare(state, fresh) == AuditReport()
    assert compare(state, fresh).is_clean


def test_what_is_missed_redundant_or_different_is_named() -> None:
    state = state_of(node(), node("n2"), pod("old"), pod("p", priority=1))
    fresh = [event_of(t) for t in (node(), pod("new"), pod("p", priority=2), job(), report(), queue("red"))]
    found = compare(state, fresh)
    assert found.missed == tuple(
        f"{name} exists, and the state does not know it"
        for name in ("job a/j", "pod a/new", "queue red", "report on node n1")
    )
    assert found.redundant == tuple(f"{name} is believed in, and does not exist" for name in ("node n2", "pod a/old"))
    assert found.different == ("pod a/p: priority is 2, believed 1",)
    assert not found.is_clean


def test_a_state_that_forgot_to_refresh_is_found_out() -> None:
    state = state_of(*CLUSTER)
    snapshot = state.snapshot()
    assert inconsistencies(state) == []
    wrong = replace(
        snapshot, devices_used={N1: frozenset({5})}, columns=replace(snapshot.columns, used=snapshot.columns.used + 1)
    )
    state.snapshot = lambda: wrong  # type: ignore[method-assign]
    first, second = inconsistencies(state)
    assert first.startswith("devices_used differs from what is made from scratch: n1 is frozenset({5})")
    assert second.startswith("used of node n1 is [2001 ")


@pytest.mark.parametrize(
    ("things", "sentences"),
    [
        pytest.param(CLUSTER, [], id="nothing wrong"),
        pytest.param(
            [node(), report(p=(1, 2), q=(2,)), pod("p", gpus=2, node=N1), pod("q", node=N1)],
            ["GPU 2 of node n1 is held by a/p and a/q"],
            id="two holders",
        ),
        pytest.param(
            [
                node(),
                report(),
                pod("p"),
                pod("q"),
                reserved("pod:a/p", ("p", "n1", (3,))),
                reserved("pod:a/q", ("q", "n1", (3,))),
            ],
            ["GPU 3 of node n1 is planned for a/p and a/q"],
            id="two plans for one device",
        ),
        pytest.param(
            [node(gpus=2), pod("p", gpus=2, node=N1), pod("q", node=N1)],
            ["node n1 has 2 nvidia.com/gpu, and 3 are used"],
            id="over-committed",
        ),
        pytest.param(
            [node(gpus=2), pod("p", gpus=2), reserved("pod:a/p", ("p", "n1", ())), pod("q", node=N1)],
            ["node n1 has 2 nvidia.com/gpu, and 3 are used"],
            id="over-committed by a plan",
        ),
        pytest.param(
            [node(gpus=2), report(gpus=2, sick=(0,)), pod("p", gpus=2, node=N1)], [], id="fell sick under its pod"
        ),
        pytest.param([node(gpus=0), foreign("f", node=N1, shape=pod("x").shape)], [], id="none of our business"),
        pytest.param([pod("p", node=N2)], [], id="its node is gone"),
        pytest.param(
            [node(), pod("p0", gang="g", size=2, node=N1, bound_s=5), pod("p1", gang="g", size=2, created_s=5)],
            ["gang a/g stands with 1 of 2 pods, and nothing is under way for the rest"],
            id="half a gang",
        ),
        pytest.param(
            [node(), pod("p0", gang="g", size=2, node=N1, bound_s=5), pod("p1", gang="g", size=2, created_s=6)],
            [],
            id="a gang that lost a member and waits for the next",
        ),
        pytest.param(
            [
                node(),
                *(pod(f"p{i}", gang="g", size=2, node=n) for i, n in enumerate((N1, None))),
                reserved("gang:a/g", ("p1", "n1", ())),
            ],
            [],
            id="half a gang on its way",
        ),
        pytest.param([node(), pod("p0", gang="g", size=2, node=N1)], [], id="half a gang whose rest does not exist"),
    ],
)
def test_rules_that_always_hold(things: list[Thing], sentences: list[str]) -> None:
    assert violations(state_of(*things).snapshot()) == sentences


def test_a_flight_of_a_bound_pod_and_of_a_stranger_and_lost_use_are_found_out() -> None:
    state = state_of(node(), pod("p", node=N1), pod("q"))
    state.apply(reserved("pod:a/q", ("q", "n1", ())))
    snapshot = state.snapshot()
    flight = snapshot.in_flight[next(iter(snapshot.in_flight))]
    odd = InFlight(
        workload=flight.workload,
        queue=flight.queue,
        assignments=(*flight.assignments, replace(flight.assignments[0], pod=PodUid("stranger"))),
        milli_gpu=0,
    )
    bound = replace(snapshot.workloads[flight.workload], members=(pod("q", node=NodeName("n1")),))
    broken = replace(
        snapshot,
        in_flight={flight.workload: odd},
        workloads={**snapshot.workloads, flight.workload: bound},
        columns=replace(snapshot.columns, used=snapshot.columns.used * 0),
    )
    assert violations(broken) == [
        "pod a/q is bound to n1, and still in flight",
        "the plan of a/q places pod stranger, which is no member",
        "node n1 counts 0 milli_cpu as used, and ours take 2000",
        "node n1 counts 0 pods as used, and ours take 2",
        "node n1 counts 0 nvidia.com/gpu as used, and ours take 2",
    ]


def test_the_audit_does_not_disturb_the_state() -> None:
    state = state_of(*CLUSTER)
    before = state.snapshot()
    compare(state, [QueueSeen(queue=queue("x"))])
    inconsistencies(state)
    assert state.snapshot() is before
    assert state.apply(NodeGone(name=N1))
    assert state.apply(PodGone(uid=PodUid("p")))
