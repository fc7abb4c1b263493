"""Everything that one plan works with and changes as it goes: free room, the queues' ledger, what is held back."""

import msgspec
import numpy as np

from scheduler.model.names import PodUid, QueueName, WorkloadKey
from scheduler.model.plan import Admit, Decision, Proof, Wait
from scheduler.model.queue import Queue
from scheduler.model.snapshot import IntTable, Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.planning.apart import Apart
from scheduler.planning.candidate import Candidate
from scheduler.planning.known import Known
from scheduler.planning.reasons.stands import Stands
from scheduler.planning.reclaim.table import Table
from scheduler.planning.reserve.slots import Passed, Slots
from scheduler.planning.reserve.timeline import Timeline
from scheduler.planning.settings import PlanSettings
from scheduler.quota.tree import Bill, Ledger, base_bill, flavor_charges, payer
from scheduler.scoring.fleet import Codes, Fleet, Mask
from scheduler.scoring.gangs.gang import Ask, Layout, Limits, Together
from scheduler.scoring.gangs.place import place
from scheduler.scoring.own_rules import NO_RULES, OwnRules, Panel
from scheduler.scoring.room import Room
from scheduler.scoring.topology import find_level


class Seat(msgspec.Struct, frozen=True, eq=False):
    """A gang that this plan placed: the members, where they go, and the decision that says so."""

    candidate: Candidate
    layout: Layout
    admit: Admit


Leaving = tuple[Workload, tuple[Pod, ...]]
"""A workload, and those of its members that leave."""


class Desk:
    """The working state of one plan. Free room and quota only ever shrink, so a refusal stays true for the cycle."""

    def __init__(
        self,
        snapshot: Snapshot,
        fleet: Fleet,
        ledger: Ledger,
        *,
        now_s: int,
        settings: PlanSettings,
        rules: OwnRules = NO_RULES,
        known: Known | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.fleet = fleet
        self.own = Panel(rules, snapshot, fleet)
        self.room = Room(snapshot, fleet, self.own)
        self.ledger = ledger
        self.apart = Apart(snapshot, fleet)
        self.holds = Holds(len(fleet), self.room.free.shape[1])
        self.settings = settings
        self.now_s = now_s
        self.solver_left_ms = float(settings.solver_budget_ms)
        self.decisions: list[Decision] = []
        self.seats: list[Seat] = []
        self.batches = 0
        """Gangs for which others were looked at anew."""
        self.looks = 0
        """Refusals about which more was found out than the reason."""
        self.moving: dict[WorkloadKey, WorkloadKey] = {}
        """Workloads of which this plan starts or evicts pods, and for which workload."""
        self.gone: set[PodUid] = set()
        """Pods that make way by this plan."""
        self.softer: dict[tuple[QueueName, int, int], Bill] = {}
        """What could make way within its queue, by queue, priority and how many decisions were made."""
        self.leaving: dict[int, set[PodUid]] = {}
        """Rows of nodes whose room this plan counts on when work has left, and the pods that leave."""
        self.departing: tuple[Leaving, ...] = ()
        """Members that leave anyway, as far as nobody was given their room."""
        self.shut: frozenset[int] = frozenset()
        """Rows of nodes that nobody is given."""
        self.firm: Ledger | None = None
        """What queues use for work that is not preemptible, once that was asked for."""
        self.freed: dict[int, set[int]] = {}
        """GPUs of each row that become free by that."""
        self.slots = Slots(self.room)
        """What is kept for blocked workloads from a later time on."""
        self.unreserved = ledger
        """The ledger without what is kept for blocked workloads, where `ledger` has that too."""
        self.known = Known() if known is None else known
        self.last_ends: Codes | None = None
        """Until when each node is in use, once that was asked for; `last_ends_seen` decisions are counted in."""
        self.last_ends_seen = 0
        self._stands: Stands | None = None
        self._timeline: Timeline | None = None
        self._table: Table | None = None
        self._uncertain: set[WorkloadKey] = set()
        self._refusals: dict[object, Wait] = {}

    def payer(self, workload: Workload) -> Queue:
        """The queue that a workload is charged to."""
        return payer(self.snapshot.queues, workload)

    def base_bill(self, candidate: Candidate) -> Bill:
        """What the pending members are charged wherever they go."""
        return base_bill(self.payer(candidate.workload), candidate.groups)

    def ask(
        self,
        candidate: Candidate,
        *,
        ignore_quota: bool = False,
        ignore_avoid: bool = False,
        ignore_apart: bool = False,
    ) -> Ask:
        """The question of where the pending members may go, as quota, past refusals and exclusive gangs leave it."""
        workload = candidate.workload
        topology = self.snapshot.topology
        mask = None if ignore_quota else self._affordable(candidate)
        if workload.avoid and not ignore_avoid:
            mask = np.ones(len(self.fleet), dtype=np.bool_) if mask is None else mask.copy()
            mask[self.fleet.rows(workload.avoid)] = False
        if self.shut:
            mask = np.ones(len(self.fleet), dtype=np.bool_) if mask is None else mask.copy()
            mask[list(self.shut)] = False
        apart = self.apart.open_to(workload, alone=ignore_apart)
        if apart is not None:
            mask = apart if mask is None else mask & apart
        level = [
            None if name is None else find_level(self.fleet, topology, name)
            for name in (workload.topology_required, workload.topology_preferred)
        ]
        return Ask(
            groups=candidate.groups,
            topology=topology,
            required=level[0],
            preferred=level[1],
            slices=tuple(
                (level, size)
                for name, size in workload.topology_slices
                if (level := find_level(self.fleet, topology, name)) is not None
            ),
            together=self._together(candidate),
            standing=tuple(self.fleet.rows(pod.node for pod in candidate.standing if pod.node is not None)),
            allowed=mask,
        )

    def _together(self, candidate: Candidate) -> tuple[Together, ...]:
        """The groups of each role that has a level of its own."""
        roles: dict[tuple[str, str], list[int]] = {}
        for g, members in enumerate(candidate.members):
            if (required := members[0].role_required) is not None:
                roles.setdefault((members[0].role, required), []).append(g)
        found: list[Together] = []
        for (role, required), groups in sorted(roles.items()):
            level = find_level(self.fleet, self.snapshot.topology, required)
            if level is not None:
                names = (pod.node for pod in candidate.standing if pod.role == role and pod.node is not None)
                found.append(Together(level=level, groups=tuple(groups), standing=tuple(self.fleet.rows(names))))
        return tuple(found)

    def place(self, candidate: Candidate, ask: Ask) -> Layout | None:
        """The best layout that is found with what is left of the solver's budget."""
        narrowed: list[int] = []
        bound: int | None = None
        shapes = [shape for shape, _ in ask.groups]
        while True:
            layout = self._place_once(candidate, ask)
            clashing = [] if layout is None else self.room.clashing(shapes, layout.groups)
            if layout is None or not clashing:
                break
            # Capacity counts the linked sets, parts and slices of each shape by themselves. Where those of several do
            # not fit together, a GPU is taken off the node until they do.
            bound = layout.proof.bound if bound is None else bound
            self._uncertain.add(candidate.workload.key)
            self.room.narrow(clashing, 1)
            narrowed += clashing
        if narrowed:
            self.room.narrow(narrowed, -1)
        if layout is None or bound is None:
            return layout
        proof = Proof(status="feasible", cost=layout.proof.cost, bound=min(bound, layout.proof.cost))
        return msgspec.structs.replace(layout, proof=proof)

    def could_place(self, candidate: Candidate, ask: Ask) -> Layout | None:
        """As `place` without the solver, and without a trace."""
        before = self.solver_left_ms, self._uncertain
        self.solver_left_ms, self._uncertain = 0.0, set()
        layout = self.place(candidate, ask)
        self.solver_left_ms, self._uncertain = before
        return layout

    @property
    def stands(self) -> Stands:
        """What each workload takes of each node."""
        if self._stands is None:
            self._stands = self.known.stands.of(self.snapshot, self.fleet, self.room)
        return self._stands

    @property
    def timeline(self) -> Timeline:
        """When the work that runs is expected to end. On nodes that divide their GPUs nothing is."""
        if self._timeline is None:
            fixed = np.zeros(len(self.fleet), dtype=np.bool_)
            fixed |= self.room.parts.rows
            self._timeline = Timeline(self.stands, self.snapshot, self.known.ends, now_s=self.now_s, fixed=fixed)
        return self._timeline

    @property
    def table(self) -> Table:
        """What decides of each of these workloads whether it may have to leave."""
        if self._table is None:
            self._table = self.known.table.of(self.snapshot, self.fleet, self.stands.keys)
        return self._table

    def _place_once(self, candidate: Candidate, ask: Ask) -> Layout | None:
        limits = Limits(budget_ms=self.solver_left_ms, seed=self.settings.seed, workers=self.settings.workers)
        placed = place(self.room, ask, limits)
        self.solver_left_ms -= placed.spent_ms
        if placed.layout is None and not placed.certain:
            self._uncertain.add(candidate.workload.key)
        return placed.layout

    def is_certain(self, candidate: Candidate) -> bool:
        """Whether it is proved that a refused candidate has no place, rather than that none was found in time."""
        return candidate.workload.key not in self._uncertain

    def refusal(self, candidate: Candidate, passed: Passed, wait: Wait) -> Wait:
        """Remember why a candidate, which would run past these slots, was refused, for others that ask the same."""
        self._refusals[passed, refusal_key(candidate)] = wait
        return wait

    def forget_refusals(self) -> None:
        """What was refused may have a place now."""
        self._refusals.clear()

    def refused(self, candidate: Candidate, passed: Passed) -> Wait | None:
        """What an equal candidate that would run past the same slots was told earlier in this cycle."""
        known = self._refusals.get((passed, refusal_key(candidate)))
        return None if known is None else msgspec.structs.replace(known, workload=candidate.workload.key)

    def _affordable(self, candidate: Candidate) -> Mask | None:
        """Nodes whose flavors the queue can pay for all pending members; None where that is every node."""
        queue = self.snapshot.queues[QueueName(str(candidate.workload.queue))]
        if not queue.flavors:
            return None
        products = self.fleet.products
        accepts = [self.pays_for(candidate, product) for product in products.values]
        if all(accepts):
            return None
        return np.array([*accepts, True], dtype=np.bool_)[products.codes]

    def pays_for(self, candidate: Candidate, product: str) -> bool:
        """Whether the queue has quota left for all pending members on nodes of `product`."""
        queue = self.snapshot.queues[QueueName(str(candidate.workload.queue))]
        sums: dict[str, int] = {}
        for shape, count in candidate.groups:
            for flavor, n in flavor_charges(queue, shape, product):
                sums[flavor] = sums.get(flavor, 0) + n * count
        lefts = {flavor: self.ledger.headroom(queue.name, flavor) for flavor in sums}
        return all((left := lefts[flavor]) is None or n <= left for flavor, n in sums.items())


class Holds:
    """Room kept for gangs that wait at the head of the order. It is taken from the room like any other use."""

    def __init__(self, nodes: int, resources: int) -> None:
        self.amounts: IntTable = np.zeros((nodes, resources), dtype=np.int64, order="F")
        self.rows: Mask = np.zeros(nodes, dtype=np.bool_)
        self.pool: Mask = np.zeros(nodes, dtype=np.bool_)
        self.holders: list[str] = []


def refusal_key(candidate: Candidate) -> tuple[object, ...]:
    """What decides whether a candidate can be placed; equal keys get equal answers."""
    workload = candidate.workload
    return (
        workload.queue,
        candidate.groups,
        tuple((members[0].role, members[0].role_required) for members in candidate.members),
        candidate.needed,
        workload.role_minimums,
        workload.preemptible,
        workload.user,
        workload.topology_required,
        workload.topology_preferred,
        workload.topology_slices,
        workload.topology_exclusive,
        workload.avoid,
        tuple(pod.node for pod in candidate.standing),
    )
