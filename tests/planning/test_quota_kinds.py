"""Quota of CPU, of memory and of each user: what starts, what waits, and what is said of it."""

import msgspec
import pytest

from scheduler.model.names import QueueName
from scheduler.model.plan import Admit, Plan, Reclaim, Wait
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, Resources, extended
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import PodShape, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.reasons.explain import explain
from scheduler.planning.settings import PlanSettings
from scheduler.quota.forest import in_force
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import gang, node, pods, single, snapshot

GIB = 2**30


def shape(gpus: int, *, cores: int = 0, gib: int = 0) -> PodShape:
    requests = Resources(milli_cpu=1000 * cores, memory_bytes=gib * GIB, pods=1, extended=extended({GPU: gpus}))
    return PodShape(requests=requests)


def team(name: str = "a", *, parent: str | None = None, users: int | None = None, **flavors: Quota) -> Queue:
    return Queue(
        name=QueueName(name),
        parent=None if parent is None else QueueName(parent),
        total=Quota(nominal_milli_gpu=8000),
        flavors=tuple(sorted(flavors.items())),
        user_limit_milli_gpu=None if users is None else 1000 * users,
    )


def limited(flavors: dict[str, Quota]) -> Queue:
    return msgspec.structs.replace(team(), flavors=tuple(sorted(flavors.items())))


def there(work: list[Workload], *queues: Queue, nodes: int = 2) -> Snapshot:
    made = in_force({q.name: q for q in queues}, {})
    return snapshot([node(f"n{i}", 8) for i in range(nodes)], work, queues=tuple(made.values()))


def decided(snap: Snapshot, *, reclaim: bool = False) -> Plan:
    made = plan(snap, now_s=1000, settings=PlanSettings(reclaim=reclaim))
    assert broken_rules(snap, made) == []
    return made


def started(made: Plan) -> list[str]:
    return sorted(d.workload.partition("/")[2] for d in made.decisions if isinstance(d, Admit | Reclaim))


def waits(made: Plan) -> dict[str, Wait]:
    return {d.workload.partition("/")[2]: d for d in made.decisions if isinstance(d, Wait)}


def asks(name: str, gpus: int = 1, *, queue: str = "a", cores: int = 0, gib: int = 0, user: str = "") -> Workload:
    made = single(name, shape(gpus, cores=cores, gib=gib), queue=QueueName(queue))
    return msgspec.structs.replace(made, user=user)


def test_a_queue_that_says_nothing_of_cpu_is_not_limited_in_it() -> None:
    assert started(decided(there([asks("x", cores=64, gib=512)], team()))) == ["x"]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            {"cpu": Quota(nominal_milli_gpu=8000, borrowing_limit_milli_gpu=2000)},
            "needs 6 cores; queue a may use 10 cores and has 4 cores left",
        ),
        (
            {"memory": Quota(nominal_milli_gpu=10 * 1024, borrowing_limit_milli_gpu=0)},
            "needs 8 GiB memory; queue a may use 10 GiB memory and has 2 GiB memory left",
        ),
    ],
)
def test_what_the_queue_has_no_cpu_or_memory_for_waits(limits: dict[str, Quota], said: str) -> None:
    made = decided(there([asks("x", cores=6, gib=8), asks("y", cores=6, gib=8)], limited(limits)))
    assert started(made) == ["x"]
    kind = next(iter(limits))
    wait = waits(made)["y"]
    assert wait.message == f"the quota of {kind} of queue a is used up"
    assert said in explain(wait)[1]


def test_pods_without_gpus_count_too() -> None:
    launcher = gang("g", pods("g", [shape(1), shape(0, cores=4)]), queue=QueueName("a"))
    limit = Quota(nominal_milli_gpu=3000, borrowing_limit_milli_gpu=0)
    assert started(decided(there([launcher], team(cpu=limit)))) == []
    assert started(decided(there([launcher], team(cpu=msgspec.structs.replace(limit, nominal_milli_gpu=4000))))) == [
        "g"
    ]


def test_a_limit_above_holds_for_those_below() -> None:
    org = team("org", cpu=Quota(nominal_milli_gpu=4000, borrowing_limit_milli_gpu=0))
    snap = there([asks("x", cores=4), asks("y", cores=1, queue="b")], org, team(parent="org"), team("b", parent="org"))
    made = decided(snap)
    assert started(made) == ["x"]
    assert "queue org" in waits(made)["y"].message


def test_no_user_uses_more_than_any_one_may() -> None:
    work = [asks(f"{user}{at}", 2, user=user) for user in ("ann", "bob") for at in range(3)]
    made = decided(there(work, team(users=4)))
    assert started(made) == ["ann0", "ann1", "bob0", "bob1"]
    wait = waits(made)["ann2"]
    assert wait.reason.value == "QuotaExhausted"
    assert wait.message == "user ann may use no more of queue a"
    assert "queue a allows 4 GPUs to a user" in explain(wait)[1]


def test_who_does_not_say_whose_it_is_counts_as_one_user() -> None:
    made = decided(there([asks("x", 3), asks("y", 3), asks("z", 3, user="ann")], team(users=4)))
    assert started(made) == ["x", "z"]
    assert waits(made)["y"].message == "pods that do not say whose they are may use no more of queue a"


def test_a_user_is_limited_over_all_queues_below() -> None:
    org = team("org", users=4)
    work = [asks("x", 3, user="ann"), asks("y", 3, user="ann", queue="b"), asks("z", 3, user="bob", queue="b")]
    made = decided(there(work, org, team(parent="org"), team("b", parent="org")))
    assert started(made) == ["x", "z"]


def test_more_than_any_user_may_ever_use_is_said_to_be_that() -> None:
    wait = waits(decided(there([asks("x", 6, user="ann")], team(users=4))))["x"]
    assert wait.message == "it asks for more than queue a allows to any one user"


def test_running_work_of_the_user_counts_and_may_make_way() -> None:
    running = msgspec.structs.replace(single("r", shape(4), on="n0", queue=QueueName("a")), user="ann", priority=0)
    urgent = msgspec.structs.replace(asks("x", 4, user="ann"), priority=5)
    snap = there([running, urgent, asks("y", 4, user="bob")], team(users=4))
    assert started(decided(snap)) == ["y"]
    assert started(decided(snap, reclaim=True)) == ["x", "y"]


def test_nothing_starts_in_a_queue_that_was_deleted() -> None:
    snap = there([asks("x")], msgspec.structs.replace(team(), ending=True))
    wait = waits(decided(snap))["x"]
    assert (wait.reason.value, wait.message) == ("QueueMissing", "queue a was deleted")


def test_what_runs_above_a_lowered_quota_runs_on_and_makes_way_for_who_owns_it() -> None:
    running = [
        msgspec.structs.replace(
            single(f"r{at}", shape(4), on=f"n{at // 2}", queue=QueueName("a")), created_s=at, priority=0
        )
        for at in range(4)
    ]
    lowered = msgspec.structs.replace(team(), total=Quota(nominal_milli_gpu=4000, borrowing_limit_milli_gpu=0))
    assert decided(there(running, lowered, team("b"))).decisions == ()
    snap = there([*running, asks("more", queue="a"), asks("x", 4, queue="b")], lowered, team("b"))
    assert started(decided(snap)) == []
    made = decided(snap, reclaim=True)
    assert started(made) == ["x"]
    assert "more" in waits(made)
