from scheduler.app.queue_status import amounts_of, starts_of
from scheduler.app.queue_verdicts import verdict_on
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import Node
from scheduler.model.plan import Assignment, Reason, Reservation, Wait
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, Resources, extended
from scheduler.model.workload import Pod, PodShape, Problem
from scheduler.quota.forest import in_force
from scheduler.quota.standing import standings
from scheduler.quota.usage import opening_ledger
from scheduler.state.cluster import ClusterState
from scheduler.state.events import NodeSeen, PodSeen, QueueSeen

TEAM, NODE = QueueName("team"), NodeName("n")


def test_a_queue_shows_what_it_uses_borrows_and_waits_for() -> None:
    state = ClusterState()
    state.apply(NodeSeen(node=Node(name=NODE, allocatable=Resources(pods=10, extended=extended({GPU: 8})))))
    state.apply(QueueSeen(queue=Queue(name=TEAM, namespaces=("ns",), total=Quota(nominal_milli_gpu=2000))))
    for index, (gpus, node) in enumerate([(3, NODE), (2, None), (1, None)]):
        shape = PodShape(requests=Resources(pods=1, extended=extended({GPU: gpus})))
        name = f"p{index}"
        pod = Pod(uid=PodUid(name), namespace="ns", name=name, shape=shape, ours=True, managed=True, node=node)
        state.apply(PodSeen(pod=pod))
    snapshot = state.snapshot()
    assert amounts_of(standings(snapshot, opening_ledger(snapshot))[TEAM]) == {
        "nominalMilliGpu": 2000,
        "usedMilliGpu": 3000,
        "borrowedMilliGpu": 1000,
        "lentMilliGpu": 0,
        "pendingMilliGpu": 3000,
        "fairShareMilliGpu": 6000,
        "pendingWorkloads": 2,
        "runningWorkloads": 1,
    }


def test_a_parent_that_does_not_exist_is_quoted() -> None:
    queue = Queue(name=TEAM, parent=QueueName("org"))
    missing = verdict_on(in_force({TEAM: queue}, {})[TEAM])
    assert (missing.status, missing.reason) == ("False", "ParentRefused")
    assert "spec.parent is 'org'" in missing.message
    assert "stands at the top" in missing.message
    org = Queue(name=QueueName("org"))
    assert verdict_on(in_force({TEAM: queue, org.name: org}, {})[TEAM]).status == "True"


def test_a_spec_that_cannot_be_used_is_quoted_and_the_last_one_stays() -> None:
    problem = Problem(where="spec.nominal", value="-1", allowed="a whole number from 0 to 1000000, or left out")
    bad = Queue(name=TEAM, problems=(problem,))
    never = verdict_on(in_force({TEAM: bad}, {})[TEAM])
    assert (never.status, never.reason) == ("False", "SpecRefused")
    assert "spec.nominal is '-1'; allowed: a whole number from 0 to 1000000" in never.message
    assert never.message.endswith("Meanwhile nothing starts in it")
    before = Queue(name=TEAM, total=Quota(nominal_milli_gpu=2000))
    assert verdict_on(in_force({TEAM: bad}, {TEAM: before})[TEAM]).message.endswith("it stays as it was before")


def test_a_namespace_that_another_queue_serves_is_named() -> None:
    said = verdict_on(Queue(name=TEAM, taken=(("ns", QueueName("other")),)))
    assert (said.status, said.reason) == ("False", "NamespaceTaken")
    assert "namespace 'ns' is served by queue other" in said.message


def test_a_queue_shows_who_is_next_and_when() -> None:
    def waits(name: str, queue: QueueName, start_s: int | None) -> Wait:
        kept = None
        if start_s is not None:
            kept = Reservation(
                workload=WorkloadKey(f"gang:ns/{name}"),
                queue=queue,
                made_s=0,
                start_s=start_s,
                latest_s=start_s + 60,
                kept_from_s=start_s,
                kept_from_unknown_s=start_s,
                sure=True,
                assignments=tuple(Assignment(pod=PodUid(f"p{i}"), node=NodeName(f"n{i // 2}")) for i in range(4)),
                milli_gpu=32_000,
            )
        key = WorkloadKey(f"gang:ns/{name}")
        return Wait(workload=key, reason=Reason.FRAGMENTED, message="", reservation=kept)

    told = starts_of([waits("small", TEAM, None), waits("big", TEAM, 3600), waits("later", TEAM, 60)])
    assert told == {
        TEAM: {
            "workload": "ns/big",
            "startsAt": "1970-01-01T01:00:00Z",
            "latestAt": "1970-01-01T01:01:00Z",
            "sure": True,
            "nodes": 2,
            "milliGpu": 32_000,
        }
    }
