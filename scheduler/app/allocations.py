"""Devices of claims in plans: given before any pod is let go, and taken back where the plan does not come to its end.

A claim that a plan was given devices for carries a guard (`scheduler.kube.effects_claims`) until its pod stands. So
whatever a crash leaves behind is found from the API: claims with a guard whose pods have no plan under way. Those of
pods that stand lose the guard; those of pods that wait, or are gone, lose the devices too, and are planned anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol

import msgspec

from scheduler.app import log
from scheduler.app.beside import beside
from scheduler.app.binding import GONE, insist
from scheduler.kube.effects import Effects, PodRef, ref
from scheduler.kube.effects_claims import Allocation, ClaimEffects, ClaimRef
from scheduler.kube.outcomes import Outcome, Refused
from scheduler.model.claims import ClaimKey, DeviceName, Grant
from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import Node
from scheduler.model.plan import Assignment
from scheduler.model.workload import Pod
from scheduler.planning.grants import grants

FREED_S = 5.0
"""How long a plan waits for devices that its victims had: their claims are freed some time after the pods are gone."""

GIVEN_UP = "the plan was given up"

NO_ANSWER = "the API server does not tell whether its pods stand"

NodesByName = Mapping[NodeName, Node]


class NotGiven(msgspec.Struct, frozen=True, kw_only=True):
    """Why the claims of a plan did not get their devices; `nodes` are those on which it should not be tried at once."""

    why: str
    nodes: tuple[NodeName, ...] = ()


class Believed(Protocol):
    """What is known of claims."""

    def clash(self, wanted: Mapping[str, Collection[Grant]], *, of: str | None = None) -> str | None:
        """Why claims cannot get what a plan gives them, by what others have, or by what the claim `of` has; or None."""
        ...

    def guarded(self) -> Iterable[tuple[ClaimKey, Collection[Pod]]]:
        """The claims that carry our guard, and the pods that name each."""
        ...


class Allocations:
    """The claims of plans on their way. Lives on the service's event loop; writes of one claim follow each other."""

    def __init__(self, effects: Effects, claims: ClaimEffects, known: Believed) -> None:
        """Nothing is on its way yet."""
        self._effects = effects
        self._claims = claims
        self.known = known
        self._writes: dict[str, asyncio.Task[str | None]] = {}
        self._given_up: set[str] = set()
        self._changed = asyncio.Event()

    def of(
        self, assignments: Iterable[Assignment], pods: Mapping[PodUid, Pod], nodes: Callable[[], NodesByName]
    ) -> "PlanClaims | None":
        """The claims of a plan's pods; None where they have none. `nodes` as they are now."""
        claiming = [each for each in assignments if pods[each.pod].claims]
        return PlanClaims(self, wanted_by(claiming, pods, nodes())) if claiming else None

    async def give(self, wanted: Collection[Allocation]) -> NotGiven | None:
        """Allocate all; None once that is done. Otherwise call `take_back`, since some may have been."""
        if (why := await self._free(wanted)) is not None:
            return NotGiven(why=why)
        for each in wanted:
            self._given_up.discard(each.claim.uid)
        found = await asyncio.gather(*(self._after(each.claim.uid, self._allocating(each)) for each in wanted))
        failed = [(each, why) for each, why in zip(wanted, found, strict=True) if why is not None]
        if not failed:
            return None
        first, why = failed[0]
        if why != GIVEN_UP:
            await self._effects.event(first.pods[0], reason="AllocationFailed", note=why, warning=True, once=True)
        return NotGiven(why=why, nodes=tuple(sorted({each.node for each, _ in failed})))

    async def take_back(self, given: Collection[Allocation]) -> None:
        """Free what was given, or is about to be."""
        self._given_up.update(each.claim.uid for each in given)
        await asyncio.gather(*(self._after(each.claim.uid, self._letting_go(each.claim, each.pods)) for each in given))

    def claim_seen(self) -> None:
        """Claims have changed."""
        self._changed.set()

    def look(self, planned: Callable[[PodUid], bool]) -> None:
        """See to claims with a guard that no plan on its way needs. `planned`: whether one of the pod is."""
        for claim, users in self.known.guarded():
            if claim.uid not in self._writes and not any(planned(pod.uid) for pod in users):
                waiting = [ref(pod) for pod in users if pod.node is None]
                target = ClaimRef(uid=claim.uid, namespace=claim.namespace, name=claim.name)
                self._begin(claim.uid, self._seeing_to(target, waiting))

    async def stop(self) -> None:
        """End everything without another write; whoever leads next sees to what is left."""
        tasks = list(self._writes.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._writes.clear()
        self._given_up.clear()

    async def _free(self, wanted: Collection[Allocation]) -> str | None:
        """Wait a while for devices that other claims have; why these are not to be had still, or None."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + FREED_S
        grants = {each.claim.uid: each.grants for each in wanted}
        while (why := self.known.clash(grants)) is not None:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(give_up_s):
                    await self._changed.wait()
            except TimeoutError:
                return why
        return None

    def _allocating(self, wanted: Allocation) -> Callable[[], Awaitable[str | None]]:
        async def write() -> Outcome:
            if wanted.claim.uid in self._given_up:
                return Refused(status=0, message=GIVEN_UP, passing=False)
            return await self._claims.allocate(wanted)

        async def allocate() -> str | None:
            why = await insist(write)
            if why is None or why == GIVEN_UP:
                return why
            return f"claim {wanted.claim}: {'it is gone' if why == GONE else why}"

        return allocate

    def _letting_go(self, claim: ClaimRef, pods: Collection[PodRef]) -> Callable[[], Awaitable[str | None]]:
        async def let_go() -> str | None:
            why = await insist(lambda: self._claims.let_go(claim, pods))
            if why not in (None, GONE):
                log.warning("a claim keeps what a plan gave it", claim=str(claim), why=why)
            return why

        return let_go

    def _seeing_to(self, claim: ClaimRef, waiting: Collection[PodRef]) -> Callable[[], Awaitable[str | None]]:
        """Take the guard off, and these pods where they wait by the API server's own word.

        A pod that was bound a moment ago may not be seen on its node yet, and must not lose its devices.
        """

        async def see_to() -> str | None:
            stands = {pod: await self._effects.on_a_node(pod) for pod in waiting}
            if None in stands.values():
                return NO_ANSWER
            return await self._letting_go(claim, [pod for pod, on_node in stands.items() if not on_node])()

        return see_to

    async def _after(self, uid: str, work: Callable[[], Awaitable[str | None]]) -> str | None:
        """Do this when earlier writes of the claim have ended; it goes on though the caller is cancelled."""
        return await asyncio.shield(self._begin(uid, work))

    def _begin(self, uid: str, work: Callable[[], Awaitable[str | None]]) -> asyncio.Task[str | None]:
        earlier = self._writes.get(uid)

        async def in_turn() -> str | None:
            if earlier is not None:
                await asyncio.wait({earlier})
            return await work()

        task = beside(in_turn())
        self._writes[uid] = task
        task.add_done_callback(lambda done: self._forget(uid, done))
        return task

    def _forget(self, uid: str, done: asyncio.Task[str | None]) -> None:
        if self._writes.get(uid) is done:
            del self._writes[uid]


class PlanClaims:
    """The claims of one plan."""

    def __init__(self, allocations: Allocations, wanted: tuple[Allocation, ...] | str) -> None:
        """`wanted`: what they are to get, or why that is not possible any more."""
        self._allocations = allocations
        self._trouble = wanted if isinstance(wanted, str) else None
        self._wanted = () if isinstance(wanted, str) else wanted
        self._grants = {each.claim.uid: each.grants for each in self._wanted}
        self._seen: set[str] = set()

    async def give(self) -> NotGiven | None:
        """Give the claims their devices; why that could not be done, or None."""
        return NotGiven(why=self._trouble) if self._trouble else await self._allocations.give(self._wanted)

    async def ended(self, without: Collection[PodUid]) -> None:
        """The plan came to its end, but for these pods: their devices are free again."""
        lost = [each for each in self._wanted if all(pod.uid in without for pod in each.pods)]
        if lost:
            await self._allocations.take_back(lost)

    def lost(self, uid: str, allocated: Collection[DeviceName]) -> str | None:
        """What a claim as it is now means for the plan: why it cannot stand, or None."""
        own = self._grants.get(uid)
        if own is None:
            return self._allocations.known.clash(self._grants, of=uid) if allocated else None
        if {grant.device for grant in own} == set(allocated):
            self._seen.add(uid)
        elif uid in self._seen:
            return "a claim lost the devices that it was given"
        return None


def wanted_by(
    assignments: Iterable[Assignment], pods: Mapping[PodUid, Pod], nodes: NodesByName
) -> tuple[Allocation, ...] | str:
    """What the claims of a plan's pods are to get; or a sentence on why they cannot."""
    found: list[Allocation] = []
    for assignment in assignments:
        pod = pods[assignment.pod]
        if not pod.claims:
            continue
        node = nodes.get(assignment.node)
        given = f"{assignment.node} is gone" if node is None else grants(pod, assignment, node)
        if isinstance(given, str):
            return given
        found += [
            Allocation(
                claim=ClaimRef(uid=claim.uid, namespace=pod.namespace, name=claim.claim),
                pods=(ref(pod),),
                node=assignment.node,
                grants=given[claim.uid],
            )
            for claim in pod.claims
            if claim.uid in given
        ]
    return tuple(found)
