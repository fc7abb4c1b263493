"""What a cluster's administrator may set about planning. All of it is decision input: same snapshot, same plan."""

import msgspec


class PlanSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the solver, and of what blocked gangs may keep from others.

    `solver_budget_ms`: time for all solver calls of one plan together, in milliseconds, by the solver's deterministic
    clock; 0 plans without the solver. `seed` and `workers` go to the solver as they are; more than one worker makes
    plans depend on timing. `hold_s`: for so many seconds from its creation a blocked gang keeps room (`holds`); 0 is
    never. `reclaim`: running work may have to make way (`planning.reclaim`).
    """

    solver_budget_ms: int = 200
    seed: int = 1
    workers: int = 1
    hold_s: int = 1800
    reclaim: bool = False
