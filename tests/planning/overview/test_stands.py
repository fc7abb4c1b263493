"""What is told of queues, in total and per flavor."""

import msgspec
import pytest

from scheduler.model.names import NodeName, QueueName
from scheduler.model.queue import CPU, Queue, Quota
from scheduler.model.resources import MILLI_GPU
from scheduler.planning.overview.records import Amounts, QueueStand, ResourceAmounts
from scheduler.planning.overview.stands import queue_stands
from scheduler.quota.standing import standings
from scheduler.quota.usage import opening_ledger
from tests.planning.overview.scene import teams
from tests.state.build import node, pod, state_of


@pytest.fixture(scope="module")
def stands() -> dict[str, QueueStand]:
    snapshot, _ = teams()
    return {stand.name: stand for stand in queue_stands(snapshot, opening_ledger(snapshot))}


def figures(amounts: Amounts) -> dict[str, int]:
    """In GPUs, those that are not 0."""
    plain = msgspec.to_builtins(amounts)
    ends = "_milli_gpu"
    return {k.removesuffix(ends): v // MILLI_GPU for k, v in plain.items() if k.endswith(ends) and v}


def test_every_queue_comes_before_those_below_it(stands: dict[str, QueueStand]) -> None:
    assert list(stands) == ["alone", "org", "nlp", "vision"]
    assert (stands["vision"].parent, stands["org"].parent) == ("org", None)


def test_the_totals_are_those_of_the_queues_status(stands: dict[str, QueueStand]) -> None:
    snapshot, _ = teams()
    for name, standing in standings(snapshot, opening_ledger(snapshot)).items():
        plain, stand = msgspec.to_builtins(standing), stands[name]
        counts = {"pending_workloads": stand.pending_workloads, "running_workloads": stand.running_workloads}
        told = {**msgspec.to_builtins(stand.total), **counts}
        shown = [key for key in plain if key in told]
        assert {"used_milli_gpu", "fair_share_milli_gpu", "pending_workloads"} <= set(shown)
        assert {key: told[key] for key in shown} == {key: plain[key] for key in shown}


def test_a_borrower_and_a_lender_in_total(stands: dict[str, QueueStand]) -> None:
    vision, nlp = figures(stands["vision"].total), figures(stands["nlp"].total)
    assert vision == {"nominal": 16, "used": 20, "borrowed": 4, "pending": 40, "fair_share": vision["fair_share"]}
    assert nlp["lent"] == 4
    assert (nlp["lending_limit"], stands["nlp"].total.borrowing_limit_milli_gpu) == (8, None)


def test_flavors_have_figures_of_their_own(stands: dict[str, QueueStand]) -> None:
    (h100,) = stands["vision"].flavors
    assert (h100.flavor, figures(h100)) == (
        "H100",
        {"nominal": 16, "used": 20, "borrowed": 4, "pending": 40, "fair_share": figures(h100)["fair_share"]},
    )
    a100, h100 = stands["nlp"].flavors
    assert (a100.flavor, figures(a100)["used"], figures(a100)["nominal"]) == ("A100", 6, 8)
    assert (h100.flavor, figures(h100)["lent"]) == ("H100", 4)


def test_a_queue_above_has_the_sum_of_the_flavors_below(stands: dict[str, QueueStand]) -> None:
    assert {amounts.flavor: figures(amounts)["nominal"] for amounts in stands["org"].flavors} == {"A100": 8, "H100": 24}
    assert {amounts.flavor: figures(amounts).get("used") for amounts in stands["org"].flavors} == {
        "A100": 6,
        "H100": 20,
    }


def test_what_may_go_to_any_model_waits_for_none_of_them(stands: dict[str, QueueStand]) -> None:
    assert figures(stands["nlp"].total)["pending"] == 18
    assert [figures(amounts).get("pending", 0) for amounts in stands["nlp"].flavors] == [0, 0]


def test_a_queue_without_flavors_has_none_though_its_work_is_charged_by_model(stands: dict[str, QueueStand]) -> None:
    assert stands["alone"].flavors == ()


def test_no_queue_at_all() -> None:
    snapshot, _ = teams()
    bare = msgspec.structs.replace(snapshot, queues={})
    assert queue_stands(bare, opening_ledger(bare)) == ()


def test_cpu_and_memory_stand_beside_the_gpus() -> None:
    cpu = Queue(
        name=QueueName("default"),
        flavors=((CPU, Quota(nominal_milli_gpu=4000, borrowing_limit_milli_gpu=0)), ("H100", Quota())),
        user_limit_milli_gpu=3000,
    )
    snapshot = state_of(node(), cpu, pod("p", node=NodeName("n1"))).snapshot()
    (stand,) = queue_stands(snapshot, opening_ledger(snapshot))
    assert [amounts.flavor for amounts in stand.flavors] == ["H100"]
    assert stand.resources == (
        ResourceAmounts(resource="cpu", unit="milli-CPU", nominal=4000, used=1000, borrowing_limit=0),
    )
    assert stand.user_limit_milli_gpu == 3000


def test_a_queue_that_was_deleted_says_so() -> None:
    ending = Queue(name=QueueName("team"), ending=True)
    snapshot = state_of(node(), ending, pod("p", queue=ending.name, node=NodeName("n1"))).snapshot()
    (stand,) = queue_stands(snapshot, opening_ledger(snapshot))
    assert stand.problems == ("it was deleted: what runs in it goes on to its end, and nothing new starts",)
