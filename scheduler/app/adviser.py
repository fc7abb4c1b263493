"""Finds moves for the gRPC API on a thread of its own, one question at a time, beside planning."""

import asyncio
from collections.abc import Callable

from scheduler.planning.defrag.advice import Advice, NoAdvice, Target
from scheduler.planning.defrag.advise import advise
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.own_rules import OwnRules
from scheduler.state.cluster import ClusterState


class Adviser:
    """Answers from the state as it is when a question's turn comes. Nothing is moved."""

    def __init__(self, state: ClusterState, settings: PlanSettings, rules: OwnRules, now_s: Callable[[], int]) -> None:
        self._state = state
        self._settings = settings
        self._rules = rules
        self._now_s = now_s
        self._turn = asyncio.Lock()

    async def moves_for(self, target: Target, *, let_wait: bool, budget_ms: int) -> Advice | NoAdvice:
        """The cheapest moves; see `scheduler.planning.defrag.advise.advise`."""
        async with self._turn:
            return await asyncio.to_thread(
                advise,
                self._state.snapshot(),
                target,
                now_s=self._now_s(),
                settings=self._settings,
                rules=self._rules,
                let_wait=let_wait,
                budget_ms=budget_ms,
            )
