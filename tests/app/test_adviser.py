"""Moves found beside the loop, from the state as it is when the question's turn comes."""

import asyncio

from scheduler.app.adviser import Adviser
from scheduler.model.node import TopologyLevel
from scheduler.planning.defrag.advice import Advice, MakeFit, NoAdvice, OpenDomain
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.own_rules import NO_RULES
from scheduler.state.events import TopologySeen
from tests.state.build import node, pod, queue, state_of


async def test_each_question_is_answered_from_the_state_of_its_turn() -> None:
    levels = (TopologyLevel(name="host", label="kubernetes.io/hostname"),)
    standing = pod("a", gpus=8, node="n1", ours=True)
    state = state_of(node("n1"), node("n2"), queue("default", "a"), standing, TopologySeen(name="t", levels=levels))
    adviser = Adviser(state, PlanSettings(), NO_RULES, lambda: 100)
    opened, unknown = await asyncio.gather(
        adviser.moves_for(OpenDomain(level="node", domain="n1"), let_wait=False, budget_ms=1000),
        adviser.moves_for(MakeFit(workload="a/nobody"), let_wait=False, budget_ms=1000),
    )
    assert isinstance(opened, Advice)
    assert [(p.source, p.target) for move in opened.moves for p in move.pods] == [("n1", "n2")]
    assert isinstance(unknown, NoAdvice)
    assert unknown.unknown
