"""The checker refuses evictions that nobody has a right to, or that leave something broken."""

from typing import Any

import msgspec
import pytest

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.plan import Admit, Assignment, Decision, Placement, Plan, Reclaim, Victim
from scheduler.model.queue import Quota
from scheduler.model.snapshot import Snapshot
from scheduler.scoring.rules.check import broken_rules
from scheduler.scoring.rules.gone import without_pods
from tests.planning.build import node, snapshot
from tests.planning.reclaim.cases import asks, runs, team, tree

OWNER = WorkloadKey("pod:team/x")


def cluster(*, queues: Any = None, **guest: Any) -> Snapshot:  # noqa: ANN401
    work = [
        runs("guest", "a", ["n1", "n2"], 4, **guest),
        runs("own", "b", ["n1"], 4),
        runs("other", "c", ["n2"], 4),
        asks("x", "b", 1, 4, priority=3),
    ]
    teams = tree(team("a", 0), team("b", 8), team("c", 8)) if queues is None else queues
    return snapshot([node("n1"), node("n2")], work, queues=teams)


def victim(name: str, queue: str, *pods: str) -> Victim:
    uids = tuple(PodUid(pod) for pod in pods)
    return Victim(workload=WorkloadKey(name), queue=QueueName(queue), pods=uids, cost_gpu_seconds=0, why="reclaim")


GUEST = victim("gang:team/guest", "a", "guest-0", "guest-1")


def claim(*victims: Victim, at: str = "n1") -> Reclaim:
    placement = Placement(assignments=(Assignment(pod=PodUid("x-0"), node=NodeName(at)),))
    return Reclaim(workload=OWNER, queue=QueueName("b"), placement=placement, victims=victims)


def broken(snap: Snapshot, *decisions: Decision) -> list[str]:
    return broken_rules(snap, Plan(generation=1, decisions=decisions))


def test_a_lawful_claim_is_accepted() -> None:
    assert broken(cluster(), claim(GUEST)) == []


@pytest.mark.parametrize(
    ("snap", "made", "said"),
    [
        (cluster(), claim(), "4 of nvidia.com/gpu asked for, 0 free"),
        (cluster(preemptible=False), claim(GUEST), "it is not preemptible"),
        (cluster(), claim(victim("gang:team/guest", "a", "guest-0")), "1 of at least 2 pods would be left"),
        (cluster(), claim(victim("pod:team/other", "c", "other-0"), at="n2"), "does not borrow that much"),
        (cluster(), claim(victim("pod:team/own", "b", "nobody")), "pods are evicted that do not stand"),
        (cluster(), claim(GUEST, GUEST), "guest-0 is evicted 2 times"),
        (cluster(queues=tree(team("a", 0), team("b", 4), team("c", 8))), claim(GUEST), "is above nominal quota"),
        (cluster(queues=tree(team("a", 8), team("b", 8), team("c", 8))), claim(GUEST), "does not borrow that much"),
    ],
)
def test_what_is_wrong_is_said(snap: Snapshot, made: Reclaim, said: str) -> None:
    assert any(said in sentence for sentence in broken(snap, made)), broken(snap, made)


def test_equal_priority_of_one_queue_is_no_right() -> None:
    snap = cluster()
    own = victim("pod:team/own", "b", "own-0")
    assert broken(snap, claim(own)) == []
    level = msgspec.structs.replace(snap.workloads[OWNER], priority=0)
    equal = msgspec.structs.replace(snap, workloads={**snap.workloads, OWNER: level})
    assert any("no lower priority" in sentence for sentence in broken(equal, claim(own)))


def test_what_starts_at_once_may_not_count_on_room_that_is_being_left() -> None:
    more = asks("more", "c", 1, 4)
    snap = cluster()
    snap = msgspec.structs.replace(snap, workloads={**snap.workloads, more.key: more})
    placement = Placement(assignments=(Assignment(pod=PodUid("more-0"), node=NodeName("n2")),))
    found = broken(snap, claim(GUEST), Admit(workload=more.key, placement=placement))
    assert found == ["new pods on n2: 4 of nvidia.com/gpu asked for, 0 free"]
    later = Reclaim(workload=more.key, queue=QueueName("c"), placement=placement)
    assert broken(snap, claim(GUEST), later) == []


def test_firm_work_stays_within_nominal_quota() -> None:
    snap = snapshot([node("n1")], [asks("x", "b", 1, 4, preemptible=False)], queues=tree(team("b", 2)))
    admit = Admit(workload=OWNER, placement=claim().placement)
    assert broken(snap, admit) == ["queue b: 4000 milli-GPU for work that is not preemptible, of 2000 that are its own"]


def test_a_snapshot_without_pods_has_all_that_they_held() -> None:
    snap = cluster()
    after = without_pods(snap, {PodUid("guest-0"), PodUid("guest-1")})
    assert after.columns.used[:, -1].tolist() == [4, 4]
    assert {name: len(some) for name, some in after.devices_used.items()} == {"n1": 4, "n2": 4}
    assert after.workloads[GUEST.workload].members == ()
    assert set(after.pod_nodes) == {"own-0", "other-0"}
    assert snap.columns.used[:, -1].tolist() == [8, 8]


def test_firm_work_stays_within_nominal_quota_of_its_model_too() -> None:
    b = msgspec.structs.replace(team("b", 8), flavors=(("H100", Quota(nominal_milli_gpu=2000)),))
    snap = snapshot([node("n1")], [asks("x", "b", 1, 4, preemptible=False)], queues=tree(b))
    admit = Admit(workload=OWNER, placement=claim().placement)
    assert [said for said in broken(snap, admit) if "of H100 for work" in said]


def test_nobody_borrows_what_a_queue_keeps_of_the_cluster() -> None:
    queues = tree(team("a", 0), team("b", 4), team("c", 8, lend=0))
    snap = snapshot([node("n1"), node("n2")], [asks("x", "a", 3, 4)], queues=queues)
    pods = snap.workloads[WorkloadKey("gang:team/x")].members
    placement = Placement(
        assignments=tuple(
            Assignment(pod=pod.uid, node=NodeName(at)) for pod, at in zip(pods, ("n1", "n1", "n2"), strict=True)
        )
    )
    admit = Admit(workload=WorkloadKey("gang:team/x"), placement=placement)
    assert broken(snap, admit) == ["the cluster: 20000 milli-GPU, with what queues keep, of at most 16000"]
    richer = {q.name: q for q in tree(team("a", 12), team("b", 4), team("c", 8, lend=0))}
    owner = msgspec.structs.replace(snap, queues=richer)
    assert broken(owner, admit) == []


def test_nobody_loses_to_what_a_queue_beside_it_borrows() -> None:
    queues = tree(team("east"), team("a", 8, parent="east"), team("c", 4, parent="east"), team("b", 8))
    snap = cluster(queues=queues)
    other = runs("more", "c", ["n2"], 2)
    snap = msgspec.structs.replace(snap, workloads={**snap.workloads, other.key: other})
    assert any("does not borrow that much" in said for said in broken(snap, claim(GUEST)))
