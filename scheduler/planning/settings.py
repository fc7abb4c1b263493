"""What a cluster's administrator may set about planning."""

import msgspec


class PlanSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the solver. All are part of the decision input: same snapshot and settings, same plan.

    `solver_budget_ms`: time for all solver calls of one plan together, in milliseconds of the solver's deterministic
    clock; 0 plans without the solver. `seed` and `workers` go to the solver as they are; more than one worker makes
    plans depend on timing.
    """

    solver_budget_ms: int = 200
    seed: int = 1
    workers: int = 1
