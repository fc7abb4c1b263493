"""The cheapest set of moves that opens a topology domain, or makes a waiting workload fit. Advice only: nothing moves.

First the cheapest work that has to leave is found, wherever it may go then; if all of it finds room elsewhere, nothing
is cheaper. Otherwise the solver looks for moves and places together. Whatever it says is placed anew by the planner's
own means and checked by `broken_advice`; what fails there is ruled out, and the price of the first that failed stays
the bound.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from scheduler.model.names import NodeName, QueueName, WorkloadKey, people_name
from scheduler.model.plan import Admit, Proof, ProofStatus
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.defrag.advice import Advice, Move, NoAdvice, PodMove, Seat, Target
from scheduler.planning.defrag.check import broken_advice
from scheduler.planning.defrag.goal import SHOWN, Goal, device_columns, goal_of, opened_names
from scheduler.planning.defrag.lifted import lifted
from scheduler.planning.defrag.movers import Pool, Scene, lost, pool_of, running_s
from scheduler.planning.defrag.settle import Settled, laid_out, settle
from scheduler.planning.reasons.refuse import refuse
from scheduler.planning.reasons.wording import listed
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.moves.moves import SEAT, Choice, MoveProblem
from scheduler.scoring.own_rules import NO_RULES, OwnRules

if TYPE_CHECKING:
    from scheduler.scoring.moves.cpsat_moves import Chosen

BUDGET_MS = 5000
"""Time for all solver calls of one advice together, in milliseconds of the solver's deterministic clock."""

TRIES = 30
"""Answers of the solver that may fail before it is given up: each rules out one set of moves only."""


def advise(
    snapshot: Snapshot,
    target: Target,
    *,
    now_s: int,
    settings: PlanSettings,
    rules: OwnRules = NO_RULES,
    let_wait: bool = False,
    budget_ms: int = BUDGET_MS,
) -> Advice | NoAdvice:
    """The cheapest moves that reach `target`, cost being the GPU-seconds lost since the moved pods got their nodes.

    `now_s`: seconds since 1970. `settings`: seed and workers of the solver, and its budget for each placement.
    `let_wait`: what moves may be left without a place, and waits then.
    """
    scene = Scene(snapshot=snapshot, fleet=Fleet(snapshot), now_s=now_s, settings=settings, rules=rules)
    pool = pool_of(scene)
    goal = goal_of(scene, pool, target)
    if isinstance(goal, NoAdvice):
        return goal
    search = _Search(scene, pool, goal, target, let_wait=let_wait, budget_ms=budget_ms)
    return search.run()


class _Search:
    """One search for moves, and what is left of its budget."""

    def __init__(self, scene: Scene, pool: Pool, goal: Goal, target: Target, *, let_wait: bool, budget_ms: int) -> None:
        self._scene = scene
        self._pool = pool
        self._goal = goal
        self._target = target
        self._let_wait = let_wait
        self._left_ms = float(budget_ms)
        columns = scene.snapshot.columns
        self._problem = MoveProblem(
            free=columns.allocatable - columns.used, movers=pool.movers, opening=goal.opening, seat=goal.seat
        )

    def run(self) -> Advice | NoAdvice:
        """Look for the moves: who has to leave, then if need be who has to leave so that all find a place."""
        least: Chosen | None = None
        for resettle in (False,) if self._let_wait else (False, True):
            failed: list[Choice] = []
            chosen = self._choose(least, failed, resettle=resettle)
            least = chosen if least is None else least
            while chosen.choice is not None and len(failed) < TRIES:
                bound = min([chosen.bound, *(choice.price for choice in failed)])
                advice = self._tried(chosen.choice, bound)
                if advice is not None:
                    return msgspec.structs.replace(advice, overtaken=self._overtaken(advice))
                if not resettle and not self._let_wait:
                    break
                failed.append(chosen.choice)
                chosen = self._choose(least, failed, resettle=resettle)
            if chosen.outcome == "infeasible" and not failed:
                return self._impossible(least)
        return self._not_found(least)

    def _choose(self, least: "Chosen | None", failed: Sequence[Choice], *, resettle: bool) -> "Chosen":
        # Loading the solver takes half a second, which only those pay who need it.
        from scheduler.scoring.moves.cpsat_moves import choose  # noqa: PLC0415

        settings = self._scene.settings
        limits = Limits(budget_ms=self._left_ms, seed=settings.seed, workers=settings.workers)
        floor = 0 if least is None else least.bound
        chosen = choose(self._problem, limits, resettle=resettle, bound=floor, forbidden=failed)
        self._left_ms -= chosen.spent_ms
        return chosen

    # One choice

    def _tried(self, choice: Choice, bound: int) -> Advice | None:
        """The choice with places for everybody; None where the rules forbid it."""
        closed = opened_names(self._scene, choice.opened)
        moved = [self._pool.keys[at] for at in choice.moved]
        waiting = self._goal.waiting
        advice = self._checked(choice, bound, settle(self._scene, moved, closed, waiting))
        known = all(at in choice.seats for at in choice.moved) and (waiting is None or SEAT in choice.seats)
        if advice is None and known:
            seats = [(self._pool.keys[at], choice.seats[at]) for at in choice.moved]
            if waiting is not None:
                seats.append((waiting.workload.key, choice.seats[SEAT]))
            advice = self._checked(choice, bound, laid_out(self._scene, seats, closed, waiting))
        if advice is None and len(moved) > 1:
            other = settle(self._scene, moved, closed, waiting, smallest_first=True)
            advice = self._checked(choice, bound, other)
        return advice

    def _checked(self, choice: Choice, bound: int, settled: Settled) -> Advice | None:
        advice = self._advice(choice, bound, {admit.workload: admit for admit in settled.placed})
        now_s, snapshot = self._scene.now_s, self._scene.snapshot
        return None if broken_advice(snapshot, advice, now_s=now_s, let_wait=self._let_wait) else advice

    def _advice(self, choice: Choice, bound: int, placed: Mapping[WorkloadKey, Admit]) -> Advice:
        snapshot = self._scene.snapshot
        moves = [self._move(self._pool.keys[at], placed) for at in choice.moved]
        cost = sum(move.lost_gpu_seconds for move in moves)
        opening, waiting = self._goal.opening, self._goal.waiting
        domain = self._goal.names[int(opening.codes[choice.opened[0]])] if opening and choice.opened else ""
        admit = None if waiting is None else placed.get(waiting.workload.key)
        names = {} if waiting is None else {pod.uid: pod.name for pod in waiting.pending}
        rest: ProofStatus = "budget hit" if self._left_ms <= 0 else "feasible"
        gpus = snapshot.columns.allocatable[list(choice.opened)][:, device_columns(snapshot)]
        return Advice(
            generation=snapshot.generation,
            target=self._target,
            moves=tuple(sorted(moves, key=lambda move: (-move.lost_gpu_seconds, move.workload))),
            domain=domain,
            opens=opened_names(self._scene, choice.opened),
            open_gpus=int(gpus.sum()),
            starts=()
            if admit is None
            else tuple(
                Seat(pod=a.pod, name=names[a.pod], node=a.node, devices=a.devices, slices=a.slices)
                for a in admit.placement.assignments
            ),
            lost_gpu_seconds=cost,
            proof=Proof(
                status="optimal" if choice.price <= bound else rest,
                cost=cost,
                bound=min(cost, bound // self._pool.unit),
            ),
        )

    def _overtaken(self, advice: Advice) -> bool:
        """Whether the planner, if all that moves waited anew from now on, would not start the waiting workload."""
        if self._goal.waiting is None:
            return False
        scene, moved = self._scene, [move.workload for move in advice.moves]
        after = lifted(scene.snapshot, moved)
        workloads = dict(after.workloads)
        for key in moved:
            workloads[key] = msgspec.structs.replace(workloads[key], created_s=scene.now_s)
        after = msgspec.structs.replace(after, workloads=workloads)
        planned = plan(after, now_s=scene.now_s, settings=scene.settings, rules=scene.rules)
        waiting = self._goal.waiting.workload.key
        return not any(isinstance(each, Admit) and each.workload == waiting for each in planned.decisions)

    def _move(self, key: WorkloadKey, placed: Mapping[WorkloadKey, Admit]) -> Move:
        workload, now_s = self._scene.snapshot.workloads[key], self._scene.now_s
        pods = workload.placed
        admit = placed.get(key)
        homes = {} if admit is None else {a.pod: a for a in admit.placement.assignments}
        moves: list[PodMove] = []
        for pod in pods:
            home = homes.get(pod.uid)
            moves.append(
                PodMove(
                    pod=pod.uid,
                    name=pod.name,
                    source=NodeName(str(pod.node)),
                    target=None if home is None else home.node,
                    devices=() if home is None else home.devices,
                    slices=() if home is None else home.slices,
                )
            )
        return Move(
            workload=key,
            queue=QueueName(str(workload.queue)),
            pods=tuple(moves),
            milli_gpu=sum(pod.shape.milli_gpu for pod in pods),
            running_s=max(running_s(pod, now_s) for pod in pods),
            lost_gpu_seconds=lost(pods, now_s),
        )

    # None

    def _impossible(self, least: "Chosen | None") -> NoAdvice:
        """It is proved that no moves do it."""
        if least is None or least.choice is None:
            return NoAdvice(message=self._why_never())
        message = f"no moves open {self._target}" if self._goal.waiting is None else f"no moves make {self._target}"
        return NoAdvice(message=f"{message} and leave a place for all that moves", unblock=self._waiting_instead(least))

    def _why_never(self) -> str:
        waiting = self._goal.waiting
        if waiting is None:
            return f"no moves open {self._target}"
        wait = refuse(self._pool.desk, waiting)
        return f"it would not fit even if all work that may move were gone: {wait.message}"

    def _not_found(self, least: "Chosen | None") -> NoAdvice:
        """None was found in time, or none that the rules allow."""
        message = f"no moves were found for {self._target} before the solver's budget or its tries ended"
        return NoAdvice(message=message, certain=False, unblock=self._waiting_instead(least))

    def _waiting_instead(self, least: "Chosen | None") -> str:
        if self._let_wait or least is None or least.choice is None:
            return ""
        names = [people_name(self._pool.keys[at]) for at in least.choice.moved]
        shown = [*names[:SHOWN], *([f"{len(names) - SHOWN} more"] if len(names) > SHOWN else [])]
        return f"It can be done if work may be left waiting: {listed(shown)} would leave." if names else ""
