"""All plans on their way: starts them, tells them what happens to their pods and nodes, and settles how they end."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any, NamedTuple, assert_never

import msgspec

from scheduler.app.allocations import Allocations, PlanClaims
from scheduler.app.beside import beside
from scheduler.app.binding import NOT_LEADING, bind_for_good
from scheduler.app.board import Board
from scheduler.app.carry import DOUBT_S, Bound, BrokenUp, Carry, CarryLimits, CarryResult, Member, Withdrawn
from scheduler.app.refusals import Refusals
from scheduler.app.reservation import reservation
from scheduler.extender.guard import BindRequest, Offered, Planned
from scheduler.extender.verbs import WAITS
from scheduler.kube.effects import Effects, PodRef, ref
from scheduler.model.claims import DeviceName
from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.plan import Admit, Assignment, Offer
from scheduler.model.resources import GPU, is_divided
from scheduler.model.snapshot import amount_of
from scheduler.model.workload import Pod, Workload
from scheduler.scoring.sharing.divided import count, need_of
from scheduler.scoring.sharing.parts import divided_of
from scheduler.state.cluster import ClusterState
from scheduler.state.divided import undivided
from scheduler.state.events import Event, NodeRefused, Released, Reserved


class CommitLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Time limits of plans on their way, in seconds."""

    arrival_timeout_s: float
    refusal_memory_s: float
    offer_timeout_s: float


class Clocks(NamedTuple):
    """Times that plans go by: whole seconds since 1970, and when kube-scheduler last asked, on the loop's clock."""

    now_s: Callable[[], int]
    scheduler_seen_s: Callable[[], float]


class _Offering(msgspec.Struct, frozen=True, kw_only=True):
    workload: WorkloadKey
    pod: PodRef
    nodes: Mapping[NodeName, int]
    expiry: asyncio.TimerHandle
    doubted: bool = False


class Committer:
    """The plans on their way. Lives on the service's event loop; `wake` makes the planner look again."""

    def __init__(  # noqa: PLR0913  each by its name
        self,
        *,
        effects: Effects,
        board: Board,
        limits: CommitLimits,
        state: ClusterState,
        clocks: Clocks,
        wake: Callable[[], None],
        claims: Allocations | None = None,
        ended: Callable[[WorkloadKey, CarryResult], None] = lambda _key, _result: None,
    ) -> None:
        self._effects = effects
        self._board = board
        self._limits = limits
        self._state = state
        self._clocks = clocks
        self._wake = wake
        self._claims = claims
        self._ended = ended
        self._carries: dict[PodUid, Carry] = {}
        self._on_node: dict[NodeName, dict[WorkloadKey, Carry]] = {}
        self._offers: dict[PodUid, _Offering] = {}
        self._refusals = Refusals(memory_s=limits.refusal_memory_s)
        self._resting: dict[WorkloadKey, asyncio.TimerHandle] = {}
        self._claiming: dict[Carry, PlanClaims] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """How many plans and offers are on their way."""
        return len(self._tasks) + len(self._offers)

    def rests(self, workload: WorkloadKey) -> bool:
        """Whether kube-scheduler refused plans of the workload so often that the next one has to wait a while."""
        return workload in self._resting

    def admit(self, decision: Admit, workload: Workload, *, nominate: bool, plan_name: str) -> None:
        """Start to carry an admission out."""
        nodes = {a.pod: a.node for a in decision.placement.assignments}
        pods = {p.uid: self._state.pod(p.uid) or p for p in workload.pending}
        members = tuple(
            Member(
                ref=ref(pods[uid]),
                node=node,
                gated=pods[uid].gated,
                nominated=pods[uid].nominated_node,
                judged=pods[uid].unschedulable and WAITS not in pods[uid].scheduler_message,
            )
            for uid, node in sorted(nodes.items())
        )
        reserved = self._reserve(workload, decision.placement.assignments)
        claims = self._plan_claims(decision.placement.assignments, pods)
        carry = Carry(
            workload.key,
            members,
            effects=self._effects,
            limits=CarryLimits(nominate=nominate, arrival_timeout_s=self._limits.arrival_timeout_s),
            plan_name=plan_name,
            scheduler_seen_s=self._clocks.scheduler_seen_s,
            give=None if claims is None else claims.give,
        )
        if claims is not None:
            self._claiming[carry] = claims
        for uid, node in nodes.items():
            self._carries[uid] = carry
            self._on_node.setdefault(node, {})[workload.key] = carry
            self._board.put(uid, Planned(node=node, workload=workload.key))
        self._spawn(self._carry_out(carry, reserved, claims))

    def offer(self, decision: Offer, workload: Workload, *, plan_name: str) -> None:
        """Let kube-scheduler choose among the offered nodes; quota is charged meanwhile."""
        pod = next(p for p in workload.pending if p.uid == decision.pod)
        self._reserve(workload, ())
        nodes = dict(decision.nodes)
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(self._limits.offer_timeout_s, self._offer_ended, pod.uid)
        self._offers[pod.uid] = _Offering(workload=workload.key, pod=ref(pod), nodes=nodes, expiry=expiry)
        self._board.put(pod.uid, Offered(scores=nodes, workload=workload.key))
        self._spawn(self._let_go(pod, plan_name))

    async def bind(self, request: BindRequest) -> str | None:
        """kube-scheduler wants a pod bound. None: it is; otherwise why not."""
        uid, node = request.pod, request.node
        if (carry := self._carries.get(uid)) is not None:
            return await carry.arrive(uid, node)
        pod = PodRef(uid=uid, namespace=request.namespace, name=request.name)
        if (offering := self._offers.get(uid)) is not None:
            if node not in offering.nodes:
                return f"{node} was not offered to {pod.namespace}/{pod.name}"
            if not self._has_room(uid, node):
                return f"{node} is planned for others"
            return await bind_for_good(self._effects, pod, node)
        if self._board.get(uid) is not None or self._state.workload_of(uid) is not None:
            return f"{pod.namespace}/{pod.name} has no plan"
        return await bind_for_good(self._effects, pod, node)

    def _has_room(self, uid: PodUid, node: NodeName) -> bool:
        """Whether what plans on their way leave of the node is enough for the pod."""
        pod, snapshot = self._state.pod(uid), self._state.snapshot()
        columns = snapshot.columns
        row = columns.row_of.get(node)
        if pod is None or row is None:
            return False
        requests = pod.shape.requests
        if snapshot.nodes[node].on_demand and undivided(requests) != requests:
            have = divided_of(snapshot, row)
            if not count(have, need_of(pod.shape, have.capacities)):
                return False
            requests = undivided(requests)
        free = zip(columns.resources, columns.free[row].tolist(), strict=True)
        return all(left >= asked for name, left in free if (asked := amount_of(requests, name)))

    def node_refused(self, uid: PodUid, node: NodeName) -> None:
        """kube-scheduler would not take the planned node of a pod."""
        carry = self._carries.get(uid)
        if carry is not None and carry.members[uid].node == node:
            carry.refuse(uid)

    def pod_refused(self, uid: PodUid) -> None:
        """kube-scheduler says that it finds no node for the pod: those planned or offered were among those refused.

        As with a plan, what it says may rest on an older view, so an offer stands a little longer.
        """
        if (carry := self._carries.get(uid)) is not None:
            self.node_refused(uid, carry.members[uid].node)
        elif (offering := self._offers.get(uid)) is not None and not offering.doubted:
            offering.expiry.cancel()
            expiry = asyncio.get_running_loop().call_later(DOUBT_S, self._offer_ended, uid)
            self._offers[uid] = msgspec.structs.replace(offering, expiry=expiry, doubted=True)

    def pod_seen(self, pod: Pod) -> None:
        """A pod as it is now: a member that is leaving, or that stands already, ends a plan whose barrier is closed."""
        carry = self._carries.get(pod.uid)
        if pod.node is not None:
            if carry is not None:
                # The plan was made before our watch told of an earlier bind; nobody will bring this pod any more.
                carry.withdraw(f"member {pod.name} stands on {pod.node} already")
            self._forget(pod.uid)
        elif carry is not None and pod.deleting:
            carry.withdraw(f"member {pod.name} is being deleted")

    def pod_gone(self, uid: PodUid) -> None:
        """A pod is no more."""
        if (carry := self._carries.get(uid)) is not None:
            carry.withdraw(f"member {carry.members[uid].ref.name} was deleted")
        refused = self._refusals.pod_gone(uid)
        if refused is not None and (rest := self._resting.pop(refused, None)) is not None:
            rest.cancel()
        self._forget(uid)

    def planned(self, uid: PodUid) -> bool:
        """Whether a plan of the pod is on its way."""
        return uid in self._carries

    def claim_seen(self, uid: str, allocated: Collection[DeviceName]) -> None:
        """A claim as it is now: plans whose devices it has, or that gave it others than it has now, end."""
        if self._claims is not None:
            self._claims.claim_seen()
        for carry, claims in self._claiming.items():
            if (why := claims.lost(uid, allocated)) is not None:
                carry.withdraw(why)

    def node_unusable(self, node: NodeName, why: str) -> None:
        """A node is gone, cordoned or not ready: plans that use it end, unless they are being bound."""
        for carry in self._on_node.get(node, {}).values():
            carry.withdraw(f"{node} {why}")

    def node_fuller(self, node: NodeName) -> None:
        """Others took of a node, or it has less than before: plans that do not fit there any more end."""
        if node not in self._on_node:
            return
        snapshot = self._state.snapshot()
        columns = snapshot.columns
        row = columns.row_of.get(node)
        if row is None:
            return
        short = (columns.allocatable[row] < columns.used[row]).tolist()
        lacks = {name for name, is_short in zip(columns.resources, short, strict=True) if is_short}
        if GPU in lacks and snapshot.nodes[node].on_demand:
            lacks.update(filter(is_divided, self._asked_on(node)))
        for carry in list(self._on_node[node].values()):
            if lacks and any(m.node == node and self._asks_for(m.ref.uid, lacks) for m in carry.members.values()):
                carry.withdraw(f"{node} was filled by others")

    def _asked_on(self, node: NodeName) -> set[str]:
        """The extended resources that planned members on a node ask for."""
        uids = (m.ref.uid for carry in self._on_node[node].values() for m in carry.members.values() if m.node == node)
        pods = (pod for uid in uids if (pod := self._state.pod(uid)) is not None)
        return {name for pod in pods for name, _ in pod.shape.requests.extended}

    def _asks_for(self, uid: PodUid, resources: Collection[str]) -> bool:
        pod = self._state.pod(uid)
        return pod is not None and any(amount_of(pod.shape.requests, name) > 0 for name in resources)

    async def stop(self) -> None:
        """End everything without another write; what was under way is planned anew by whoever leads."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A task cancelled before its first step has settled nothing.
        for workload in {c.workload for c in self._carries.values()}:
            self._apply(Released(workload=workload))
        self._carries.clear()
        self._on_node.clear()
        for uid in list(self._offers):
            self._withdraw_offer(uid)
        self._board.close()

    def _apply(self, event: Event) -> None:
        self._state.apply(event)
        self._wake()

    def _reserve(self, workload: Workload, assignments: tuple[Assignment, ...]) -> Reserved:
        made = reservation(workload, assignments, now_s=self._clocks.now_s())
        self._apply(made)
        return made

    def _plan_claims(self, assignments: tuple[Assignment, ...], pods: Mapping[PodUid, Pod]) -> PlanClaims | None:
        if self._claims is None:
            return None
        return self._claims.of(assignments, pods, lambda: self._state.snapshot().nodes)

    async def _carry_out(self, carry: Carry, reserved: Reserved, claims: PlanClaims | None) -> None:
        result: CarryResult = Withdrawn(why=NOT_LEADING)
        try:
            result = await carry.run()
            if claims is not None:
                # The devices of what did not start are free before others may be planned on them.
                await claims.ended(_not_started(carry, result))
        finally:
            self._claiming.pop(carry, None)
            self._settle(carry, result, reserved)

    def _settle(self, carry: Carry, result: CarryResult, reserved: Reserved) -> None:
        self._take_off(carry)
        match result:
            case Bound():
                self._refusals.end(carry.workload)
            case Withdrawn(refused=refused):
                self._board.withdraw(carry.members, carry.workload)
                if refused:
                    self._refusals.add(carry.workload, carry.members)
                    self._rest(carry.workload)
                self._apply(Released(workload=carry.workload))
                self._avoid(carry.workload, refused)
            case BrokenUp(failed=failed):
                self._board.withdraw(failed, carry.workload)
                self._apply(Released(workload=carry.workload))
                # The bound ones stay reserved until they are seen on their nodes.
                kept = tuple(a for a in reserved.assignments if a.pod not in failed)
                if kept:
                    self._apply(msgspec.structs.replace(reserved, assignments=kept))
            case _:
                assert_never(result)
        self._ended(carry.workload, result)

    def _take_off(self, carry: Carry) -> None:
        for uid, member in carry.members.items():
            if self._carries.get(uid) is carry:
                del self._carries[uid]
            plans = self._on_node.get(member.node, {})
            if plans.get(carry.workload) is carry:
                del plans[carry.workload]
            if not plans:
                self._on_node.pop(member.node, None)

    def _rest(self, workload: WorkloadKey) -> None:
        rest_s = self._refusals.rest_s(workload)
        if rest_s > 0 and workload not in self._resting:
            self._resting[workload] = asyncio.get_running_loop().call_later(rest_s, self._rested, workload)

    def _rested(self, workload: WorkloadKey) -> None:
        del self._resting[workload]
        self._wake()

    async def _let_go(self, pod: Pod, plan_name: str) -> None:
        if pod.gated:
            await self._effects.ungate(ref(pod))
        else:
            await self._effects.wake(ref(pod), plan_name)

    def _avoid(self, workload: WorkloadKey, nodes: Iterable[NodeName]) -> None:
        until_s = self._clocks.now_s() + round(self._refusals.memory_s(workload))
        for node in nodes:
            self._apply(NodeRefused(workload=workload, node=node, until_s=until_s))

    def _offer_ended(self, uid: PodUid) -> None:
        """kube-scheduler took none of the offered nodes in time."""
        offering, pod = self._offers.get(uid), self._state.pod(uid)
        self._withdraw_offer(uid)
        if offering is not None and pod is not None and pod.unschedulable:
            self._refusals.add(offering.workload, (uid,))
            self._avoid(offering.workload, offering.nodes)

    def _withdraw_offer(self, uid: PodUid) -> None:
        if (offering := self._offers.pop(uid, None)) is not None:
            offering.expiry.cancel()
            self._board.withdraw((uid,), offering.workload)
            self._apply(Released(workload=offering.workload))

    def _forget(self, uid: PodUid) -> None:
        if (offering := self._offers.pop(uid, None)) is not None:
            offering.expiry.cancel()
            self._apply(Released(workload=offering.workload))
        self._board.drop(uid)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = beside(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _not_started(carry: Carry, result: CarryResult) -> Collection[PodUid]:
    match result:
        case Bound():
            return ()
        case Withdrawn():
            return carry.members
        case BrokenUp(failed=failed):
            return failed
        case _:
            assert_never(result)
