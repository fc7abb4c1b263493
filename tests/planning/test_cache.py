"""What one plan leaves for the next: nothing of it may show in a plan."""

from collections.abc import Sequence
from functools import cache
from typing import cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.names import NodeName
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.room import Room
from tests.planning.build import node, snapshot
from tests.planning.reclaim.cases import asks, runs, team, tree

SETTINGS = PlanSettings(solver_budget_ms=2000, reclaim=True)
NOW_S = 10_000
NODES = [node(f"n{i}", 8) for i in range(4)]
QUEUES = tree(team("a", 0), team("b", 16), team("c", 16))


@cache
def _workload(number: int, queue: str, pods: int, state: str) -> Workload:
    """The same record for the same arguments."""
    name, gpus = f"w{number}", 1 if number % 2 else 2
    if state == "waits":
        return asks(name, queue, pods, gpus * 4)
    made = runs(name, queue, [n.name for n in NODES[:pods]], gpus, since=500 if number % 3 else 10)
    members = tuple(msgspec.structs.replace(pod, deleting=state == "leaves") for pod in made.members)
    return msgspec.structs.replace(made, members=members)


@st.composite
def clusters(draw: st.DrawFn) -> Sequence[Workload]:
    """Some of a few workloads, each in one of a few states; many are the very same from cluster to cluster."""
    states = draw(
        st.lists(st.sampled_from(["", "", "waits", "runs", "runs", "runs", "leaves"]), min_size=8, max_size=8)
    )
    more = draw(st.sets(st.integers(0, 7), max_size=2))
    return [
        _workload(number, "abc"[number % 3], 2 if number in more else 1, state)
        for number, state in enumerate(states)
        if state
    ]


@given(st.lists(clusters(), min_size=2, max_size=4), st.booleans())
def test_plans_and_tables_are_the_same_with_and_without_what_earlier_ones_left(
    states: Sequence[Sequence[Workload]], changes_a_node: bool
) -> None:
    kept = PlanCache()
    for number, workloads in enumerate(states):
        label = {"pool": str(number)} if changes_a_node else {}
        nodes = [*NODES[:3], msgspec.structs.replace(NODES[3], labels=label, name=NodeName("n3"))]
        snap = snapshot(nodes, workloads, queues=QUEUES, generation=number + 1)
        if changes_a_node:
            snap = msgspec.structs.replace(snap, static_generation=number + 1)
        later = plan(snap, now_s=NOW_S, settings=SETTINGS, cache=kept)
        assert later == plan(snap, now_s=NOW_S, settings=SETTINGS)
        assert _tables(snap, kept) == _tables(snap, PlanCache())


def _tables(snap: Snapshot, cache: PlanCache) -> list[object]:
    """Candidates, who stands where, and what decides who may leave."""
    fleet = cache.fleet(snap)
    stands = cache.known.stands.of(snap, fleet, Room(snap, fleet))
    table = cache.known.table.of(snap, fleet, stands.keys)
    columns = [table.priority, table.preemptible, table.first_s, table.core_s, table.milli, table.weighted]
    columns += [table.latest_s, table.leaves, table.elastic, stands.who, stands.rows, stands.amounts]
    numbers = cast("list[int]", table.queue.tolist())
    queues = [None if at < 0 else table.queues[at] for at in numbers]
    candidates = sorted(candidate.workload.key for candidate in cache.candidates(snap))
    return [candidates, stands.keys, queues, [column.tolist() for column in columns]]
