"""What is told of words that are not honoured, once for each workload, against a stand-in that keeps events."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from scheduler.app import note_teller
from scheduler.app.note_teller import NoteTeller
from scheduler.kube.effects import Effects
from scheduler.model.plan import Admit, Assignment, Placement, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Linked
from scheduler.scoring.devices.links import all_equal
from tests.app.test_node_teller import EventStore
from tests.state.build import node, pod, queue, shape, state_of

NOTE = "label x ('y') is not honoured: z"
PLAN = Plan(generation=0, decisions=())


def waiting(*notes: str) -> Snapshot:
    return state_of(queue(), replace(pod("p"), notes=notes)).snapshot()


async def _played(store: EventStore, snapshots: Sequence[Snapshot], *, leading: bool = True) -> None:
    effects = Effects(store, may_write=lambda: True, concurrency=4, instance="test")
    teller = NoteTeller(effects, leading=lambda: leading)
    run = asyncio.ensure_future(teller.run())
    for snapshot in snapshots:
        teller.planned(snapshot, PLAN)
        for _ in range(40):
            await asyncio.sleep(0)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


def told(snapshots: Sequence[Snapshot], *, failing: int = 0, leading: bool = True) -> EventStore:
    store = EventStore(failing, namespace="a")
    asyncio.run(_played(store, snapshots, leading=leading))
    return store


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(note_teller, "LOOK_PERIOD_S", 0.0)


def test_it_is_told_once() -> None:
    store = told([waiting(NOTE)] * 3)
    assert (store.told, store.asked) == ([("p", NOTE)], 1)


def test_it_is_told_anew_when_it_changes_and_not_when_there_is_nothing_to_tell() -> None:
    store = told([waiting(NOTE), waiting(NOTE, "more"), waiting()])
    assert store.told == [("p", NOTE), ("p", f"{NOTE}; more")]


def test_it_is_tried_again_where_the_write_failed() -> None:
    assert told([waiting(NOTE)], failing=1).told == [("p", NOTE)]


def test_a_replica_that_does_not_lead_tells_nothing() -> None:
    assert told([waiting(NOTE)], leading=False).asked == 0


def test_pods_that_have_their_node_are_told_nothing() -> None:
    placed = state_of(queue(), replace(pod("p", node="n1"), notes=(NOTE,))).snapshot()
    assert told([placed]).asked == 0


def test_linked_gpus_on_links_that_nobody_reported_are_told_once_though_the_plan_is_over() -> None:
    """The decision is in one plan only, and the event may be written after the next."""
    linked = replace(pod("p", gpus=2), shape=replace(shape(2), linked=Linked.REQUIRED))
    assumed = replace(node("n1"), links=all_equal(8), machine="m", links_assumed=True)
    seen = state_of(queue(), assumed, linked).snapshot()
    (key,) = seen.workloads
    placement = Placement(assignments=(Assignment(pod=linked.uid, node=assumed.name),))
    admitted = Plan(generation=0, decisions=(Admit(workload=key, placement=placement),))

    async def played() -> EventStore:
        store = EventStore(failing=1, namespace="a")
        effects = Effects(store, may_write=lambda: True, concurrency=4, instance="test")
        teller = NoteTeller(effects, leading=lambda: True)
        run = asyncio.ensure_future(teller.run())
        for plan in (admitted, PLAN, admitted):
            teller.planned(seen, plan)
            for _ in range(40):
                await asyncio.sleep(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        return store

    store = asyncio.run(played())
    said = "How the GPUs of n1 are connected is not reported; they are taken to be as in machines of type m"
    assert store.told == [("p", said)]
