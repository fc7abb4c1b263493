from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.extender import verbs
from scheduler.extender.guard import Offered, Planned, Ruling, Untouched
from scheduler.extender.wire import HostPriority, MetaPod, MetaVictims
from scheduler.model.names import NodeName
from tests.extender.fakes import GANG, UNTOUCHED, WAITING, offered, planned

VICTIMS = MetaVictims(pods=[MetaPod(uid="v1")], pdb_violations=1)

names_of_nodes = st.lists(st.sampled_from([f"n{i}" for i in range(8)]), unique=True)
node_names = st.sampled_from([NodeName(f"n{i}") for i in range(8)])
rulings = st.one_of(
    st.just(UNTOUCHED),
    st.just(WAITING),
    node_names.map(planned),
    st.dictionaries(node_names, st.integers(-5, 100)).map(lambda scores: Offered(workload=GANG, scores=scores)),
)


@pytest.mark.parametrize(
    ("ruling", "asked", "nominated", "allowed", "why", "refused"),
    [
        pytest.param(planned("n2"), "n1 n2 n3", "", "n2", None, None, id="the planned node among others"),
        pytest.param(planned("n2"), "n2", "n2", "n2", None, None, id="the nominated node is the planned one"),
        pytest.param(planned("n2"), "n1", "n1", "", verbs.PLANNED_ELSEWHERE, None, id="an old nomination"),
        pytest.param(
            planned("n2"), "n1 n3", "n1", "", verbs.PLANNED_ELSEWHERE, "n2", id="the planned node was refused before"
        ),
        pytest.param(
            planned("n2"), "n1", "n2", "", verbs.PLANNED_ELSEWHERE, "n2", id="one node is left, and it is not planned"
        ),
        pytest.param(planned("n2"), "n1", "", "", verbs.PLANNED_ELSEWHERE, "n2", id="one node is left, no nomination"),
        pytest.param(planned("n2"), "", "", "", None, None, id="nothing asked, nothing refused"),
        pytest.param(offered(n1=5, n3=9), "n1 n2", "", "n1", None, None, id="an offer is cut to what was asked"),
        pytest.param(offered(n1=5), "n2 n3", "", "", verbs.NOT_OFFERED, None, id="no node of the offer was asked"),
        pytest.param(offered(), "n1", "", "", verbs.NOT_OFFERED, None, id="an empty offer"),
        pytest.param(WAITING, "n1 n2", "", "", verbs.WAITS, None, id="no plan yet"),
        pytest.param(UNTOUCHED, "n1 n2", "", "n1 n2", None, None, id="not ours"),
    ],
)
def test_filter(ruling: Ruling, asked: str, nominated: str, allowed: str, why: str | None, refused: str | None) -> None:
    answer = verbs.filter_nodes(ruling, asked.split(), nominated)
    assert list(answer.result.node_names) == allowed.split()
    assert answer.result.failed_and_unresolvable_nodes == (dict.fromkeys(asked.split(), why) if why else {})
    assert answer.result.failed_nodes == {}
    assert answer.refused == refused


@pytest.mark.parametrize(
    ("ruling", "asked", "scores"),
    [
        pytest.param(planned("n2"), ["n1", "n2"], {"n2": verbs.PLANNED_SCORE}, id="planned"),
        pytest.param(planned("n2"), ["n1"], {}, id="planned, not asked"),
        pytest.param(offered(n1=5, n2=-1, n9=7), ["n1", "n2", "n3"], {"n1": 5, "n2": -1}, id="offered"),
        pytest.param(WAITING, ["n1"], {}, id="waiting"),
        pytest.param(UNTOUCHED, ["n1"], {}, id="untouched"),
    ],
)
def test_prioritize(ruling: Ruling, asked: list[str], scores: dict[str, int]) -> None:
    assert list(verbs.prioritize(ruling, asked)) == [HostPriority(host=n, score=s) for n, s in scores.items()]


@pytest.mark.parametrize("ruling", [planned("n1"), offered(n1=1), WAITING], ids=lambda r: type(r).__name__)
def test_preemption_for_managed_pods_is_vetoed(ruling: Ruling) -> None:
    assert verbs.preempt(ruling, {"n1": VICTIMS}).node_name_to_meta_victims == {}


def test_preemption_for_other_pods_goes_through_without_null_or_empty_entries() -> None:
    proposed = {"n1": VICTIMS, "n2": None, "n3": MetaVictims()}
    assert verbs.preempt(UNTOUCHED, proposed).node_name_to_meta_victims == {"n1": VICTIMS}


@given(rulings, names_of_nodes, st.one_of(st.just(""), node_names))
def test_no_answer_names_a_node_that_was_not_asked_about(ruling: Ruling, names: Sequence[str], nominated: str) -> None:
    answer = verbs.filter_nodes(ruling, names, nominated)
    allowed, failed = set(answer.result.node_names), set(answer.result.failed_and_unresolvable_nodes)
    assert allowed <= set(names)
    assert failed <= set(names)
    assert not allowed & failed
    assert {s.host for s in verbs.prioritize(ruling, names)} <= set(names)
    assert allowed or failed == set(names), "a pod that finds nothing is told why for every node"
    match ruling:
        case Untouched():
            assert allowed == set(names)
        case Planned(node=node):
            assert allowed == {node} & set(names)
            assert answer.refused in (None, node)
        case Offered(scores=scores):
            assert allowed == set(scores) & set(names)
        case _:
            assert not allowed


@given(rulings, st.lists(names_of_nodes, min_size=2, max_size=4))
def test_the_message_depends_on_the_ruling_alone(ruling: Ruling, asked: list[list[str]]) -> None:
    said = {
        m
        for names in asked
        for m in verbs.filter_nodes(ruling, names, "").result.failed_and_unresolvable_nodes.values()
    }
    assert len(said) <= 1
