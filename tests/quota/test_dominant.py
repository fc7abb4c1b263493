"""Fair shares of several things: who has how large a part of what there is least of."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.names import QueueName
from scheduler.model.queue import Queue, Quota
from scheduler.quota.dominant import fair_bills, things_of, used_parts
from scheduler.quota.forest import Forest, in_force
from scheduler.quota.share import fair_shares
from scheduler.quota.tree import Bill

CPU = Quota(nominal_milli_gpu=0)


def q(name: str, nominal: int = 0, *, parent: str | None = None, weight: int = 1, **flavors: Quota) -> Queue:
    above = None if parent is None else QueueName(parent)
    total = Quota(nominal_milli_gpu=nominal)
    kinds = tuple(sorted(flavors.items()))
    return Queue(name=QueueName(name), parent=above, total=total, weight=weight, flavors=kinds)


def forest(*queues: Queue) -> Forest:
    return Forest(in_force({queue.name: queue for queue in queues}, {}))


def bill(gpus: int, cpu: int) -> Bill:
    return Bill(gpus, (("cpu", cpu),))


def shares(known: Forest, demand: dict[str, Bill], capacity: Bill) -> dict[str, Bill]:
    asked = {QueueName(name): each for name, each in demand.items()}
    return {str(name): each for name, each in fair_bills(known, asked, capacity).items()}


def test_the_example_of_the_paper() -> None:
    """9 CPUs and 18 GB; A's tasks take <1 CPU, 4 GB> and B's <3, 1>: A gets 3 tasks and B 2 (Ghodsi et al., 4.1)."""
    known = forest(q("a", cpu=CPU), q("b", cpu=CPU))
    found = shares(known, {"a": bill(400_000, 100_000), "b": bill(100_000, 300_000)}, bill(18_000, 9_000))
    assert rounded(found) == {"a": (12, 3), "b": (2, 6)}


def test_weights_count() -> None:
    known = forest(q("a", weight=3, cpu=CPU), q("b", cpu=CPU))
    found = shares(known, {"a": bill(100_000, 0), "b": bill(100_000, 0)}, bill(8000, 8000))
    assert rounded(found) == {"a": (6, 0), "b": (2, 0)}


def test_what_one_does_not_ask_for_goes_to_others() -> None:
    known = forest(q("a", cpu=CPU), q("b", cpu=CPU), q("c", cpu=CPU))
    found = shares(known, {"a": bill(2000, 2000), "b": bill(90_000, 9000), "c": bill(0, 90_000)}, bill(35_000, 35_000))
    # b's GPUs and c's CPU grow together until the CPU, of which b takes a tenth of what c does, is all given out.
    assert rounded(found) == {"a": (2, 2), "b": (30, 3), "c": (0, 30)}


def test_nominal_goes_first_and_a_queue_passes_its_share_on() -> None:
    known = forest(q("org", 8, cpu=Quota(nominal_milli_gpu=8)), q("a", parent="org"), q("b", parent="org"), q("c"))
    found = shares(known, {"a": bill(8, 0), "b": bill(8, 0), "c": bill(20, 4)}, bill(8, 8))
    assert (found["org"].total_milli_gpu, found["c"]) == (8, bill(0, 0))
    assert found["a"].total_milli_gpu == found["b"].total_milli_gpu == 4


def test_the_largest_part_of_what_is_deserved_counts() -> None:
    assert used_parts(bill(1, 6), bill(4, 8), 1000) == 750
    assert used_parts(bill(1, 1), bill(4, 0), 1000) is None
    assert used_parts(bill(0, 0), bill(4, 0), 1000) == 0
    assert used_parts(Bill(1, (("user:ann", 1),)), bill(4, 4), 1000) == 250


def rounded(found: dict[str, Bill]) -> dict[str, tuple[int, int]]:
    """In thousands: what division leaves over is lost, a few thousandths."""
    return {name: (round(each.total_milli_gpu / 1000), round(each.of("cpu") / 1000)) for name, each in found.items()}


@st.composite
def forests(draw: st.DrawFn) -> tuple[Forest, dict[QueueName, Bill], Bill]:
    queues: list[Queue] = []
    for at in range(draw(st.integers(1, 6))):
        parent = str(draw(st.sampled_from(queues)).name) if queues and draw(st.booleans()) else None
        cpu = Quota(
            nominal_milli_gpu=draw(st.integers(0, 9)),
            borrowing_limit_milli_gpu=draw(st.sampled_from([None, None, 0, 5])),
            lending_limit_milli_gpu=draw(st.sampled_from([None, None, 0, 3])),
        )
        queues.append(q(f"q{at}", draw(st.integers(0, 9)), parent=parent, weight=draw(st.integers(1, 5)), cpu=cpu))
    demand = {queue.name: bill(draw(st.integers(0, 50)), draw(st.integers(0, 50))) for queue in queues}
    return forest(*queues), demand, bill(draw(st.integers(0, 60)), draw(st.integers(0, 60)))


@given(forests())
def test_nobody_gets_more_than_there_is_or_than_it_asks_for(drawn: tuple[Forest, dict[QueueName, Bill], Bill]) -> None:
    known, demand, capacity = drawn
    found = fair_bills(known, demand, capacity)
    for thing in things_of(known):

        def n(each: Bill, thing: str | None = thing) -> int:
            return each.total_milli_gpu if thing is None else each.of(thing)

        for above in (None, *known.queues):
            below = sum(n(found[name]) for name in known.below.get(above, ()))
            assert below <= n(capacity if above is None else found[above])
        for name in known.queues:
            under = [name]
            for each in under:
                under += known.below.get(each, ())
            assert n(found[name]) <= sum(n(demand[each]) for each in under)


@given(forests(), st.randoms())
def test_no_order_of_queues_decides(drawn: tuple[Forest, dict[QueueName, Bill], Bill], chance: object) -> None:
    known, demand, capacity = drawn
    names = list(known.queues)
    getattr(chance, "shuffle")(names)  # noqa: B009  hypothesis gives a Random
    mixed = Forest({name: known.queues[name] for name in names})
    assert fair_bills(mixed, {name: demand[name] for name in names}, capacity) == fair_bills(known, demand, capacity)


@given(forests())
def test_of_gpus_alone_it_is_max_min(drawn: tuple[Forest, dict[QueueName, Bill], Bill]) -> None:
    known, demand, capacity = drawn
    bare = Forest({n: Queue(name=n, parent=q.parent, total=q.total, weight=q.weight) for n, q in known.queues.items()})
    gpus = {name: each.total_milli_gpu for name, each in demand.items()}
    made = fair_bills(bare, demand, capacity)
    assert {n: each.total_milli_gpu for n, each in made.items()} == fair_shares(bare, gpus, capacity.total_milli_gpu)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 9)), min_size=1, max_size=8))
def test_equal_queues_get_equal_parts(asked: list[tuple[int, int, int]]) -> None:
    names = [f"q{at}{twin}" for at in range(len(asked)) for twin in "xy"]
    known = forest(*(q(name, weight=asked[int(name[1:-1])][2], cpu=CPU) for name in names))
    found = shares(known, {name: bill(*asked[int(name[1:-1])][:2]) for name in names}, bill(10**6, 10**6))
    assert all(found[f"q{at}x"] == found[f"q{at}y"] for at in range(len(asked)))
