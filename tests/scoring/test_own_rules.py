"""Rules of the administrator's own: what they are told, and that nothing they do wrong reaches anybody else."""

from typing import Any

import numpy as np
import pytest

from scheduler.model.resources import GPU
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.own_rules import Judge, OwnRule, OwnRules, Panel, Question
from tests.planning.build import node, shape, snapshot

SNAP = snapshot(
    [
        node("n1", labels={"zone": "a", "heat": "21.5"}),
        node("n2", gpus=4, labels={"zone": "b", "heat": "warm"}),
        node("n3", gpus=0, labels={"heat": "inf"}, unschedulable=True),
    ],
    held={"n1": [0, 1, 2]},
)


def panel(*, filters: dict[str, Judge] | None = None, scores: dict[str, Judge] | None = None) -> Panel:
    made = OwnRules(
        filters=tuple(OwnRule(name, judge) for name, judge in (filters or {}).items()),
        scores=tuple(OwnRule(name, judge) for name, judge in (scores or {}).items()),
    )
    return Panel(made, SNAP, Fleet(SNAP))


def asked(pod: Any = None) -> Question:  # noqa: ANN401  a shape
    """The question that a filter gets."""
    seen: list[Question] = []

    def judge(question: Question) -> Any:  # noqa: ANN401  as rules are declared
        seen.append(question)
        return np.ones(3, dtype=np.bool_)

    panel(filters={"f": judge}).masks(pod or shape(2))
    return seen[0]


def test_a_rule_sees_nodes_as_columns() -> None:
    question = asked()
    assert question.names == ("n1", "n2", "n3")
    assert question.free(GPU).tolist() == [5, 4, 0]
    assert question.free("example.com/fpga").tolist() == [0, 0, 0]
    assert question.usable.tolist() == [True, True, False]
    assert question.has_label("zone", "b").tolist() == [False, True, False]
    assert question.by_label("zone", lambda zone: zone < "b", absent=True).tolist() == [True, False, True]
    assert question.number("heat", absent=-1.0).tolist() == [21.5, -1.0, -1.0]
    assert question.number("nowhere", absent=7.0).tolist() == [7.0, 7.0, 7.0]
    assert [question.products.values[code] for code in question.products.codes[:2]] == ["NVIDIA-H100-80GB-HBM3"] * 2


def test_a_rule_sees_the_pod() -> None:
    pod = asked(shape(2, milli_cpu=500, models=("H100",), node_selector=(("zone", "a"),))).pod
    assert pod.requests == {"milli_cpu": 500, "pods": 1, GPU: 2}
    assert (pod.models, pod.node_selector) == (("H100",), {"zone": "a"})
    assert asked(shape(share_milli=250)).pod.share_milli == 250


def test_filters_narrow_and_scores_add_up() -> None:
    rules = panel(
        filters={"not-n1": lambda q: ~q.has_label("zone", "a"), "all": lambda _: np.ones(3, dtype=np.bool_)},
        scores={"free": lambda q: q.free(GPU), "half": lambda _: np.full(3, 0.5)},
    )
    assert rules.narrow(shape(), np.array([True, True, False])).tolist() == [False, True, False]
    scores = rules.scores(shape())
    assert scores is not None
    assert scores.tolist() == [5.5, 4.5, 0.5]
    assert rules.troubles == ()


def test_a_rule_is_asked_once_for_pods_of_a_kind() -> None:
    calls: list[int] = []

    def judge(question: Question) -> Any:  # noqa: ANN401  as rules are declared
        calls.append(question.pod.requests[GPU])
        return np.zeros(3)

    rules = panel(scores={"s": judge})
    for gpus in (1, 2, 1, 2):
        rules.scores(shape(gpus))
    assert calls == [1, 2]


def raises(_: Question) -> Any:  # noqa: ANN401  as rules are declared
    raise KeyError("heat")


def writes(question: Question) -> Any:  # noqa: ANN401  as rules are declared
    question.used[0, 0] = 0
    return np.zeros(3)


def leaves(_: Question) -> Any:  # noqa: ANN401  as rules are declared
    raise SystemExit("enough\nof this")


def answers(answer: object) -> Judge:
    return lambda _: answer


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        (raises, "it raised KeyError: 'heat'"),
        (leaves, "it raised SystemExit: enough of this"),
        (writes, "it raised ValueError: assignment destination is read-only"),
        (answers(None), "it answered with a NoneType; allowed: an array of "),
        (answers([True, True, True]), "it answered with a list; allowed: an array of "),
        (answers(np.ones(4)), "it answered with the shape (4,); allowed: (3,), one value a node"),
        (answers(np.ones((3, 1))), "it answered with the shape (3, 1); allowed: (3,), one value a node"),
        (answers(np.ones(3, dtype=np.int32)), "it answered with an array of int32; allowed: an array of "),
        (answers(np.array(["a", "b", "c"])), "it answered with an array of <U1; allowed: an array of "),
    ],
)
def test_what_no_rule_may_do_is_told_once_and_has_no_effect(judge: Judge, why: str) -> None:
    rules = panel(filters={"bad": judge}, scores={"bad": judge, "good": lambda _: np.arange(3)})
    everywhere = np.ones(3, dtype=np.bool_)
    for gpus in (1, 2):
        assert rules.narrow(shape(gpus), everywhere).all()
        scores = rules.scores(shape(gpus))
        assert scores is not None
        assert scores.tolist() == [0, 1, 2]
    assert [(t.kind, t.rule) for t in rules.troubles] == [("filter", "bad"), ("score", "bad")]
    assert all(t.why.startswith(why) for t in rules.troubles), rules.troubles


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e17])
def test_scores_are_numbers_that_can_be_added(number: float) -> None:
    rules = panel(scores={"bad": lambda _: np.array([0.0, number, 0.0])})
    assert rules.scores(shape()) is None
    assert "not between" in rules.troubles[0].why


def test_a_score_is_no_filter_and_a_filter_no_score() -> None:
    rules = panel(filters={"f": lambda _: np.ones(3)}, scores={"s": lambda _: np.ones(3, dtype=np.bool_)})
    assert rules.masks(shape()) == ()
    assert rules.scores(shape()) is None
    assert [t.why for t in rules.troubles] == [
        "it answered with an array of float64; allowed: an array of bool",
        "it answered with an array of bool; allowed: an array of int64 or float64",
    ]
    assert str(rules.troubles[0]).startswith("the filter f is left out: it answered with")


def test_without_rules_nothing_is_narrowed() -> None:
    mask = np.array([True, False, True])
    assert panel().narrow(shape(), mask) is mask
    assert panel().scores(shape()) is None
