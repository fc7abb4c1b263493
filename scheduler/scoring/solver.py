"""How long the solver may take, and what it took: the same for every model."""

from ortools.sat.python import cp_model

from scheduler.scoring.gangs.gang import Limits

LARGEST_SUM = 1 << 61
"""The solver adds up costs in 64 bits."""

DETERMINISTIC_PER_WALL = 0.5
"""Seconds of the solver's own clock to a second of budget: measured on two busy cores, it runs half as fast."""

WALL_FACTOR = 10
"""Seconds of wall time allowed for each second of budget; the solver's own clock is what ends a solve normally."""


def solver_within(limits: Limits) -> cp_model.CpSolver:
    """A solver that ends within the limits, with their seed and workers."""
    solver = cp_model.CpSolver()
    solver.parameters.random_seed = limits.seed
    solver.parameters.num_workers = limits.workers
    solver.parameters.max_deterministic_time = limits.budget_ms / 1000 * DETERMINISTIC_PER_WALL
    solver.parameters.max_time_in_seconds = WALL_FACTOR * limits.budget_ms / 1000
    return solver


def spent_ms(solver: cp_model.CpSolver) -> float:
    """What a solve took of the budget, in milliseconds."""
    return solver.deterministic_time * 1000 / DETERMINISTIC_PER_WALL
