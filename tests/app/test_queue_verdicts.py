"""How queues are said to stand, in one word and a sentence."""

import pytest
from msgspec.structs import replace

from scheduler.app.queue_verdicts import Verdict, reasons_by_queue, serving
from scheduler.model.names import QueueName
from scheduler.model.queue import Queue, Quota
from scheduler.model.workload import Pod, Problem
from scheduler.quota.standing import standings
from scheduler.quota.usage import opening_ledger
from tests.state.build import node, pod, state_of

ORG, TEAM, OTHER = QueueName("org"), QueueName("team"), QueueName("other")
OWNED = Queue(name=TEAM, parent=ORG, total=Quota(nominal_milli_gpu=4000, borrowing_limit_milli_gpu=4000))


def runs(name: str, gpus: int, queue: QueueName = TEAM) -> Pod:
    return pod(name, gpus=gpus, queue=queue, node="n1")


def said(*pods: Pod, team: Queue = OWNED, coming: int = 0, above: int = 16_000, **waits: int) -> Verdict:
    org = Queue(name=ORG, total=Quota(nominal_milli_gpu=above, borrowing_limit_milli_gpu=0))
    other = Queue(name=OTHER, parent=ORG)
    snapshot = state_of(node(gpus=16), org, team, other, *pods).snapshot()
    ledger = opening_ledger(snapshot)
    stands = standings(snapshot, ledger)[TEAM]
    return serving(snapshot.queues[TEAM], stands, ledger, waits=waits, coming_milli_gpu=coming)


@pytest.mark.parametrize(
    ("verdict", "reason", "words"),
    [
        (said(), "Idle", "no work"),
        (said(runs("p", 2)), "Running", "all of its work runs"),
        (said(runs("p", 6)), "Borrowing", "2 GPUs of what it uses are borrowed"),
        (said(runs("p", 15, OTHER)), "Lending", "others use 3 GPUs of what it owns"),
        (said(runs("p", 2), QuotaExhausted=1, Fragmented=3), "Waiting", "3 Fragmented and 1 QuotaExhausted"),
        (said(runs("p", 2), A=1, B=2, C=3, D=4, E=5), "Waiting", "5 E, 4 D, 3 C and 3 for other reasons"),
        (said(coming=2000, QuotaExhausted=1), "Reclaiming", "other work makes way for 2 GPUs"),
    ],
)
def test_work_may_start_in_it(verdict: Verdict, reason: str, words: str) -> None:
    assert (verdict.status, verdict.reason, verdict.alarm) == ("True", reason, False)
    assert words in verdict.message


def test_a_queue_above_its_limit_names_it() -> None:
    verdict = said(runs("p", 9), QuotaExhausted=1)
    assert (verdict.status, verdict.reason, verdict.alarm) == ("False", "OverCommitted", True)
    assert "the queue uses 9 GPUs and may use 8 GPUs" in verdict.message
    assert said(runs("p", 8)).reason == "Borrowing"


def test_so_does_one_below_a_queue_above_its_limit() -> None:
    verdict = said(runs("p", 1), runs("q", 9, OTHER), above=8000)
    assert "queue org above it uses 10 GPUs and may use 8 GPUs" in verdict.message


def test_limits_of_cpu_are_told_in_their_unit() -> None:
    limited = replace(OWNED, flavors=(("cpu", Quota(nominal_milli_gpu=1000, borrowing_limit_milli_gpu=0)),))
    verdict = said(runs("p", 1), runs("q", 1), team=limited)
    assert "the queue uses 2 cores and may use 1 cores" in verdict.message


def test_a_queue_that_was_deleted_says_what_runs_on() -> None:
    verdict = said(runs("p", 9), team=replace(OWNED, ending=True))
    assert (verdict.status, verdict.reason, verdict.alarm) == ("False", "Draining", True)
    assert "1 workload goes on to its end" in verdict.message


def test_a_queue_whose_spec_never_was_in_order_lets_nothing_start() -> None:
    problem = Problem(where="spec.nominal", value="-1", allowed="more")
    verdict = said(team=Queue(name=TEAM, problems=(problem,)))
    assert (verdict.status, verdict.reason) == ("False", "SpecRefused")


def test_who_waits_counts_for_all_queues_above() -> None:
    snapshot = state_of(Queue(name=ORG), OWNED).snapshot()
    found = reasons_by_queue(opening_ledger(snapshot), {(TEAM, "A"): 2, (ORG, "A"): 1, (QueueName("gone"), "A"): 9})
    assert found == {TEAM: {"A": 2}, ORG: {"A": 3}}
