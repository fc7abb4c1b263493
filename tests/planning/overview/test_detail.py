"""One queue with its work."""

import pytest

from scheduler.model.names import QueueName
from scheduler.planning.cycle import plan
from scheduler.planning.overview.detail import queue_detail
from scheduler.planning.overview.records import QueueDetail, Work
from scheduler.planning.overview.stands import queue_stands
from scheduler.planning.settings import PlanSettings
from scheduler.quota.usage import opening_ledger
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.start import at_start
from tests.planning.overview.scene import teams

ONE_NODE = """
name: one node
nodes: [{name: n, gpus: 8, model: H100}]
queues: [{name: a, nominal: 8}]
workloads:
  - {name: old, queue: a, started: -100, duration: 3600, pods: [{gpus: 8, nodes: [n]}]}
  - {name: new, queue: a, pods: [{gpus: 8}]}
"""


NO_LEADER = """
name: workers without their leader
nodes: [{name: n, gpus: 8, model: H100}]
queues: [{name: a, nominal: 16}]
workloads:
  - name: train
    queue: a
    gang: true
    minMember: 3
    started: -100
    pods:
      - {count: 1, gpus: 8, role: leader, minMember: 1}
      - {count: 3, gpus: 1, role: worker, minMember: 1, nodes: [n, n, n]}
"""


def told(name: str) -> QueueDetail | None:
    snapshot, now_s = teams()
    ledger = opening_ledger(snapshot)
    decisions = plan(snapshot, now_s=now_s, settings=PlanSettings()).decisions
    return queue_detail(snapshot, ledger, queue_stands(snapshot, ledger), decisions, QueueName(name))


@pytest.fixture(scope="module")
def vision() -> QueueDetail:
    detail = told("vision")
    assert detail is not None
    return detail


def test_a_queue_that_is_not_there() -> None:
    assert told("visoin") is None


def test_what_runs_comes_first_by_age_and_then_what_waits(vision: QueueDetail) -> None:
    assert [(w.name, w.kind, w.state) for w in vision.work] == [
        ("default/train", "gang", "running"),
        ("default/extra-0", "pod", "running"),
        ("default/extra-1", "pod", "running"),
        ("default/fixed-0", "pod", "running"),
        ("default/big", "gang", "waiting"),
    ]


def test_what_stays_longest_is_on_what_the_queue_owns(vision: QueueDetail) -> None:
    # 2 that cannot be evicted and 16 of priority 10 are 18, of 16 that are owned; the others go first.
    assert {w.name: (w.milli_gpu, w.borrowed_milli_gpu) for w in vision.work if w.milli_gpu} == {
        "default/fixed-0": (2000, 0),
        "default/train": (16000, 2000),
        "default/extra-0": (1000, 1000),
        "default/extra-1": (1000, 1000),
    }
    assert sum(w.borrowed_milli_gpu for w in vision.work) == vision.stand.total.borrowed_milli_gpu


def test_what_waits_says_why_and_since_when(vision: QueueDetail) -> None:
    _, now_s = teams()
    big = vision.work[-1]
    assert (big.reason, big.pending_milli_gpu, big.milli_gpu, now_s - big.since_s) == (
        "QuotaExhausted",
        40000,
        0,
        700,
    )
    assert big.message
    assert big.detail


def test_with_whom_it_shares(vision: QueueDetail) -> None:
    assert [(p.queue, p.milli_gpu) for p in vision.borrows_from] == [("nlp", 4000)]
    assert vision.lends_to == ()
    nlp = told("nlp")
    assert nlp is not None
    assert [(p.queue, p.milli_gpu) for p in nlp.lends_to] == [("vision", 4000)]


def test_a_gang_that_stands_with_fewer_runs_though_more_of_it_waits() -> None:
    nlp = told("nlp")
    assert nlp is not None
    (grows,) = [work for work in nlp.work if work.name == "default/grows"]
    assert (grows.state, grows.placed, grows.size, grows.milli_gpu, grows.pending_milli_gpu) == (
        "running",
        1,
        2,
        2000,
        2000,
    )


def test_a_queue_has_the_work_of_those_below_it() -> None:
    org, vision, nlp = told("org"), told("vision"), told("nlp")
    assert org is not None
    assert vision is not None
    assert nlp is not None
    assert org.below == ("nlp", "vision")
    assert {w.name for w in org.work} == {w.name for w in (*vision.work, *nlp.work)}


def test_a_gang_that_lost_a_role_it_needs_does_not_run() -> None:
    (train,) = _work(NO_LEADER)
    assert (train.state, train.placed) == ("waiting", 3)


def test_what_has_room_kept_for_it_says_when_it_is_expected_to_start() -> None:
    old, new = _work(ONE_NODE)
    assert (old.name, old.estimated_start_s) == ("default/old-0", None)
    assert (new.name, new.estimated_start_s) == ("default/new-0", old.since_s + 3600)


def _work(text: str) -> tuple[Work, ...]:
    """The work of the queue `a` as a scenario has it at its start."""
    doc = read_scenario(text)
    assert isinstance(doc, ScenarioDoc), doc
    snapshot, now_s = at_start(doc)
    ledger = opening_ledger(snapshot)
    decisions = plan(snapshot, now_s=now_s, settings=PlanSettings()).decisions
    detail = queue_detail(snapshot, ledger, queue_stands(snapshot, ledger), decisions, QueueName("a"))
    assert detail is not None
    return detail.work
