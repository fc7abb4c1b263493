"""Objects that describe gangs: what they say of pods that carry the gang's name, and for how long."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.workload import GangClaim, Pod, RoleMinimums, Workload
from scheduler.state.cluster import ClusterState
from scheduler.state.events import GroupGone, GroupSeen, PodGone
from scheduler.state.gang import DESCRIBED_ALLOWED, SIZE_KEY
from tests.state.build import Thing, pod, queue, state_of

KEY = WorkloadKey("gang:a/pod-group/g")


Fields = dict[str, int]
NO_WORD: Fields = {}


def member(name: str, role: str = "", **claim: int) -> Pod:
    return replace(pod(name), gang=replace(GangClaim(name="pod-group/g"), **claim), role=role)


def group(**fields: object) -> GroupSeen:
    return replace(GroupSeen(uid="o", key=KEY, kind="PodGroup", claim=GangClaim(name="", least=2)), **fields)


def state(*things: Thing) -> ClusterState:
    return state_of(queue(), queue("red"), *things)


def workloads(*things: Thing) -> Mapping[WorkloadKey, Workload]:
    return state(*things).snapshot().workloads


def numbers(workload: Workload) -> tuple[int, int, RoleMinimums]:
    return workload.size, workload.min_member, workload.role_minimums


@pytest.mark.parametrize(
    ("claims", "said", "want"),
    [
        pytest.param([NO_WORD], {"least": 2}, (2, 2, ()), id="fewer pods than are enough"),
        pytest.param([NO_WORD] * 3, {"least": 2}, (3, 2, ()), id="more pods than are enough"),
        pytest.param([NO_WORD], {"size": 4}, (4, 4, ()), id="how many there are"),
        pytest.param([NO_WORD], {"size": 4, "least": 3}, (4, 3, ()), id="both"),
        pytest.param([{"size": 3}], {"size": 4, "least": 2}, (3, 2, ()), id="a pod's size goes first"),
        pytest.param([{"size": 3, "least": 1}], {"least": 2}, (3, 1, ()), id="a pod's least goes first"),
        pytest.param(
            [{"size": 3}], {"role_least": (("r", 1), ("s", 1))}, (3, 2, (("r", 1), ("s", 1))), id="least of roles"
        ),
    ],
)
def test_the_size_of_a_gang_that_an_object_describes(
    claims: list[Fields], said: dict[str, object], want: tuple[int, int, RoleMinimums]
) -> None:
    members = [member(str(n), "", **claim) for n, claim in enumerate(claims)]
    described = group(claim=replace(GangClaim(name=""), **said))
    for things in ([described, *members], [*members, described]):
        found = workloads(*things)
        assert list(found) == [KEY]
        assert numbers(found[KEY]) == want
        assert found[KEY].problems == ()


def test_without_its_object_a_gang_waits_and_says_why() -> None:
    (problem,) = workloads(member("p"))[KEY].problems
    assert (problem.where, problem.allowed) == (f"{SIZE_KEY} of gang a/pod-group/g", DESCRIBED_ALLOWED)


def test_what_an_object_says_fills_what_pods_leave_open() -> None:
    described = group(
        queue=QueueName("red"),
        priority=50,
        preemptible=False,
        topology_required="rack",
        topology_preferred="node",
        topology_slices=(("rack", 2),),
        role_levels=(("r", "rack"),),
        notes=("a note",),
    )
    found = workloads(described, member("p", "r"), member("q"))[KEY]
    assert (found.queue, found.priority, found.preemptible) == ("red", 50, False)
    assert (found.topology_required, found.topology_preferred) == ("rack", "node")
    assert (found.topology_slices, found.notes) == ((("rack", 2),), ("a note",))
    assert [(p.name, p.role_required) for p in found.members] == [("p", "rack"), ("q", None)]
    own = replace(member("p"), queue=QueueName("default"), topology_required="block", topology_slices=(("block", 4),))
    found = workloads(described, own)[KEY]
    assert (found.queue, found.topology_required, found.topology_slices) == ("default", "block", (("block", 4),))


def test_an_unknown_queue_is_named_where_it_stands() -> None:
    described = group(queue=QueueName("ghost"), queue_key="spec.queue of PodGroup g")
    assert [p.where for p in workloads(described, member("p"))[KEY].problems] == ["spec.queue of PodGroup g"]
    named = replace(member("p"), queue=QueueName("ghost"), queue_key="label kai.scheduler/queue")
    assert [p.where for p in workloads(group(), named)[KEY].problems] == ["label kai.scheduler/queue"]


def test_roles_that_start_one_after_the_other_are_gangs_of_their_own() -> None:
    described = group(form="roles", claim=GangClaim(name="", size=3), role_sizes=(("leader", 1), ("worker", 2)))
    found = workloads(described, member("l", "leader", size=3), member("w", "worker", size=3))
    assert {key: numbers(one) for key, one in found.items()} == {
        f"{KEY}/leader": (1, 1, ()),
        f"{KEY}/worker": (2, 2, ()),
    }
    assert all(one.problems == () for one in found.values())


def test_each_part_of_a_workload_is_a_gang_or_none() -> None:
    described = group(form="parts", claim=GangClaim(name=""), role_sizes=(("all", 2), ("basic", 0)))
    members = [
        replace(member(name, role), gang=GangClaim(name=f"w/{role}/{replica}", group="pod-group/g"))
        for name, role, replica in (("p", "all", "0"), ("q", "all", "1"), ("b", "basic", "0"))
    ]
    found = workloads(described, *members)
    assert {key: numbers(one) for key, one in found.items()} == {
        "gang:a/w/all/0": (2, 2, ()),
        "gang:a/w/all/1": (2, 2, ()),
        "pod:a/b": (1, 1, ()),
    }


def test_pods_of_a_group_that_is_no_gang_stand_alone() -> None:
    assert list(workloads(group(form="alone"), member("p"))) == ["pod:a/p"]
    unmanaged = replace(member("p"), managed=False)
    assert list(workloads(group(form="alone"), unmanaged)) == []


def test_of_two_objects_of_one_name_the_first_by_kind_counts() -> None:
    other = group(uid="o2", kind="Another", claim=GangClaim(name="", least=5))
    for things in ([group(), other], [other, group()]):
        assert workloads(*things, member("p"))[KEY].min_member == 5


def test_the_word_of_an_object_holds_as_long_as_its_pods_are_there() -> None:
    kept = state(group(), member("p"), member("q"))
    assert not kept.apply(GroupGone(uid="o"))
    assert kept.snapshot().workloads[KEY].problems == ()
    assert list(kept.facts())[-1] == GroupGone(uid="o")
    for name in ("p", "q"):
        kept.apply(PodGone(uid=pod(name).uid))
    assert not [fact for fact in kept.facts() if isinstance(fact, GroupSeen)]
    again = state(group())
    assert again.apply(GroupGone(uid="o"))
    assert not again.apply(GroupGone(uid="o"))


def test_an_object_that_changes_changes_its_gang() -> None:
    kept = state(group(), member("p"), member("q"), member("r"))
    assert not kept.apply(group())
    assert kept.apply(group(claim=GangClaim(name="", least=3)))
    assert kept.snapshot().workloads[KEY].min_member == 3
    assert kept.apply(group(form="alone"))
    assert sorted(kept.snapshot().workloads) == ["pod:a/p", "pod:a/q", "pod:a/r"]
