"""What earlier runs tell of how long work will run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.model.names import PodUid, QueueName, pod_key
from scheduler.model.workload import Learned, Pod
from scheduler.state.audit import inconsistencies
from scheduler.state.events import PodGone, PodSeen, RunSeen
from scheduler.state.lengths import KINDS, LAST, LEAST, LengthBook, Run, kinds_of, run_of
from tests.state.build import pod, queue, state_of


def ran(of: Pod, ran_s: int, ended_s: int = 1_000_000) -> Run:
    run = run_of(replace(of, bound_s=ended_s - ran_s), ended_s)
    assert run is not None
    return run


def book(*runs: Run) -> LengthBook:
    made = LengthBook()
    for run in runs:
        made.see(run)
    return made


def several(lengths: list[int], name: str = "train", *, gpus: int = 1, user: str = "") -> list[Run]:
    return [ran(pod(f"{name}-{i}", gpus=gpus, user=user), length, 1_000_000 + i) for i, length in enumerate(lengths)]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        pytest.param("train-1", "train-2", True, id="numbers"),
        pytest.param("nightly-29100240", "nightly-29101680", True, id="times of a CronJob"),
        pytest.param("web-7d4f5b8c9-x2x4q", "web-66b6c48dd5-9qzvl", True, id="what Kubernetes makes unique"),
        pytest.param("sweep-3-x2x4q", "sweep-4-bcdfg", True, id="several of these"),
        pytest.param("train-large", "train-small", False, id="words"),
        pytest.param("train", "serve", False, id="other names"),
        pytest.param("7", "8", False, id="nothing but what is unique"),
    ],
)
def test_work_is_alike_whose_names_differ_in_what_makes_them_unique(one: str, other: str, *, alike: bool) -> None:
    assert (kinds_of(pod(one)) == kinds_of(pod(other))) == alike


@pytest.mark.parametrize(
    ("change", "alike"),
    [
        pytest.param({"namespace": "b"}, False, id="namespace"),
        pytest.param({"queue": QueueName("red")}, False, id="queue"),
        pytest.param({"user": "ann"}, False, id="user"),
        pytest.param({"owner_name": "serve-2"}, False, id="owner"),
        pytest.param({"owner_name": "train-9"}, True, id="an owner of the same name"),
        pytest.param({"index": 3, "priority": 7}, True, id="rank and priority"),
    ],
)
def test_what_else_makes_work_alike(change: dict[str, object], *, alike: bool) -> None:
    known = book(*several([100] * LEAST))
    found = known.expects(kinds_of(replace(pod("train-99"), **change)))
    assert (found is not None) == alike


def test_the_size_of_the_whole_counts_roughly() -> None:
    known = book(*several([100] * LEAST, gpus=6))
    assert known.expects(kinds_of(pod("train-9", gpus=4))) is not None
    assert known.expects(kinds_of(pod("train-9", gpus=8))) is None
    assert known.expects(kinds_of(pod("train-9", gpus=6, gang="train-9", size=2))) is None


@pytest.mark.parametrize(
    ("lengths", "want"),
    [
        pytest.param([100] * (LEAST - 1), None, id="too few"),
        pytest.param([30, 10, 20], Learned(median_s=20, high_s=30, runs=3), id="three"),
        pytest.param([40, 10, 30, 20], Learned(median_s=20, high_s=40, runs=4), id="of two middle ones the shorter"),
        pytest.param(list(range(1, 11)), Learned(median_s=5, high_s=9, runs=10), id="ten"),
        pytest.param([9999] * 9 + [7] * LAST, Learned(median_s=7, high_s=7, runs=LAST), id="the latest only"),
    ],
)
def test_half_and_nine_of_ten_of_the_latest_runs_took_at_most_so_long(lengths: list[int], want: Learned | None) -> None:
    assert book(*several(lengths)).expects(kinds_of(pod("train-99"))) == want


def test_a_gang_is_one_run_as_long_as_its_longest_pod() -> None:
    runs = [
        ran(pod(f"g{g}-{i}", gang=f"g-{g}", size=4), 100 * g + i, 1_000_000 + g) for g in range(1, 4) for i in range(4)
    ]
    assert book(*runs).expects(kinds_of(pod("x", gang="g-7", size=4))) == Learned(median_s=203, high_s=303, runs=3)


def test_where_a_name_is_new_other_work_of_the_user_tells() -> None:
    known = book(*several([100] * LEAST, name="train", user="ann"), *several([7] * LEAST, name="probe", user="ann"))
    assert known.expects(kinds_of(pod("probe-9", user="ann"))) == Learned(median_s=7, high_s=7, runs=3)
    assert known.expects(kinds_of(pod("new", user="ann"))) == Learned(median_s=7, high_s=100, runs=6)
    assert known.expects(kinds_of(pod("new", user="bob"))) is None
    assert known.expects(kinds_of(pod("new"))) is None


def test_a_run_of_which_the_start_is_not_known_tells_nothing() -> None:
    assert run_of(pod("p"), 100) is None


def test_few_kinds_are_remembered_those_that_ended_last() -> None:
    known = book(*(ran(pod("p", namespace=f"n{i}"), 10, 1_000_000 + i) for i in range(KINDS + 5)))
    assert sorted(run.ended_s for run in known.facts()) == [1_000_005 + i for i in range(KINDS)]


@st.composite
def runs(draw: st.DrawFn) -> Run:
    end = draw(st.integers(0, 60))
    of = pod(draw(st.sampled_from(["a-1", "a-2", "b-1"])), gang=f"g-{end % 25}" if end % 2 else None)
    return ran(of, draw(st.integers(1, 50)), 1_000_000 + end)


@given(st.lists(runs(), max_size=60), st.data())
def test_a_book_made_of_what_another_knows_knows_the_same(happened: list[Run], data: st.DataObject) -> None:
    known = book(*happened)
    facts = list(known.facts())
    again = book(*data.draw(st.permutations(facts)))
    assert sorted(again.facts(), key=repr) == sorted(facts, key=repr)
    for name in ("a-9", "b-9"):
        assert again.expects(kinds_of(pod(name))) == known.expects(kinds_of(pod(name)))
    assert not any(known.see(fact) for fact in facts)


def test_workloads_show_what_earlier_runs_tell_as_these_end() -> None:
    says = replace(pod("train-8"), duration_s=5)
    state = state_of(queue(), pod("train-7"), says, pod("serve"))

    def learned(name: str) -> Learned | None:
        return state.snapshot().workloads[pod_key("a", name)].learned

    for count, run in enumerate(several([10, 20, 30]), 1):
        assert learned("train-7") is None
        assert state.apply(RunSeen(run=run)), count
        assert not state.apply(RunSeen(run=run)), count
        assert inconsistencies(state) == []
    assert learned("train-7") == Learned(median_s=20, high_s=30, runs=3)
    assert (learned("train-8"), learned("serve")) == (None, None)
    state.apply(PodGone(uid=PodUid("train-7")))
    state.apply(PodSeen(pod=pod("train-9")))
    assert learned("train-9") == Learned(median_s=20, high_s=30, runs=3)
    assert inconsistencies(state) == []
    assert not state.apply(RunSeen())
