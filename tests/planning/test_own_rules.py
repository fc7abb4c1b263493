"""The administrator's own rules in a plan: they narrow and order, and break nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.determinism import planned
from scheduler.model.plan import Admit, Offer, Plan
from scheduler.model.policy import Policy
from scheduler.model.resources import Resources
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import PodShape, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.own_rules import Judge, OwnRule, OwnRules, Question
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, equal, node, outcome, shape, single, snapshot, waiting
from tests.planning.linked_clusters import all_clusters
from tests.planning.random_clusters import Cluster

DRAWING = """
b0/r0 n1: ..
b0/r0 n2: ..
b0/r1 n3: ..
b0/r1 n4: ..
"""


def decided(snap: Snapshot, **rules: Judge) -> Plan:
    """The plan with `keep_…` as filters and all others as scores."""
    filters = tuple(OwnRule(name, judge) for name, judge in rules.items() if name.startswith("keep"))
    scores = tuple(OwnRule(name, judge) for name, judge in rules.items() if not name.startswith("keep"))
    own = OwnRules(filters=filters, scores=scores)
    return plan(snap, now_s=100, settings=PlanSettings(solver_budget_ms=500), rules=own)


def among(*names: str) -> Judge:
    return lambda question: np.isin(question.names, names)


def rising(question: Question) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(len(question.names))


def test_a_filter_narrows_where_a_lone_pod_goes() -> None:
    assert outcome(decided(draw(DRAWING, single("w")), keep=among("n3", "n4")), "w") == "n3"


def test_a_filter_narrows_what_kube_scheduler_is_offered() -> None:
    pod = single("w", shape(1, scheduler_rules=("volumes",)))
    assert outcome(decided(draw(DRAWING, pod), keep=among("n3", "n4")), "w") == "offered n3 n4"


def test_a_filter_narrows_where_a_gang_goes() -> None:
    assert outcome(decided(draw(DRAWING, equal("g", 2, 2)), keep=among("n1", "n4")), "g") == "n1 n4"
    in_a_rack = equal("g", 2, 2, topology_required="rack")
    assert outcome(decided(draw(DRAWING, in_a_rack), keep=among("n1", "n3", "n4")), "g") == "n3 n4"


def test_a_filter_judges_each_kind_of_pod_of_a_gang_by_itself() -> None:
    def keep(question: Question) -> object:
        return np.isin(question.names, ["n1"] if "nvidia.com/gpu" in question.pod.requests else ["n2"])

    workers = equal("g", 1, 2)
    (launcher,) = single("h", shape(0)).members
    launcher = replace(launcher, shape=PodShape(requests=Resources(milli_cpu=500, pods=1)))
    both = draw(DRAWING, replace(workers, members=(*workers.members, launcher), size=2, min_member=2))
    assert outcome(decided(both, keep=keep), "g") == "n1 n2"


def test_a_filter_that_refuses_every_node_is_the_reason_by_name() -> None:
    made = decided(draw(DRAWING, single("w"), equal("g", 2)), keep_off=among())
    for name in ("w", "g"):
        wait = waiting(made, name)
        assert (wait.reason.value, wait.message) == ("NoNodeMatches", "no node has the approval of the filter keep_off")
        assert [b.subject for b in wait.blocking] == ["the filter keep_off"]


def test_a_score_decides_among_equals_only() -> None:
    assert outcome(decided(draw(DRAWING, single("w")), s=rising), "w") == "n4"
    assert outcome(decided(draw(DRAWING, single("w")), s=lambda question: -rising(question)), "w") == "n1"
    fuller = DRAWING.replace("n2: ..", "n2: #.")
    assert outcome(decided(draw(fuller, single("w")), s=rising), "w") == "n2"


def test_a_score_orders_many_pods_and_offers_too() -> None:
    many = [single(f"w{i:02}", shape(2), created_s=i) for i in range(12)]
    snap = snapshot([node(f"n{i:02}", 2) for i in range(12)], many)
    made = decided(snap, s=rising)
    assert [outcome(made, f"w{i:02}") for i in range(12)] == [f"n{11 - i:02}" for i in range(12)]
    pod = single("w", shape(1, scheduler_rules=("volumes",)))
    assert outcome(decided(draw(DRAWING, pod), s=rising), "w") == "offered n4 n3 n2 n1"


def test_a_rule_that_fails_is_in_the_plan_and_changes_nothing() -> None:
    snap = draw(DRAWING, single("w"), equal("g", 3))
    made = decided(snap, keep=lambda _: 1 / 0, s=lambda _: None)
    assert made.decisions == decided(snap).decisions
    assert [(t.kind, t.rule) for t in made.troubles] == [("filter", "keep"), ("score", "s")]
    assert "ZeroDivisionError" in made.troubles[0].why


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(cluster=all_clusters(), seed=st.integers(0, 99), wrong=st.sampled_from(["", "shape", "kind", "raise"]))
def test_no_rule_breaks_another(cluster: Cluster, seed: int, wrong: str) -> None:
    def chance(question: Question, bits: bool) -> object:
        random = np.random.default_rng([seed, len(question.pod.requests)])
        count = len(question.names) + (wrong == "shape")
        if wrong == "raise":
            raise ValueError
        made = random.random(count) < 0.7 if bits else random.normal(size=count)
        return made.astype(np.int8) if wrong == "kind" else made

    snap = cluster.snapshot()
    made = decided(snap, keep=lambda q: chance(q, bits=True), s=lambda q: chance(q, bits=False))
    assert broken_rules(snap, made) == []
    assert sorted(d.workload for d in made.decisions) == sorted(w.key for w in cluster.workloads if w.pending)
    assert made == decided(snap, keep=lambda q: chance(q, bits=True), s=lambda q: chance(q, bits=False))
    if wrong:
        assert made.decisions == decided(snap).decisions


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(cluster=all_clusters(), allowed=st.sets(st.integers(0, 5)))
def test_nothing_is_ever_placed_where_a_filter_refuses(cluster: Cluster, allowed: set[int]) -> None:
    names = {f"n{i}" for i in allowed}
    for decision in decided(cluster.snapshot(), keep=among(*names)).decisions:
        match decision:
            case Admit(placement=placement):
                assert {a.node for a in placement.assignments} <= names
            case Offer(nodes=nodes):
                assert {name for name, _ in nodes} <= names
            case _:
                pass


@pytest.mark.parametrize("seeds", [range(at, at + 25) for at in range(0, 100, 25)], ids=str)
def test_no_rule_breaks_another_whatever_is_asked_for(seeds: range) -> None:
    for seed in seeds:
        snap, without = planned(seed)
        random = np.random.default_rng(seed)
        allowed = set(np.array(snap.columns.names)[random.random(len(snap.nodes)) < 0.8].tolist())
        made = decided(snap, keep=among(*allowed), s=answering(random.normal(size=len(snap.nodes))))
        assert broken_rules(snap, made) == []
        assert sorted(d.workload for d in made.decisions) == sorted(d.workload for d in without.decisions)
        for decision in made.decisions:
            match decision:
                case Admit(placement=placement):
                    assert {a.node for a in placement.assignments} <= allowed
                case Offer(nodes=nodes):
                    assert {name for name, _ in nodes} <= allowed
                case _:
                    pass


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_a_score_decides_among_equals_by_every_policy(policy: Policy, gpus: int) -> None:
    many = [one_of(f"w{i}", gpus, policy, i) for i in range(2)]
    made = decided(draw(DRAWING, *many), s=rising)
    assert outcome(made, "w0") == "n4"
    made = decided(draw(DRAWING, *many), s=lambda question: -rising(question))
    assert outcome(made, "w0") == "n1"


def one_of(name: str, gpus: int, policy: Policy, created_s: int) -> Workload:
    """A pod that stands alone, of a policy."""
    alone = single(name, shape(gpus), created_s=created_s)
    return replace(alone, members=tuple(replace(pod, policy=policy) for pod in alone.members))


def answering(scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Judge:
    return lambda _: scores
