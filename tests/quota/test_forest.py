"""Queues as they are in force: parents that are there, and the nominal quotas that were left out."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.model.names import QueueName
from scheduler.model.queue import Queue, Quota
from scheduler.quota.forest import Forest, in_force


def named(name: str, parent: str | None = None, nominal: int | None = None, **flavors: int | None) -> Queue:
    """A queue; amounts of None are not given."""
    return Queue(
        name=QueueName(name),
        parent=None if parent is None else QueueName(parent),
        total=quota(nominal),
        flavors=tuple(sorted((flavor, quota(n)) for flavor, n in flavors.items())),
    )


def quota(nominal: int | None) -> Quota:
    return Quota(nominal_milli_gpu=1000 * (nominal or 0), given=nominal is not None)


def forest(*queues: Queue, before: Mapping[QueueName, Queue] | None = None) -> dict[str, Queue]:
    return {str(name): q for name, q in in_force({q.name: q for q in queues}, before or {}).items()}


def nominal(queue: Queue, flavor: str | None = None) -> int:
    return (queue.total if flavor is None else dict(queue.flavors)[flavor]).nominal_milli_gpu // 1000


@pytest.mark.parametrize(
    ("queues", "want"),
    [
        pytest.param([named("org"), named("a", "org", 4), named("b", "org", 6)], {"org": 10}, id="what stands below"),
        pytest.param([named("org", nominal=7), named("a", "org", 4), named("b", "org", 6)], {"org": 7}, id="given"),
        pytest.param([named("org", nominal=0), named("a", "org", 4)], {"org": 0}, id="nothing, and given"),
        pytest.param(
            [named("org"), named("team", "org"), named("x", "team", 3)], {"org": 3, "team": 3}, id="two levels below"
        ),
        pytest.param([named("a", H100=16, A100=32)], {"a": 48}, id="its flavors"),
        pytest.param([named("a", nominal=20, H100=16, A100=32)], {"a": 20}, id="given beside flavors"),
        pytest.param([named("a")], {"a": 0}, id="nothing at all"),
    ],
)
def test_nominal_that_is_left_out(queues: list[Queue], want: dict[str, int]) -> None:
    found = forest(*queues)
    assert {name: nominal(found[name]) for name in want} == want


def test_flavors_add_up_as_well_and_are_known_below() -> None:
    found = forest(named("org"), named("a", "org", H100=4), named("b", "org", H100=2, A100=8), named("c", "org"))
    assert (nominal(found["org"], "H100"), nominal(found["org"], "A100")) == (6, 8)
    assert [name for name, _ in found["c"].flavors] == ["A100", "H100"]
    assert (nominal(found["c"]), nominal(found["c"], "H100")) == (0, 0)
    assert nominal(found["a"], "H100") == 4


def test_a_parent_that_is_not_there_is_named_and_the_queue_stands_at_the_top() -> None:
    found = forest(named("a", "org", 4))
    assert found["a"].parent is None
    assert [(p.where, p.value) for p in found["a"].problems] == [("spec.parent", "org")]


def test_queues_on_a_circle_stand_at_the_top_with_the_way_told() -> None:
    found = forest(named("a", "b"), named("b", "c"), named("c", "a"), named("d", "a", 1))
    assert [found[name].parent for name in "abcd"] == [None, None, None, "a"]
    assert "a > b > c > a" in found["a"].problems[0].allowed
    assert found["d"].problems == ()
    assert nominal(found["a"]) == 1


def test_what_closes_a_circle_stays_as_it_was() -> None:
    before = {q.name: q for q in (named("a", "b", 4), named("b", nominal=9))}
    found = forest(named("a", "b", 4), named("b", "a", 5), before=before)
    assert (found["a"].parent, found["b"].parent) == ("b", None)
    assert (found["a"].problems, len(found["b"].problems)) == ((), 1)
    assert nominal(found["b"]) == 9


PARENTS = st.lists(st.one_of(st.none(), st.integers(0, 6)), min_size=1, max_size=6)


@given(PARENTS, st.randoms())
def test_every_forest_ends_at_the_top_and_no_order_matters(parents: list[int | None], chance: object) -> None:
    queues = [named(f"q{at}", None if p is None else f"q{p}", at) for at, p in enumerate(parents)]
    found = forest(*queues)
    shuffled = list(queues)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert forest(*shuffled) == found
    known = Forest(in_force({q.name: q for q in queues}, {}))
    for name in known.queues:
        assert known.chain(name)[-1].parent is None
        assert bool(known.queues[name].problems) == (known.queues[name].parent != known_parent(queues, name))


def known_parent(queues: list[Queue], name: QueueName) -> QueueName | None:
    return next(q.parent for q in queues if q.name == name)


def test_where_nobody_remembers_a_refused_queue_stands_where_it_was_last_said_to_stand() -> None:
    lost = replace(named("a", "nowhere", 4), parent_before=QueueName("org"))
    found = forest(named("org"), lost)
    assert (found["a"].parent, nominal(found["org"])) == ("org", 4)
    assert "'nowhere'" in str(found["a"].problems[0])
    assert forest(named("org"), named("other"), lost, before={lost.name: named("a", "other", 1)})["a"].parent == "other"
    assert forest(lost)["a"].parent is None
    good = replace(named("a", "org", 4), parent_before=QueueName("other"))
    assert forest(named("org"), named("other"), good)["a"].parent == "org"


def test_queues_that_were_said_to_stand_in_a_circle_stand_at_the_top() -> None:
    circle = (
        replace(named("a", "b"), parent_before=QueueName("b")),
        replace(named("b", "a"), parent_before=QueueName("a")),
    )
    assert {name: queue.parent for name, queue in forest(*circle).items()} == {"a": None, "b": None}
