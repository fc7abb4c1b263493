"""What a cluster's administrator may set about planning. All of it is decision input: same snapshot, same plan."""

from typing import Literal

import msgspec

Backfill = Literal["easy", "conservative"]
"""Who is kept room for from a known start on: the first blocked workload of each queue, or every blocked one."""

Order = Literal["age", "relativeWait"]
"""How the work of a `Fair` queue goes within one priority: by age, or by its wait in relation to its length."""


class PlanSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the solver, and of what blocked workloads may keep from others.

    `solver_budget_ms`: time for all solver calls of one plan together, in milliseconds, by the solver's deterministic
    clock; 0 plans without the solver. `seed` and `workers` go to the solver as they are; more than one worker makes
    plans depend on timing. `hold_s`: for so many seconds from its creation a blocked gang whose start is not known
    keeps room (`holds`); 0 is never. `backfill`: for whom room is reserved whose start is known (`reserve`).
    `backfill_bound_s`, `backfill_unknown_bound_s`: until so many seconds after its creation its start may be put off by
    work behind it, of known and of unknown length; 0: by none. `by_length`: behind the workload that room is
    reserved for, a queue's work goes by its known length instead of its place. `order`: of queues that do not keep
    strictly to theirs (`planning.order`). `reclaim`: running work may have to make
    way (`planning.reclaim`). `usage_half_life_s`: what queues used of late counts beside what they use, and half of it
    is forgotten after so many seconds; 0: only what they use now counts. `explained`: refusals of one plan about which
    more is found out than the reason, those that come first in the order.
    """

    solver_budget_ms: int = 200
    seed: int = 1
    workers: int = 1
    hold_s: int = 1800
    backfill: Backfill = "easy"
    backfill_bound_s: int = 0
    backfill_unknown_bound_s: int = 0
    by_length: bool = False
    order: Order = "age"
    reclaim: bool = False
    usage_half_life_s: int = 0
    explained: int = 16
