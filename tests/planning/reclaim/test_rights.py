"""Who may lose work to whom, case by case."""

import msgspec
import pytest

from scheduler.model.names import QueueName, WorkloadKey
from scheduler.model.queue import CPU, Queue, Quota
from scheduler.planning.reclaim.rights import Asking, Loser, counted, on_nominal, protection_s, ways, wronged
from scheduler.quota.forest import Forest, in_force
from scheduler.quota.tree import Bill, Ledger
from tests.planning.reclaim.cases import team

GPU = 1000
NOT_COVERED = "the asking workload is not covered by nominal quota"
NO_BORROWER = "its queue does not borrow that much"
NOT_LOWER = "it is of the same queue and of no lower priority"
OTHER = "it does not use what its queue would borrow for the asking workload"

FLAT = (team("a", 8), team("b", 8), team("c", 8))
TREE = (
    team("org"),
    team("east", parent="org"),
    team("west", 8, parent="org"),
    team("a", 8, parent="east"),
    team("b", 8, parent="east"),
    team("c", 4, parent="west"),
    team("d", 4, parent="west"),
)

OVER = (team("east", 8), team("a", 8, parent="east"), team("b", 8, parent="east"), team("c", 8))
"""Below east more is promised than it has."""

WITHOUT = (
    team("org"),
    team("east", 8, parent="org"),
    team("west", parent="org"),
    team("a", parent="east"),
    team("b", 4, parent="east"),
    team("c", 4, parent="west"),
    team("d", 4, parent="west"),
)
"""East owns more than those below it; a owns nothing."""


def ledger(queues: tuple[Queue, ...], uses: dict[str, int]) -> Ledger:
    made = Ledger(Forest(in_force({q.name: q for q in queues}, {})), {})
    for name, gpus in uses.items():
        made = made.charge(QueueName(name), Bill(GPU * gpus))
    return made


def lost(name: str, gpus: int, priority: int = 0, of: str = "") -> Loser:
    return Loser(WorkloadKey(f"pod:team/{of or name}"), QueueName(name), priority, Bill(GPU * gpus))


@pytest.mark.parametrize(
    ("queues", "uses", "asks", "losers", "why"),
    [
        pytest.param(FLAT, {"a": 16}, ("b", 8, 0), [lost("a", 8)], [], id="a borrower gives back"),
        pytest.param(FLAT, {"a": 8}, ("b", 8, 0), [lost("a", 8)], [NO_BORROWER], id="nobody below nominal"),
        pytest.param(FLAT, {"a": 12}, ("b", 8, 0), [lost("a", 8)], [], id="the last one may reach below nominal"),
        pytest.param(
            FLAT,
            {"a": 12},
            ("b", 8, 0),
            [lost("a", 8), lost("a", 4, of="more")],
            [NO_BORROWER, NO_BORROWER],
            id="but not with another one beside it",
        ),
        pytest.param(
            FLAT, {"a": 16, "b": 4}, ("b", 8, 0), [lost("a", 8)], [NOT_COVERED], id="who borrows takes nothing"
        ),
        pytest.param(FLAT, {"a": 16}, ("a", 8, 0), [lost("a", 8)], [NOT_LOWER], id="equals of one queue"),
        pytest.param(FLAT, {"a": 16}, ("a", 8, 5), [lost("a", 8)], [], id="lower priority of one queue"),
        pytest.param(FLAT, {"a": 8}, ("a", 8, 5), [lost("a", 8, 4)], [], id="within nominal, of one queue"),
        pytest.param(FLAT, {"a": 16}, ("b", 8, 0), [lost("a", 8, 9)], [], id="priority is nothing between queues"),
        pytest.param(TREE, {"a": 12, "b": 4}, ("b", 4, 0), [lost("a", 4)], [], id="beside each other"),
        pytest.param(
            TREE, {"a": 16}, ("c", 4, 0), [lost("a", 4)], [NO_BORROWER], id="of a queue that borrows, its branch not"
        ),
        pytest.param(TREE, {"a": 20}, ("c", 4, 0), [lost("a", 4)], [], id="of a branch that borrows"),
        pytest.param(
            TREE, {"a": 8, "b": 12}, ("c", 4, 0), [lost("a", 4)], [NO_BORROWER], id="not for what one beside it borrows"
        ),
        pytest.param(OVER, {"a": 8, "b": 8}, ("c", 4, 0), [lost("a", 4)], [], id="for what a queue above borrows"),
        pytest.param(
            TREE, {"a": 20, "d": 8}, ("c", 4, 0), [lost("a", 4)], [NOT_COVERED], id="the branch asks too much"
        ),
        pytest.param(
            TREE, {"a": 20, "d": 8}, ("c", 4, 0), [lost("a", 4), lost("d", 4)], [], id="unless it gives up as well"
        ),
        pytest.param(WITHOUT, {"c": 12}, ("a", 4, 0), [lost("c", 4)], [], id="for what only its branch owns"),
        pytest.param(
            WITHOUT, {"c": 12, "b": 8}, ("a", 4, 0), [lost("c", 4)], [NOT_COVERED], id="its branch has what it owns"
        ),
        pytest.param(
            WITHOUT, {"c": 8}, ("a", 4, 0), [lost("c", 4)], [NO_BORROWER], id="not from a branch that does not borrow"
        ),
        pytest.param(WITHOUT, {"c": 8}, ("b", 4, 0), [lost("c", 4)], [NO_BORROWER], id="nor for who owns something"),
        pytest.param(
            WITHOUT, {"c": 12, "b": 4}, ("b", 4, 0), [lost("c", 4)], [], id="beyond its own, within its branch's"
        ),
        pytest.param(WITHOUT, {"b": 8}, ("a", 4, 0), [lost("b", 4)], [NOT_COVERED], id="nothing from beside it"),
    ],
)
def test_rights(
    queues: tuple[Queue, ...],
    uses: dict[str, int],
    asks: tuple[str, int, int],
    losers: list[Loser],
    why: list[str],
) -> None:
    name, gpus, priority = asks
    asking = Asking(QueueName(name), priority, Bill(GPU * gpus))
    assert list(wronged(ledger(queues, uses), asking, losers).values()) == why


@pytest.mark.parametrize(
    ("uses", "name", "why"),
    [
        ({"a": 8, "b": 12}, "a", [NO_BORROWER]),
        ({"a": 8, "b": 12}, "b", []),
        ({"a": 16}, "a", [NO_BORROWER]),
    ],
)
def test_outright_who_borrows_at_every_level_loses(uses: dict[str, int], name: str, why: list[str]) -> None:
    asking = Asking(QueueName("c"), 0, Bill(4 * GPU), outright=True)
    assert list(wronged(ledger(TREE, uses), asking, [lost(name, 4)]).values()) == why


@pytest.mark.parametrize(
    ("asking", "losing", "want"),
    [
        ("a", "b", (["a"], ["b"])),
        ("a", "c", (["a", "east"], ["c", "west"])),
        ("a", "east", (["a"], ["east"])),
        ("east", "a", (["east"], ["a"])),
    ],
)
def test_ways(asking: str, losing: str, want: tuple[list[str], list[str]]) -> None:
    both = ways(ledger(TREE, {}).forest, QueueName(asking), QueueName(losing))
    assert ([q.name for q in both.asking], [q.name for q in both.losing]) == want


def test_the_longest_min_runtime_on_the_way_protects() -> None:
    queues = (team("org"), team("a", 8, parent="org", min_runtime_s=60))
    chain = Forest(in_force({q.name: q for q in queues}, {})).chain(QueueName("a"))
    assert protection_s(chain) == 60


def test_flavors_count_where_they_are_stated_and_the_total_otherwise() -> None:
    flavors = (("A100", Quota(given=False)), ("H100", Quota(nominal_milli_gpu=8 * GPU)))
    queue = Queue(name=QueueName("a"), total=Quota(nominal_milli_gpu=9 * GPU, given=False), flavors=flavors)
    forest = Forest({queue.name: queue})
    assert list(counted(forest, queue, Bill(GPU, (("H100", GPU),)))) == [("H100", GPU, 8 * GPU)]
    assert list(counted(forest, queue, Bill(GPU, (("A100", GPU),)))) == [(None, GPU, 9 * GPU)]


def test_cpu_is_no_quota_of_gpus_and_what_is_summed_counts_though_it_is_nothing() -> None:
    none, some = Quota(), Quota(nominal_milli_gpu=4 * GPU)
    queues = (
        msgspec.structs.replace(team("east"), total=Quota(given=False)),
        msgspec.structs.replace(team("a", 8, parent="east"), flavors=((CPU, some), ("H100", none))),
        msgspec.structs.replace(team("b", parent="east"), flavors=()),
    )
    forest = Forest(in_force({q.name: q for q in queues}, {}))
    bill = Bill(2 * GPU, (("H100", 2 * GPU), (CPU, GPU)))
    assert list(counted(forest, forest.queues[QueueName("east")], bill)) == [
        ("H100", 2 * GPU, 0),
        (CPU, GPU, 4 * GPU),
    ]
    less = Bill(2 * GPU, ((CPU, GPU),))
    assert list(counted(forest, forest.queues[QueueName("east")], less)) == [
        (CPU, GPU, 4 * GPU),
        (None, 2 * GPU, 8 * GPU),
    ]


def test_on_nominal_nobody_borrows_whatever_work_that_can_make_way_uses() -> None:
    whole = ledger(TREE, {"a": 12, "c": 2})
    chain = whole.forest.chain(QueueName("a"))
    # Of the 12, 5 can make way: 7 of a's 8 are filled for good.
    firm = Ledger(on_nominal(whole.forest, chain), ledger(TREE, {"a": 7, "c": 2}).used)
    made = Ledger(whole.forest, whole.used, None, firm)
    assert made.headroom(QueueName("a")) == 1 * GPU
    assert made.charge(QueueName("a"), Bill(GPU)).headroom(QueueName("a")) == 0
    assert made.headroom(QueueName("c")) == (24 - 9) * GPU


@pytest.mark.parametrize(
    ("uses", "bill", "why"),
    [
        pytest.param({}, {"H100": 2}, [OTHER], id="not for a model that is borrowed, and that it does not use"),
        pytest.param({}, {"A100": 2}, [], id="for what is owned"),
        pytest.param({"A100": 2}, {"A100": 2}, [], id="for a model that is borrowed, and that it uses"),
    ],
)
def test_within_a_queue_who_borrows_a_model_takes_that_alone(
    uses: dict[str, int], bill: dict[str, int], why: list[str]
) -> None:
    def flavors(a100: int, h100: int) -> tuple[tuple[str, Quota], ...]:
        return tuple((f, Quota(nominal_milli_gpu=GPU * n)) for f, n in (("A100", a100), ("H100", h100)))

    def charge(of: dict[str, int]) -> Bill:
        return Bill(GPU * sum(of.values()), tuple((f, GPU * n) for f, n in sorted(of.items())))

    def stated(name: str, a100: int, h100: int) -> Queue:
        total = Quota(nominal_milli_gpu=GPU * (a100 + h100), given=False)
        return Queue(name=QueueName(name), total=total, flavors=flavors(a100, h100))

    queues = {q.name: q for q in (stated("b", 2, 0), stated("c", 0, 2))}
    loser = Loser(WorkloadKey("pod:team/b"), QueueName("b"), 0, charge({"A100": 2}))
    before = Ledger(Forest(queues), {}).charge(QueueName("b"), loser.bill).charge(QueueName("b"), charge(uses))
    assert list(wronged(before, Asking(QueueName("b"), 5, charge(bill)), [loser]).values()) == why
