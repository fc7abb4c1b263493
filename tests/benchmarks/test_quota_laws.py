"""The benchmark of what queue trees promise: its cases have everything in them, and it finds what it looks for."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from benchmarks import quota_laws
from benchmarks.quota_cases import case
from benchmarks.quota_exact import could_claim, held_back, most_added, spared
from benchmarks.quota_wider import FROM, wide_case
from scheduler.model.names import NodeName, QueueName, WorkloadKey
from scheduler.model.plan import Plan, Reclaim, Victim
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.candidate import Candidate
from scheduler.planning.cycle import plan
from scheduler.planning.order import Turns
from scheduler.planning.settings import PlanSettings
from tests.planning.build import node, snapshot
from tests.planning.reclaim.cases import NOW_S, asks, decided, runs, team, tree


def there(nodes: int, work: list[Workload], *queues: Queue) -> Snapshot:
    return snapshot([node(f"n{i}", 8) for i in range(nodes)], work, queues=tree(*queues))


@pytest.mark.long
def test_nothing_is_broken() -> None:
    rows = quota_laws.run(quick=True, cases=60)
    assert [(row.what, row.note) for row in rows if row.verdict == "over"] == []


@pytest.mark.parametrize(
    "seed",
    [
        201036,
        211572,
        300159,
        312944,
        403554,
        434977,
        1011068,
        1013006,
        1025614,
        1032065,
        1032251,
        462116,
        1054198,
        1058871,
    ],
)
def test_what_was_broken_once_is_not_broken(seed: int) -> None:
    assert quota_laws.broken_laws(seed) == []


def test_the_same_number_gives_the_same_case() -> None:
    assert [case(seed) for seed in range(5)] == [case(seed) for seed in range(5)]


def test_cases_have_everything_in_them() -> None:
    seen: Counter[str] = Counter()
    for seed in range(200):
        doc = case(seed)
        for queue in doc.queues:
            traits = {
                "below another": queue.parent,
                "borrowing limit": queue.borrowing_limit is not None,
                "lending limit": queue.lending_limit is not None,
                "flavors": queue.flavors,
                "minRuntime": queue.min_runtime,
                "nominal left out": queue.nominal is None,
            }
            seen.update(name for name, there_is in traits.items() if there_is)
        for work in doc.workloads:
            running = any(group.nodes for group in work.pods)
            traits = {
                "running": running,
                "gang": work.gang,
                "elastic": work.min_member is not None,
                "not preemptible": not work.preemptible,
                "rack": work.topology.required,
            }
            seen.update(name for name, there_is in traits.items() if there_is)
    wanted = ["below another", "borrowing limit", "lending limit", "flavors", "minRuntime", "nominal left out"]
    wanted += ["running", "gang", "elastic", "not preemptible", "rack"]
    assert [name for name in wanted if seen[name] < 10] == []


def test_wide_cases_have_more_in_them() -> None:
    seen: Counter[str] = Counter()
    for seed in range(FROM, FROM + 200):
        doc = wide_case(seed)
        for queue in doc.queues:
            traits = {
                "strict": queue.order == "StrictFIFO",
                "cpu": queue.cpu,
                "memory": queue.memory_gib,
                "user limit": queue.user_limit is not None,
                "flavors": queue.flavors,
            }
            seen.update(name for name, there_is in traits.items() if there_is)
        for work in doc.workloads:
            traits = {
                "roles": work.role_minimums,
                "roles that run": work.role_minimums and work.pods[0].nodes,
                "users": work.user,
                "asks for cpu": any(group.cpu for group in work.pods),
                "asks for memory": any(group.memory_gib for group in work.pods),
            }
            seen.update(name for name, there_is in traits.items() if there_is)
    wanted = ["strict", "cpu", "memory", "user limit", "flavors", "roles", "roles that run", "users", "asks for cpu"]
    assert [name for name in [*wanted, "asks for memory"] if seen[name] < 10] == []


def test_who_waits_behind_another_of_a_strict_queue_is_not_missed() -> None:
    work = [runs("r", "a", ["n0"], 6), asks("x", "a", gpus=4), asks("y", "a", gpus=2, created_s=5)]
    strict = msgspec.structs.replace(team("a", 8), order="StrictFIFO")
    assert held_back(there(1, work, team("a", 8))) == set()
    assert held_back(there(1, work, strict)) == {"pod:team/y"}
    assert most_added(there(1, work, team("a", 8))) == 2
    assert most_added(there(1, work, strict)) == 0


def test_idle_gpus_that_waiting_work_could_use_are_found() -> None:
    work = [runs("r", "a", ["n0"], 6), asks("x", "a", gpus=4), asks("y", "a", gpus=4), asks("z", "a", gpus=2)]
    assert most_added(there(2, work, team("a", 8))) == 10
    assert most_added(there(2, work, team("a", 8, borrow=0))) == 2
    assert most_added(there(1, work, team("a", 8))) == 2


def test_a_victim_without_need_is_found() -> None:
    snap = there(2, [runs("r", "b", ["n0"]), runs("s", "b", ["n1"]), asks("x", "a")], team("a", 8), team("b", 8))
    (claim,) = decided(snap).decisions
    assert isinstance(claim, Reclaim)
    assert spared(snap, (), claim) is None
    both = tuple(
        Victim(workload=w.key, queue=w.queue, pods=tuple(p.uid for p in w.placed), cost_gpu_seconds=0, why="reclaim")
        for w in snap.workloads.values()
        if w.placed and w.queue is not None
    )
    assert spared(snap, (), msgspec.structs.replace(claim, victims=both)) is not None


def test_who_could_make_way_is_found() -> None:
    queues = (team("a", 8), team("b", 8, min_runtime_s=50))
    old = there(2, [runs("r", "b", ["n0", "n1"], since=100), asks("x", "a")], *queues)
    young = there(2, [runs("r", "b", ["n0", "n1"], since=10), asks("x", "a")], *queues)
    own = there(2, [runs("r", "b", ["n0"], since=100), asks("x", "a", 2)], *queues)
    key = WorkloadKey("pod:team/x")
    assert could_claim(old, old.workloads[key], NOW_S) == ("gang:team/r",)
    assert could_claim(young, young.workloads[key], NOW_S) is None
    assert could_claim(own, own.workloads[WorkloadKey("gang:team/x")], NOW_S) is None


def test_a_planner_that_evicts_nobody_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def lazy(snapshot: Snapshot, *, now_s: int, settings: PlanSettings, **_: object) -> Plan:
        return plan(snapshot, now_s=now_s, settings=msgspec.structs.replace(settings, reclaim=False))

    monkeypatch.setattr("scheduler.simulate.run.plan", lazy)
    monkeypatch.setattr(quota_laws, "plan", lazy)
    assert {law for seed in range(30) for law, _ in quota_laws.broken_laws(seed)} == {"returns"}


@pytest.mark.long
def test_a_planner_that_keeps_no_order_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def held(self: Turns, batch: Sequence[Candidate], admitted: int) -> list[Candidate]:
        self.__dict__["_strict"] = set[QueueName]()
        return before(self, batch, admitted)

    before = Turns.decided
    monkeypatch.setattr(Turns, "decided", held)
    assert "order" in {law for seed in range(FROM, FROM + 40) for law, _ in quota_laws.broken_laws(seed)}


def test_a_planner_that_looks_at_names_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(snapshot: Snapshot, *, now_s: int, settings: PlanSettings) -> Plan:
        if NodeName("xn0") in snapshot.nodes:
            return Plan(generation=snapshot.generation, decisions=())
        return plan(snapshot, now_s=now_s, settings=settings)

    monkeypatch.setattr(quota_laws, "plan", odd)
    assert "names" in {law for seed in range(5) for law, _ in quota_laws.broken_laws(seed)}
