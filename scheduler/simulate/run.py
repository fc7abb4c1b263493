"""Plans a scenario on a virtual clock until nothing changes, with the planner and the state that the service uses."""

from collections.abc import Callable, Iterable
from typing import assert_never

import msgspec

from scheduler.model.names import WorkloadKey
from scheduler.model.plan import (
    Admit,
    Decision,
    Offer,
    Placement,
    Plan,
    ProofStatus,
    Reclaim,
    RollBack,
    RuleTrouble,
    Wait,
)
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.reasons.explain import evicted_line
from scheduler.planning.settings import PlanSettings
from scheduler.quota.standing import standings
from scheduler.quota.usage import opening_ledger
from scheduler.scoring.own_rules import NO_RULES, OwnRules
from scheduler.scoring.rules.check import broken_rules
from scheduler.scoring.sharing.parts import NONE, Given
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.outcome import Outcome, PlanOutcome
from scheduler.simulate.report import outcome_of
from scheduler.simulate.world import World
from scheduler.state.audit import violations
from scheduler.state.cluster import ClusterState
from scheduler.state.events import Event, Reserved, Ticked

ROUND_S = 1
"""How far the virtual clock moves from round to round."""

STABLE_ROUNDS = 5
"""Further rounds in which nothing may change, by the scenario format."""

_WORST: tuple[ProofStatus, ...] = ("optimal", "feasible", "budget hit")
"""How a placement may be proven, worst last."""


class Simulation:
    """A scenario being played. `clock_ns` measures how long planning takes; nothing is decided by it."""

    def __init__(
        self,
        doc: ScenarioDoc,
        *,
        settings: PlanSettings,
        clock_ns: Callable[[], int],
        rules: OwnRules = NO_RULES,
        watch: Callable[[Snapshot, Plan], None] = lambda _snapshot, _plan: None,
        stable_rounds: int = STABLE_ROUNDS,
    ) -> None:
        """Tell a fresh `ClusterState` everything that stands in the scenario.

        `watch` is shown each plan before it happens, with the snapshot that it was made of. `stable_rounds`: how many
        further rounds may change nothing.
        """
        self._doc = doc
        self._settings = msgspec.structs.replace(settings, reclaim=True)
        self._clock_ns = clock_ns
        self._rules = rules
        self._watch = watch
        self._stable_rounds = stable_rounds
        self._world = World(doc)
        self._state = ClusterState()
        self._plans: list[PlanOutcome] = []
        self._waits: dict[str, Wait] = {}
        self.troubles: dict[RuleTrouble, None] = {}
        """The administrator's own rules that were left out, in the order in which they failed."""
        self._violations: dict[str, None] = {}
        self._apply(self._world.seen_at_start())

    @property
    def snapshot(self) -> Snapshot:
        """The cluster as it is believed to be now."""
        return self._state.snapshot()

    @property
    def now_s(self) -> int:
        """The moment on the virtual clock."""
        return self._world.now_s

    def run(self) -> Outcome:
        """Plan until a round changes nothing, at most the scenario's rounds, and then five more."""
        rounds = 0
        changed = True
        while changed and rounds < self._doc.rounds:
            rounds += 1
            changed = self._round()
        later = [self._round() for _ in range(self._stable_rounds)]
        snapshot = self._state.snapshot()
        return outcome_of(
            self._world,
            rounds=rounds,
            stable=not any(later),
            waits=self._waits,
            plans=self._plans[:rounds],
            stand=standings(snapshot, opening_ledger(snapshot)),
            violations=tuple(self._violations),
        )

    def _round(self) -> bool:
        """Plan once and let it happen; whether anything changed."""
        snapshot = self._state.snapshot()
        started_ns = self._clock_ns()
        planned = plan(snapshot, now_s=self._world.now_s, settings=self._settings, rules=self._rules)
        elapsed_ms = (self._clock_ns() - started_ns) / 1e6
        self._watch(snapshot, planned)
        self._plans.append(_summary(len(self._plans) + 1, planned, elapsed_ms))
        self.troubles.update(dict.fromkeys(planned.troubles))
        self._note(broken_rules(snapshot, planned))
        self._waits = {d.workload: d for d in planned.decisions if isinstance(d, Wait)}
        changes = [self._carry_out(decision) for decision in planned.decisions]
        self._world.now_s += ROUND_S
        self._apply([Ticked(now_s=self._world.now_s)])
        self._note(violations(self._state.snapshot()))
        return any(changes)

    def _carry_out(self, decision: Decision) -> bool:
        """Let the decision happen in the world and tell the state of it; whether it changed anything."""
        match decision:
            case Admit(workload=key, placement=placement):
                self._admit(key, placement)
            case Reclaim():
                for victim in decision.victims:
                    self._world.evicted[victim.workload] = evicted_line(decision, victim)
                    for uid in victim.pods:
                        self._apply(self._world.evict(uid))
                self._admit(decision.workload, decision.placement)
            case Offer():
                if not decision.nodes:
                    return False
                node, _ = decision.nodes[0]
                self._apply(self._world.bind(decision.pod, node, NONE))
            case RollBack():
                for uid in decision.evict:
                    self._apply(self._world.evict(uid))
            case Wait():
                return False
            case _:
                assert_never(decision)
        return True

    def _admit(self, key: WorkloadKey, placement: Placement) -> None:
        snapshot = self._state.snapshot()
        workload = snapshot.workloads[key]
        assignments = placement.assignments
        self._world.rings[key] = placement.ring
        going = {a.pod for a in assignments}
        if workload.queue is not None:
            milli_gpu = sum(p.shape.milli_gpu for p in workload.members if p.uid in going)
            self._apply(
                [
                    Reserved(
                        workload=key,
                        queue=workload.queue,
                        assignments=assignments,
                        milli_gpu=milli_gpu,
                        priority=workload.priority,
                        now_s=self._world.now_s,
                    )
                ]
            )
        for assignment in assignments:
            given = Given(devices=assignment.devices, slices=assignment.slices)
            self._apply(self._world.bind(assignment.pod, assignment.node, given))

    def _apply(self, events: Iterable[Event]) -> None:
        for event in events:
            self._state.apply(event)

    def _note(self, found: Iterable[str]) -> None:
        """Remember what is wrong, each sentence once, in the order in which it was found."""
        self._violations.update(dict.fromkeys(found))


def simulate(
    doc: ScenarioDoc, *, settings: PlanSettings, clock_ns: Callable[[], int], rules: OwnRules = NO_RULES
) -> Outcome:
    """Play the scenario; see `Simulation`. Same scenario and settings, same answer, but for the times measured."""
    return Simulation(doc, settings=settings, clock_ns=clock_ns, rules=rules).run()


def _summary(number: int, planned: Plan, elapsed_ms: float) -> PlanOutcome:
    proofs = [d.placement.proof for d in planned.decisions if isinstance(d, Admit | Reclaim)]
    proofs += [d.proof for d in planned.decisions if isinstance(d, Reclaim) and d.victims]
    status = _WORST[max((_WORST.index(p.status) for p in proofs), default=0)]
    gap = max((p.gap for p in proofs), default=0.0)
    return PlanOutcome(round=number, status=status, gap=gap, elapsed_ms=round(elapsed_ms, 3))
