"""Who belongs to which workload, and what is said where a gang's members contradict each other."""

import pytest
from msgspec.structs import replace

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.workload import GangClaim, Pod, Problem, RoleMinimums, Workload
from scheduler.state.events import JobSeen
from scheduler.state.gang import ROLES_KEY, SIZE_ALLOWED
from scheduler.state.grouping import key_of
from tests.state.build import Thing, foreign, job, pod, queue, state_of

GANG = WorkloadKey("gang:a/g")


MARKED = job(gang=GangClaim(name="g"))


@pytest.mark.parametrize(
    ("member", "above", "key"),
    [
        (pod("p"), None, "pod:a/p"),
        (pod("p", gang="g"), None, "gang:a/g"),
        (pod("p"), MARKED, "gang:a/g"),
        (pod("p", managed=False), MARKED, "gang:a/g"),
        (pod("p", managed=False), job(), None),
        (pod("p", gang="own"), MARKED, "gang:a/own"),
        (foreign("f"), MARKED, None),
    ],
)
def test_membership(member: Pod, above: JobSeen | None, key: str | None) -> None:
    assert key_of(member, above) == key


def gang_of(*things: Thing) -> Workload:
    return state_of(queue("red"), queue("blue", "b"), queue(), *things).snapshot().workloads[GANG]


def said(workload: Workload) -> list[str]:
    return [str(p) for p in workload.problems]


def test_a_gang_s_record_covers_all_members_in_order_of_index_and_name() -> None:
    workload = gang_of(
        pod("z", gang="g", size=4, index=0, priority=1, created_s=9, duration_s=60),
        pod("b", gang="g", size=4, priority=7, created_s=5, preemptible=False),
        pod("a", gang="g", size=4, created_s=7, topology_required="rack"),
        pod("y", gang="g", size=4, index=2, duration_s=90),
    )
    assert [m.name for m in workload.members] == ["z", "y", "a", "b"]
    assert (workload.is_gang, workload.size, workload.min_member) == (True, 4, 4)
    assert (workload.priority, workload.created_s, workload.duration_s) == (7, 0, 90)
    assert (workload.topology_required, workload.preemptible, workload.queue) == ("rack", False, "default")
    assert said(workload) == []


@pytest.mark.parametrize(
    ("told", "deadline", "known"),
    [
        ((60, 90), None, 90),
        ((60, 90), 70, 70),
        ((None, None), 70, 70),
        ((None, 30), 70, 70),
        ((None, None), None, None),
    ],
)
def test_a_gang_runs_as_long_as_its_longest_member_and_no_longer_than_its_job(
    told: tuple[int | None, int | None], deadline: int | None, known: int | None
) -> None:
    first, second = told
    things = [pod("x", gang="g", size=2, owner_uid="j", duration_s=first)]
    things += [pod("y", gang="g", size=2, owner_uid="j", duration_s=second)]
    assert gang_of(*things, job(deadline_s=deadline)).duration_s == known
    single = state_of(queue(), pod("z", owner_uid="j", duration_s=second), job(deadline_s=deadline)).snapshot()
    ends_s = [n for n in (second, deadline) if n is not None]
    assert single.workloads[WorkloadKey("pod:a/z")].duration_s == min(ends_s, default=None)


def test_a_gang_stands_with_as_many_as_its_members_claim_to_need() -> None:
    def claims(name: str, least: int | None) -> Pod:
        return replace(pod(name, gang="g"), gang=GangClaim(name="g", size=3, least=least))

    workload = gang_of(claims("p", 1), claims("q", 2), claims("r", None))
    assert (workload.size, workload.min_member) == (3, 2)
    assert (gang_of(claims("p", 9)).min_member, said(gang_of(claims("p", 9)))) == (
        3,
        ["annotation bayplan.dev/gang-min of gang a/g is '9'; allowed: at most its size, 3"],
    )


def test_a_gang_without_a_size_has_as_many_pods_as_there_are_and_its_least_at_least() -> None:
    def claims(*names: str) -> Workload:
        return gang_of(*(replace(pod(name, gang="g"), gang=GangClaim(name="g", least=2)) for name in names))

    assert [(w.size, w.min_member, said(w)) for w in (claims("p"), claims("p", "q", "r"))] == [(2, 2, []), (3, 2, [])]


LEADER, WORKER = ("leader", 1), ("worker", 2)


@pytest.mark.parametrize(
    ("claims", "size", "least", "minimums", "sentences"),
    [
        pytest.param([GangClaim(name="g", size=5, role_least=(LEADER, WORKER))], 5, 3, (LEADER, WORKER), [], id="sum"),
        pytest.param(
            [GangClaim(name="g", size=5, least=4, role_least=(LEADER, WORKER))], 5, 4, (LEADER, WORKER), [], id="more"
        ),
        pytest.param([GangClaim(name="g", role_least=(LEADER,))], 1, 1, (LEADER,), [], id="no size"),
        pytest.param(
            [GangClaim(name="g", size=5, role_least=(role,)) for role in (WORKER, LEADER)],
            5,
            1,
            (LEADER,),
            [f"{ROLES_KEY} of gang a/g is 'leader=1 and worker=2'; allowed: one value for all members"],
            id="two words",
        ),
        pytest.param(
            [GangClaim(name="g", size=2), GangClaim(name="g", role_least=(LEADER, WORKER))],
            2,
            2,
            (),
            ["annotation bayplan.dev/gang-min of gang a/g is '3'; allowed: at most its size, 2"],
            id="more than there are",
        ),
    ],
)
def test_the_minimums_of_roles(
    claims: list[GangClaim], size: int, least: int, minimums: RoleMinimums, sentences: list[str]
) -> None:
    workload = gang_of(*(replace(pod(str(n), gang="g"), gang=claim) for n, claim in enumerate(claims)))
    assert (workload.size, workload.min_member, workload.role_minimums) == (size, least, minimums)
    assert said(workload) == sentences


@pytest.mark.parametrize(
    ("things", "size", "sentences"),
    [
        pytest.param(
            [pod("p", gang="g", size=2), pod("q", gang="g", size=3)],
            3,
            ["annotation bayplan.dev/gang-size of gang a/g is '2 and 3'; allowed: one size for all members"],
            id="two sizes",
        ),
        pytest.param([pod("p", gang="g", size=2), pod("q", gang="g")], 2, [], id="one member states it"),
        pytest.param(
            [pod("p", gang="g")],
            1,
            [
                f"annotation bayplan.dev/gang-size of gang a/g is ''; allowed: {SIZE_ALLOWED}",
            ],
            id="nobody states it",
        ),
        pytest.param([pod("p", gang="g", owner_uid="j"), job(completions=4)], 4, [], id="its Indexed Job"),
        pytest.param([pod("p", owner_uid="j"), job(gang=GangClaim(name="g", size=5))], 5, [], id="its marked Job"),
        pytest.param(
            [pod("p", gang="g", size=2, owner_uid="j"), job(completions=4)], 2, [], id="a stated size goes first"
        ),
        pytest.param(
            [pod("p", gang="g", owner_uid="j"), job(completions=4, gang=GangClaim(name="other", size=9))],
            4,
            [],
            id="its Job's mark is of another gang",
        ),
        pytest.param(
            [pod("p", gang="g", owner_uid="j"), job(completions=4, succeeded=3)], 1, [], id="three have done their work"
        ),
        pytest.param(
            [pod(n, gang="g", size=2) for n in "pqr"],
            2,
            ["number of pods of gang a/g is '3'; allowed: at most its size, 2"],
            id="one too many",
        ),
        pytest.param(
            [*(pod(n, gang="g", size=2) for n in "pq"), pod("r", gang="g", size=2, deleting=True)],
            2,
            [],
            id="a leaving pod and its replacement",
        ),
    ],
)
def test_the_size_of_a_gang(things: list[Thing], size: int, sentences: list[str]) -> None:
    workload = gang_of(*things)
    assert (workload.size, said(workload)) == (size, sentences)


def test_an_unreadable_size_is_not_also_called_missing() -> None:
    bad = Problem(where="annotation bayplan.dev/gang-size", value="four", allowed="a whole number from 1 to 150000")
    workload = gang_of(pod("p", gang="g", problems=(bad,)), pod("q", gang="g", problems=(bad,)))
    assert workload.problems == (bad,)
    assert workload.size == 2


RED = QueueName("red")
EXISTING = "the name of a Queue (blue, default, red)"


@pytest.mark.parametrize(
    ("things", "found", "sentences"),
    [
        pytest.param([pod("p", gang="g", size=1, queue=RED)], "red", [], id="by its label"),
        pytest.param([pod("p", gang="g", size=1, owner_uid="j"), job(queue=RED)], "red", [], id="by its Job's label"),
        pytest.param([pod("p", gang="g", size=1)], "default", [], id="by default"),
        pytest.param(
            [pod("p", gang="g", size=2, queue=RED), pod("q", gang="g", size=2, queue=QueueName("blue"))],
            None,
            ["label bayplan.dev/queue of gang a/g is 'blue and red'; allowed: one queue for all members"],
            id="two",
        ),
        pytest.param(
            [pod("p", gang="g", size=2, queue=QueueName("default")), pod("q", gang="g", size=2)],
            "default",
            [],
            id="named by one, found by the other",
        ),
        pytest.param(
            [pod("p", gang="g", size=1, queue=QueueName("ghost"))],
            None,
            [f"label bayplan.dev/queue is 'ghost'; allowed: {EXISTING}"],
            id="one that does not exist",
        ),
        pytest.param(
            [pod("p", gang="g", size=2, queue=QueueName("ghost")), pod("q", gang="g", size=2, queue=RED)],
            None,
            [f"label bayplan.dev/queue is 'ghost'; allowed: {EXISTING}"],
            id="one of two does not exist",
        ),
    ],
)
def test_the_queue_of_a_gang(things: list[Thing], found: str | None, sentences: list[str]) -> None:
    workload = gang_of(*things)
    assert (workload.queue, said(workload)) == (found, sentences)


def alone(*things: Thing) -> Workload:
    return state_of(*things).snapshot().workloads[WorkloadKey("pod:a/p")]


def test_the_queue_of_a_pod_is_that_of_its_namespace_before_the_default_one() -> None:
    assert alone(pod("p"), queue(), queue("team-2", "x", "a"), queue("team-1", "a")).queue == "team-1"


def test_a_pod_that_no_queue_serves_is_told_which_there_are() -> None:
    many = [queue(f"q{i}", "elsewhere") for i in range(10)]
    workload = alone(pod("p"), *many)
    assert workload.queue is None
    names = "q0, q1, q2, q3, q4, q5, q6, q7 and 2 more"
    unserved = "no Queue serves the namespace 'a'"
    assert said(workload) == [f"label bayplan.dev/queue is ''; allowed: the name of a Queue ({names}); {unserved}"]
    assert "(there is none yet)" in said(alone(pod("p")))[0]


def test_topologies_that_differ_are_quoted() -> None:
    workload = gang_of(
        pod("p", gang="g", size=2, topology_required="rack"), pod("q", gang="g", size=2, topology_required="block")
    )
    assert workload.topology_required == "block"
    assert said(workload) == [
        "annotation bayplan.dev/topology-required of gang a/g is 'block and rack'; allowed: one value for all members"
    ]


def test_what_only_gangs_can_have_is_refused_on_a_pod_alone() -> None:
    alone = pod("p", topology_exclusive="rack", topology_slices=(("rack", 4), ("node", 2)), role_required="block")
    (workload,) = state_of(queue(), alone).snapshot().workloads.values()
    assert said(workload) == [
        f"annotation bayplan.dev/{key} is '{value}'; allowed: only on the pods of a gang"
        for key, value in (
            ("topology-slices", "rack=4,node=2"),
            ("topology-exclusive", "rack"),
            ("role-topology-required", "block"),
        )
    ]


@pytest.mark.parametrize(
    ("levels", "stated"),
    [(("rack", "rack"), None), (("rack", "block"), "block and rack"), (("rack", None), "(none) and rack")],
)
def test_pods_of_one_role_agree(levels: tuple[str | None, str | None], stated: str | None) -> None:
    members = (pod(f"p{at}", gang="g", size=2, role="worker", role_required=level) for at, level in enumerate(levels))
    where = "annotation bayplan.dev/role-topology-required of role worker of gang a/g"
    sentence = f"{where} is '{stated}'; allowed: one value for all members"
    assert said(gang_of(*members)) == ([] if stated is None else [sentence])
