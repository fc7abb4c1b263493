"""What a cluster's administrator may set about planning. All of it is decision input: same snapshot, same plan."""

from typing import Literal

import msgspec

Backfill = Literal["easy", "conservative"]
"""Who is kept room for from a known start on: the first blocked workload of each queue, or every blocked one."""


class PlanSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the solver, and of what blocked gangs may keep from others.

    `solver_budget_ms`: time for all solver calls of one plan together, in milliseconds, by the solver's deterministic
    clock; 0 plans without the solver. `seed` and `workers` go to the solver as they are; more than one worker makes
    plans depend on timing. `backfill`: for whom room is reserved whose start is known (`reserve`). `hold_s`: for so
    many seconds from its creation a blocked gang whose start is not known keeps room (`holds`); 0 is never. `reclaim`:
    running work may have to make way (`planning.reclaim`). `usage_half_life_s`: what queues used of late counts beside
    what they use, and half of it is forgotten after so many seconds; 0: only what they use now counts.
    """

    solver_budget_ms: int = 200
    seed: int = 1
    workers: int = 1
    hold_s: int = 1800
    backfill: Backfill = "easy"
    reclaim: bool = False
    usage_half_life_s: int = 0
