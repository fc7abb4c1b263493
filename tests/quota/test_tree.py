"""Arithmetic of queues."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.names import QueueName
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, GPU_SHARED, Resources, extended
from scheduler.model.workload import PodShape
from scheduler.quota.forest import Forest, in_force
from scheduler.quota.tree import Bill, Ledger, Shortage, bill_for
from tests.planning.build import A, queue

B = QueueName("b")


def ledger(**limits: int | None) -> Ledger:
    """Queues that own 4 GPUs and may borrow as many as is said."""
    queues = {QueueName(name): queue(name, nominal=4, borrow=borrow) for name, borrow in limits.items()}
    return Ledger(Forest(queues), {})


@pytest.mark.parametrize(
    ("borrow", "used", "left"),
    [
        pytest.param(None, 9000, None, id="no limit"),
        pytest.param(0, 1000, 3000, id="nothing to borrow"),
        pytest.param(2, 1000, 5000, id="nominal and what may be borrowed"),
        pytest.param(0, 5000, -1000, id="above its limit"),
    ],
)
def test_headroom(borrow: int | None, used: int, left: int | None) -> None:
    assert ledger(a=borrow).charge(A, Bill(used)).headroom(A) == left


def test_a_charge_makes_a_new_ledger() -> None:
    before = ledger(a=0, b=0)
    after = before.charge(A, Bill(1000), 3)
    assert (before.headroom(A), after.headroom(A), after.headroom(B)) == (4000, 1000, 4000)


def test_flavors_have_limits_of_their_own() -> None:
    limited = Ledger(Forest({A: queue("a", nominal=8, borrow=0, flavors={"H100": 2})}), {})
    used = limited.charge(A, Bill(1000, (("H100", 1000),)))
    assert used.headroom(A) == 7000
    assert used.headroom(A, "H100") == 1000
    assert used.headroom(A, "L40S") is None
    assert used.shortage(A, Bill(2000, (("H100", 2000),))) == Shortage(
        queue=A, flavor="H100", needed_milli_gpu=2000, left_milli_gpu=1000, most_milli_gpu=2000
    )
    assert used.shortage(A, Bill(8000)) == Shortage(
        queue=A, flavor=None, needed_milli_gpu=8000, left_milli_gpu=7000, most_milli_gpu=8000
    )
    assert used.shortage(A, Bill(2000, (("L40S", 2000),))) is None


def test_a_charge_of_nothing_breaks_no_limit() -> None:
    full = ledger(a=0).charge(A, Bill(9000))
    assert full.shortage(A, Bill(0)) is None
    assert full.shortage(A, Bill(1)) == Shortage(
        queue=A, flavor=None, needed_milli_gpu=1, left_milli_gpu=0, most_milli_gpu=4000
    )
    assert full.own_left(A) == 0


@given(st.lists(st.integers(0, 3000), max_size=6), st.integers(1, 4000))
def test_what_is_left_of_its_own_is_what_the_queue_owns(charges: list[int], more: int) -> None:
    used = ledger(a=None)
    for charge in charges:
        used = used.charge(A, Bill(charge))
    assert (more <= used.own_left(A)) == (sum(charges) + more <= 4000)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.dictionaries(st.sampled_from(["x", "y"]), st.integers(1, 9)))),
    st.integers(0, 3),
)
def test_bills_add_up_flavor_by_flavor(parts: list[tuple[int, dict[str, int]]], times: int) -> None:
    total = Bill()
    for n, flavors in parts:
        total = total.plus(Bill(n, tuple(sorted(flavors.items()))), times)
    assert total.total_milli_gpu == times * sum(n for n, _ in parts)
    for flavor in ("x", "y"):
        assert total.of(flavor) == times * sum(flavors.get(flavor, 0) for _, flavors in parts)


@pytest.mark.parametrize(
    ("counts", "product", "want"),
    [
        pytest.param({GPU: 2}, "NVIDIA-H100-80GB-HBM3", Bill(2000, (("H100", 2000),)), id="the model it lands on"),
        pytest.param({GPU: 2}, "NVIDIA-L40S", Bill(2000), id="a model without a quota"),
        pytest.param({GPU: 2}, "", Bill(2000), id="an unknown node"),
        pytest.param(
            {"nvidia.com/mig-3g.40gb": 2}, "NVIDIA-H100-80GB-HBM3", Bill(856, (("3g.40gb", 856),)), id="its profile"
        ),
        pytest.param({"nvidia.com/mig-1g.10gb": 1}, "NVIDIA-H100-80GB-HBM3", Bill(142), id="a profile without a quota"),
        pytest.param({}, "NVIDIA-H100-80GB-HBM3", Bill(0), id="no GPU at all"),
        pytest.param({GPU_SHARED: 2}, "NVIDIA-H100-80GB-HBM3", Bill(500, (("H100", 500),)), id="parts of its model"),
    ],
)
def test_what_a_pod_is_charged(counts: dict[str, int], product: str, want: Bill) -> None:
    no_limit = Quota()
    owner = msgspec.structs.replace(queue("a"), flavors=(("H100", no_limit), ("3g.40gb", no_limit)))
    assert bill_for(owner, PodShape(requests=Resources(extended=extended(counts)), share_milli=250), product) == want


def tree(*queues: Queue, capacity: int | None = None) -> Ledger:
    return Ledger(Forest(in_force({q.name: q for q in queues}, {})), {}, None if capacity is None else Bill(capacity))


def leaf(name: str, parent: str | None, nominal: int, *, borrow: int | None = None, lend: int | None = None) -> Queue:
    total = Quota(nominal_milli_gpu=nominal, borrowing_limit_milli_gpu=borrow, lending_limit_milli_gpu=lend)
    return Queue(name=QueueName(name), parent=None if parent is None else QueueName(parent), total=total)


def test_a_charge_counts_for_every_queue_above() -> None:
    org = tree(leaf("org", None, 10, borrow=0), leaf("a", "org", 4), leaf("b", "org", 6))
    used = org.charge(B, Bill(7))
    assert (used.used_by(QueueName("org")), used.used_by(A)) == (Bill(7), Bill(0))
    assert used.headroom(A) == 3
    assert used.shortage(A, Bill(4)) == Shortage(
        queue=QueueName("org"), flavor=None, needed_milli_gpu=4, left_milli_gpu=3, most_milli_gpu=10
    )
    assert (used.own_left(A), used.own_left(B)) == (3, 0)


def test_what_is_not_lent_stays_free_for_its_owner() -> None:
    org = tree(leaf("org", None, 10, borrow=0), leaf("a", "org", 4), leaf("b", "org", 6, lend=2))
    assert (org.headroom(A), org.headroom(B)) == (6, 10)
    assert org.charge(B, Bill(5)).headroom(A) == 5
    assert org.charge(A, Bill(6)).headroom(B) == 4
    shortage = org.shortage(A, Bill(7))
    assert shortage is not None
    assert (shortage.queue, shortage.most_milli_gpu) == (QueueName("org"), 6)


def test_at_the_top_what_is_not_lent_stays_free_of_what_there_is() -> None:
    top = tree(leaf("a", None, 4), leaf("b", None, 6, lend=0), capacity=12)
    assert (top.headroom(A), top.headroom(B)) == (6, 12)
    assert tree(leaf("a", None, 4), leaf("b", None, 6), capacity=12).headroom(A) is None


def test_who_stays_within_nominal_is_not_held_up_by_what_others_keep() -> None:
    top = tree(leaf("a", None, 4), leaf("b", None, 6, lend=0), capacity=8)
    assert (top.headroom(A), top.headroom(B)) == (4, 8)
    assert top.charge(A, Bill(3)).headroom(A) == 1
    assert top.charge(A, Bill(4)).headroom(A) == 0


@given(st.data())
def test_headroom_is_the_most_that_breaks_no_limit(data: st.DataObject) -> None:
    limits = st.one_of(st.none(), st.integers(0, 8))
    queues: list[Queue] = []
    for at in range(data.draw(st.integers(1, 6))):
        parent = str(data.draw(st.sampled_from(queues)).name) if queues and data.draw(st.booleans()) else None
        queues.append(
            leaf(f"q{at}", parent, data.draw(st.integers(0, 8)), borrow=data.draw(limits), lend=data.draw(limits))
        )
    ledger = tree(*queues, capacity=data.draw(st.integers(0, 30)))
    for each in queues:
        ledger = ledger.charge(each.name, Bill(data.draw(st.integers(0, 6))))
    name = data.draw(st.sampled_from(queues)).name
    for more in range(1, 40):
        after = ledger.charge(name, Bill(more))
        way = ledger.forest.chain(name)
        owns = [False, *(after.used_by(q.name).total_milli_gpu <= q.total.nominal_milli_gpu for q in way)]
        allowed = all(_within(ledger, after, q, own=own) for q, own in zip(way, owns, strict=False))
        allowed = allowed and (owns[-1] or _fits(ledger, after))
        head = ledger.headroom(name)
        assert (head is None or more <= head) == allowed


def _load(ledger: Ledger, queue: Queue) -> int:
    """What is used, and what queues below keep beyond what they use."""
    below = [q for q in ledger.forest.queues.values() if q.parent == queue.name]
    over = sum(max(_load(ledger, q), q.total.kept_milli_gpu) - ledger.used_by(q.name).total_milli_gpu for q in below)
    return ledger.used_by(queue.name).total_milli_gpu + over


def _within(before: Ledger, after: Ledger, queue: Queue, *, own: bool) -> bool:
    """Whether a queue keeps its ceiling; `own`: the one below it that uses more stays within its nominal quota."""
    ceiling = queue.total.ceiling_milli_gpu
    if ceiling is None:
        return True
    if after.used_by(queue.name).total_milli_gpu > ceiling:
        return False
    return not before.forest.kept or own or _load(after, queue) <= max(ceiling, _load(before, queue))


def _fits(before: Ledger, after: Ledger) -> bool:
    if not before.forest.kept or before.capacity is None:
        return True
    tops = [q for q in before.forest.queues.values() if q.parent is None]
    sums = [sum(max(_load(at, q), q.total.kept_milli_gpu) for q in tops) for at in (before, after)]
    return sums[1] <= max(before.capacity.total_milli_gpu, sums[0])
