"""Priority classes that keys of other schedulers name: what they come to for pods and gangs."""

import pytest
from msgspec.structs import replace

from scheduler.model.names import WorkloadKey
from scheduler.model.workload import Pod
from scheduler.state.audit import compare, inconsistencies
from scheduler.state.cluster import ClusterState
from scheduler.state.events import JobSeen, PodSeen, PriorityClassGone, PriorityClassSeen
from tests.state.build import job, pod, queue, state_of
from tests.state.test_group_objects import KEY, group, member

HIGH = PriorityClassSeen(uid="h", name="PriorityClass high", value=1000)
LOW = PriorityClassSeen(uid="l", name="WorkloadPriorityClass low", value=-5)
ALONE = WorkloadKey("pod:a/p")


def naming(one: Pod, name: str, **fields: int) -> Pod:
    return replace(one, priority_class=name, priority_key="label x", **fields)


def found(state: ClusterState, key: WorkloadKey = ALONE) -> int:
    assert inconsistencies(state) == []
    return state.snapshot().workloads[key].priority


def test_the_class_that_a_pod_names_goes_before_its_own_number() -> None:
    state = state_of(queue(), HIGH, LOW, naming(pod("p"), LOW.name, priority=7))
    assert found(state) == -5
    state.apply(PodSeen(pod=naming(pod("p"), HIGH.name, priority=7)))
    assert found(state) == 1000
    state.apply(PodSeen(pod=pod("p", priority=7)))
    assert found(state) == 7


def test_a_class_may_come_late_change_and_go() -> None:
    state = state_of(queue(), naming(pod("p"), HIGH.name, priority=7))
    assert found(state) == 7
    (note,) = state.snapshot().workloads[ALONE].notes
    assert note == (
        "label x ('high') is not honoured: there is no PriorityClass of this name, or it may not be read; "
        "the pods' own spec.priorityClassName counts"
    )
    assert state.apply(HIGH)
    assert found(state) == 1000
    assert state.snapshot().workloads[ALONE].notes == ()
    assert not state.apply(HIGH)
    assert state.apply(replace(HIGH, value=2000))
    assert found(state) == 2000
    assert state.apply(PriorityClassGone(uid="h"))
    assert not state.apply(PriorityClassGone(uid="h"))
    assert found(state) == 7


def test_a_job_names_a_class_for_its_pods_unless_they_do() -> None:
    above: JobSeen = replace(job(), priority_class=LOW.name, priority_key="label y")
    state = state_of(queue(), HIGH, LOW, above, pod("p", owner_uid="j", priority=7))
    assert found(state) == -5
    state.apply(PodSeen(pod=naming(pod("p", owner_uid="j", priority=7), HIGH.name)))
    assert found(state) == 1000


@pytest.mark.parametrize(
    ("pods", "said", "want"),
    [
        (["", ""], {"priority_class": HIGH.name}, 1000),
        (["", ""], {"priority_class": HIGH.name, "priority": 50}, 50),
        ([LOW.name, ""], {"priority_class": HIGH.name}, 7),
        ([LOW.name, LOW.name], {"priority_class": HIGH.name}, -5),
        (["", ""], {"priority_class": "PriorityClass lost"}, 7),
        (["", ""], {}, 7),
    ],
)
def test_a_gang_has_the_highest_of_its_pods_unless_its_object_says(
    pods: list[str], said: dict[str, object], want: int
) -> None:
    members = [naming(member(str(n)), name, priority=7) for n, name in enumerate(pods)]
    assert found(state_of(queue(), HIGH, LOW, group(**said), *members), KEY) == want


def test_an_audit_knows_classes() -> None:
    state = state_of(HIGH)
    assert compare(state, [HIGH]).is_clean
    assert compare(state, [replace(HIGH, value=1)]).different == (
        "class PriorityClass high: value is 1, believed 1000",
    )
    assert compare(state, [LOW]).missed == ("class WorkloadPriorityClass low exists, and the state does not know it",)
