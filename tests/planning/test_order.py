"""In which order workloads are decided: within queues, between them, and down the tree."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.names import QueueName
from scheduler.model.plan import Admit, Reason, Wait
from scheduler.model.queue import Queue, QueueOrder, Quota
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.candidate import Candidate, candidate_of
from scheduler.planning.cycle import plan
from scheduler.planning.order import Turns
from scheduler.planning.settings import Order, PlanSettings
from scheduler.quota.forest import Forest, in_force
from scheduler.quota.tree import Bill, Ledger
from tests.planning.build import gang, node, pods, shape, single, snapshot


def q(
    name: str,
    parent: str | None = None,
    *,
    nominal: int | None = 0,
    weight: int = 1,
    priority: int = 0,
    order: QueueOrder = "Fair",
) -> Queue:
    """A queue; `nominal` in GPUs, None where it is not given."""
    return Queue(
        name=QueueName(name),
        parent=None if parent is None else QueueName(parent),
        total=Quota(nominal_milli_gpu=1000 * (nominal or 0), given=nominal is not None),
        weight=weight,
        priority=priority,
        order=order,
    )


def asks(queue: str, name: str, gpus: int = 8, *, age: int = 0, priority: int = 0) -> Workload:
    return single(name, shape(gpus), queue=QueueName(queue), created_s=age, priority=priority)


def cluster(queues: list[Queue], *waiting: Workload, nodes: int = 1) -> Snapshot:
    known = in_force({each.name: each for each in queues}, {})
    return snapshot([node(f"n{i}") for i in range(nodes)], list(waiting), queues=list(known.values()))


def started(snap: Snapshot) -> list[str]:
    """Names of the pods that start, in the order in which that was decided."""
    decisions = plan(snap, now_s=0, settings=PlanSettings()).decisions
    return [d.workload.rpartition("/")[2] for d in decisions if isinstance(d, Admit)]


def waits(snap: Snapshot) -> dict[str, Wait]:
    decisions = plan(snap, now_s=0, settings=PlanSettings()).decisions
    return {d.workload.rpartition("/")[2]: d for d in decisions if isinstance(d, Wait)}


def test_the_queue_furthest_below_its_share_goes_first() -> None:
    work = [asks("a", f"a{i}", age=i) for i in range(3)] + [asks("b", f"b{i}", age=10 + i) for i in range(3)]
    assert started(cluster([q("a"), q("b")], *work, nodes=4)) == ["a0", "b0", "a1", "b1"]
    heavy = [q("a"), q("b", weight=3)]
    assert started(cluster(heavy, *work, nodes=4)) == ["a0", "b0", "b1", "b2"]


def test_what_runs_already_counts() -> None:
    stands = gang("old", pods("old", [shape(8)], on=["n0"]), queue=QueueName("a"))
    work = [asks("a", "a0", age=1), asks("b", "b0", age=2)]
    assert started(cluster([q("a"), q("b")], stands, *work, nodes=2)) == ["b0"]


def test_nominal_quota_goes_before_shares() -> None:
    work = [asks("a", "a0", age=1), asks("b", "b0", age=2), asks("b", "b1", age=3)]
    assert started(cluster([q("a"), q("b", nominal=16)], *work, nodes=3)) == ["b0", "b1", "a0"]


def test_a_queue_of_higher_priority_goes_first_beyond_nominal_quota() -> None:
    work = [asks("a", "a0", age=1), asks("b", "b0", age=2), asks("b", "b1", age=3)]
    assert started(cluster([q("a"), q("b", priority=1)], *work, nodes=2)) == ["b0", "b1"]
    assert started(cluster([q("a", nominal=8), q("b", priority=1)], *work, nodes=2)) == ["a0", "b0"]


def test_shares_are_compared_from_the_top_of_the_tree() -> None:
    queues = [q("x", None, nominal=None), q("y", None, nominal=None), q("x1", "x"), q("x2", "x"), q("y1", "y")]
    work = [asks(name, f"{name}-{i}", age=i) for i in range(4) for name in ("x1", "x2", "y1")]
    assert started(cluster(queues, *work, nodes=6)) == ["x1-0", "y1-0", "x2-0", "y1-1", "x1-1", "y1-2"]


def test_priority_counts_within_a_queue_and_not_between_queues() -> None:
    work = [asks("a", "a0", age=1), asks("a", "a1", age=2, priority=5), asks("b", "b0", age=3, priority=-5)]
    assert started(cluster([q("a"), q("b")], *work, nodes=2)) == ["a1", "b0"]


def test_in_a_fair_queue_who_waits_lets_others_pass() -> None:
    work = [asks("a", "big", 16, age=1), asks("a", "small", 4, age=2)]
    assert started(cluster([q("a")], *work)) == ["small"]


def test_in_a_strict_queue_who_waits_holds_back_the_others_and_no_other_queue() -> None:
    work = [asks("a", "big", 16, age=1), asks("a", "small", 4, age=2), asks("a", "tiny", 1, age=3)]
    other = asks("b", "b0", 4, age=9)
    snap = cluster([q("a", order="StrictFIFO"), q("b")], *work, other)
    assert started(snap) == ["b0"]
    told = waits(snap)
    assert told["big"].reason is Reason.INSUFFICIENT_RESOURCES
    assert [told[name].reason for name in ("small", "tiny")] == [Reason.QUEUE_ORDER] * 2
    assert "big" in told["small"].detail
    assert told["small"].message == told["tiny"].message


def test_a_strict_queue_keeps_its_order_where_nominal_quota_ends() -> None:
    # The first borrows, so its turn comes after all that nominal quota covers; what is behind it does not overtake.
    work = [asks("a", "wide", 8, age=1), asks("a", "narrow", 4, age=2), asks("b", "b0", 8, age=3)]
    strict = [q("a", nominal=4, order="StrictFIFO"), q("b", nominal=8)]
    assert started(cluster(strict, *work, nodes=2)) == ["b0", "wide"]
    fair = [q("a", nominal=4), q("b", nominal=8)]
    assert started(cluster(fair, *work, nodes=2)) == ["narrow", "b0"]


def candidates(draw: st.DrawFn) -> list[Candidate]:
    queues = st.sampled_from(["a", "b", "c"])
    drawn = draw(
        st.lists(st.tuples(queues, st.integers(0, 4), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=15)
    )
    work = [asks(name, f"w{i}", gpus, age=age, priority=urgent) for i, (name, gpus, age, urgent) in enumerate(drawn)]
    found = [candidate_of(each) for each in work]
    return [each for each in found if each is not None]


@settings(deadline=None)
@given(st.data())
def test_everybody_has_one_turn_in_an_order_that_depends_on_nothing_else(data: st.DataObject) -> None:
    waiting = data.draw(st.composite(candidates)())
    strict = data.draw(st.sets(st.sampled_from(["a", "b", "c"])))
    queues = [
        msgspec.structs.replace(
            q(name, parent, nominal=data.draw(st.integers(0, 6))), order="StrictFIFO" if name in strict else "Fair"
        )
        for name, parent in (("a", None), ("b", None), ("c", "b"))
    ]
    forest = Forest(in_force({each.name: each for each in queues}, {}))
    room = data.draw(st.integers(0, 30))

    def told(line: list[Candidate]) -> list[str]:
        ledger, left, names = Ledger(forest, {}), 1000 * room, list[str]()
        turns = Turns(line, ledger, lambda: Bill(30_000))
        while batch := turns.next_batch(ledger):
            fit = len(batch) if not batch[0].milli_gpu else min(len(batch), left // batch[0].milli_gpu)
            for each in batch[:fit]:
                ledger = ledger.charge(QueueName(str(each.workload.queue)), Bill(each.milli_gpu))
                left -= each.milli_gpu
            names += [str(each.workload.key) for each in batch]
            names += [str(each.workload.key) for each in turns.decided(batch, fit)]
        return names

    order = told(waiting)
    assert sorted(order) == sorted(str(each.workload.key) for each in waiting)
    assert told(data.draw(st.permutations(waiting))) == order


def test_who_used_much_of_late_yields_where_that_counts() -> None:
    queues = [
        msgspec.structs.replace(q("a"), recent_milli_gpu=16_000, recent_at_s=0),
        msgspec.structs.replace(q("b"), recent_milli_gpu=0, recent_at_s=0),
    ]
    waiting = [single(f"{name}{at}", shape(8), queue=QueueName(name)) for name in "ab" for at in range(2)]
    snap = snapshot([node("n0", 8), node("n1", 8)], waiting, queues=queues)

    def first(half_life_s: int) -> list[str]:
        made = plan(snap, now_s=10, settings=PlanSettings(usage_half_life_s=half_life_s))
        return [d.workload.partition("/")[2] for d in made.decisions if isinstance(d, Admit)]

    assert first(0) == ["a0", "b0"]
    assert first(86_400) == ["b0", "b1"]


@pytest.mark.parametrize(
    ("order", "of_queue", "want"),
    [
        pytest.param("age", "Fair", ["long", "patient", "quick", "untold", "urgent"], id="the older first"),
        pytest.param(
            "relativeWait",
            "Fair",
            ["patient", "quick", "long", "untold", "urgent"],
            id="the longest wait for its length",
        ),
        pytest.param(
            "relativeWait",
            "StrictFIFO",
            ["long", "patient", "quick", "untold", "urgent"],
            id="a queue that keeps its order",
        ),
    ],
)
def test_queues_go_by_age_or_by_waits_in_relation_to_lengths(
    order: Order, of_queue: QueueOrder, want: list[str]
) -> None:
    # Waits of 700, 600, 50, 40 and 1 s; lengths of 10 days, 1000 and 100 s, one that nobody knows, and 1 s.
    waiting = [
        msgspec.structs.replace(asks("a", "long", age=0), duration_s=10 * 86_400),
        msgspec.structs.replace(asks("a", "patient", age=100), duration_s=1000),
        msgspec.structs.replace(asks("a", "quick", age=650), duration_s=100),
        asks("a", "untold", age=660),
        msgspec.structs.replace(asks("a", "urgent", age=699, priority=-1), duration_s=1),
    ]
    for nodes in range(1, 6):
        snap = cluster([q("a", order=of_queue)], *waiting, nodes=nodes)
        made = plan(snap, now_s=700, settings=PlanSettings(order=order)).decisions
        assert [d.workload.rpartition("/")[2] for d in made if isinstance(d, Admit)] == want[:nodes]
