"""ResourceClaims: what pods ask for by them, and which devices each has."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence

import msgspec

from scheduler.model.claims import Amounts, ClaimKey, ClaimWait, DeviceName, Part, PodClaim
from scheduler.model.names import NodeName, PodUid
from scheduler.model.resources import Resources, extended, plus
from scheduler.model.workload import Pod, PodShape, Problem, Requirement
from scheduler.state.events import ClaimSeen
from scheduler.state.kinds import Kinds, Shares

RULE = "resource claims"
"""The rule of a pod that only kube-scheduler can judge: claims that are not ours."""

SHAPES_KEPT = 4096

Pool = tuple[str, str]
"""Driver and name."""


class ClaimBook:
    """Claims, and the pods that name them. Of several pods that name one, the first by `_turn` is charged for it."""

    def __init__(self, carries: Callable[[PodUid], bool] = lambda _: False) -> None:
        """No claims. `carries`: whether a plan that is being carried out has devices for the pod."""
        self._carries = carries
        self._claims: dict[str, ClaimSeen] = {}
        self._named: dict[str, str] = {}
        self._in_pool: dict[Pool, dict[str, tuple[DeviceName, ...]]] = {}
        self._guarded: set[str] = set()
        self._pods: dict[PodUid, Pod] = {}
        self._users: dict[str, set[PodUid]] = {}
        self._shapes: dict[Hashable, PodShape] = {}

    def see(self, claim: ClaimSeen) -> set[Pool] | None:
        """A claim as it is now: the pools in which it has or had devices, None where it is no news."""
        old = self._claims.get(claim.uid)
        if old == claim:
            return None
        touched = self._drop(claim.uid)
        name = f"{claim.namespace}/{claim.name}"
        namesake = self._named.get(name)
        if namesake is not None:
            # Of two claims with one name the one seen later is there; the end of the other was missed.
            touched |= self._drop(namesake)
        self._claims[claim.uid] = claim
        self._named[name] = claim.uid
        if claim.guarded:
            self._guarded.add(claim.uid)
        for device in claim.allocated:
            pool = (device.driver, device.pool)
            there = self._in_pool.setdefault(pool, {})
            there[claim.uid] = (*there.get(claim.uid, ()), device)
            touched.add(pool)
        return touched

    def forget(self, uid: str) -> set[Pool] | None:
        """A claim is gone: the pools in which it had devices, None where it was not known."""
        return self._drop(uid) if uid in self._claims else None

    def name_of(self, uid: str) -> str:
        """The namespace/name of a claim; "" where it is not known."""
        claim = self._claims.get(uid)
        return "" if claim is None else f"{claim.namespace}/{claim.name}"

    def _drop(self, uid: str) -> set[Pool]:
        old = self._claims.pop(uid, None)
        if old is None:
            return set()
        self._guarded.discard(uid)
        del self._named[f"{old.namespace}/{old.name}"]
        touched = {(device.driver, device.pool) for device in old.allocated}
        for pool in touched:
            del self._in_pool[pool][uid]
            if not self._in_pool[pool]:
                del self._in_pool[pool]
        return touched

    def in_pools(self, pools: Iterable[Pool]) -> dict[str, tuple[DeviceName, ...]]:
        """Which claims have which devices of the pools."""
        found: dict[str, tuple[DeviceName, ...]] = {}
        for pool in pools:
            for uid, devices in self._in_pool.get(pool, {}).items():
                found[uid] = (*found.get(uid, ()), *devices)
        return found

    def parts_of(self, uid: str) -> tuple[Part, ...]:
        """What a claim has of devices that are shared."""
        claim = self._claims.get(uid)
        return () if claim is None else claim.parts

    def naming(self) -> tuple[PodUid, ...]:
        """The pods that name claims."""
        return tuple(self._pods)

    def guarded(self) -> list[tuple[ClaimKey, Collection[Pod]]]:
        """The claims that were given devices for plans whose pods may not all stand; the pods that name each."""
        claims = [self._claims[uid] for uid in sorted(self._guarded)]
        return [
            (ClaimKey(uid=c.uid, namespace=c.namespace, name=c.name), self.users(f"{c.namespace}/{c.name}"))
            for c in claims
        ]

    # Pods

    def put(self, pod: Pod) -> set[PodUid]:
        """A pod as it was seen; the pods that share claims with it, now or until now."""
        old = self._pods.get(pod.uid)
        if old is None and not pod.claims:
            return set()
        others = self.remove(pod.uid)
        if not pod.claims:
            return others
        self._pods[pod.uid] = pod
        for name in _names(pod):
            users = self._users.setdefault(name, set())
            others |= users
            users.add(pod.uid)
        return others

    def remove(self, uid: PodUid) -> set[PodUid]:
        """A pod is gone; the pods that shared claims with it."""
        pod = self._pods.pop(uid, None)
        others: set[PodUid] = set()
        for name in _names(pod) if pod is not None else ():
            users = self._users[name]
            users.discard(uid)
            others |= users
            if not users:
                del self._users[name]
        return others

    def users(self, name: str) -> list[Pod]:
        """The pods that name a claim, as they were seen."""
        return [self._pods[uid] for uid in sorted(self._users.get(name, ()))]

    def sharing(self, uids: Iterable[PodUid]) -> set[PodUid]:
        """The pods that share a claim with one of these, and those of these that do."""
        found: set[PodUid] = set()
        for name in {name for uid in uids if uid in self._pods for name in _names(self._pods[uid])}:
            users = self._users[name]
            found |= users if len(users) > 1 else set()
        return found

    def seen(self, pod: Pod) -> Pod:
        """The pod as it was seen, before claims counted."""
        return self._pods.get(pod.uid, pod)

    def resolve(self, pod: Pod, node_of: Mapping[Pool, NodeName], kinds: Kinds) -> Pod:
        """The pod with what its claims ask for and have.

        `node_of`: where the devices of each pool are. `kinds`: which there are of GPUs that can be claimed.
        """
        if not pod.claims:
            return pod
        every = [(ref, self._claims.get(self._named.get(f"{pod.namespace}/{ref.claim}", ""))) for ref in pod.claims]
        served = [
            msgspec.structs.replace(ref, uid=claim.uid, allocated=claim.allocated)
            for ref, claim in every
            if ref.served and claim is not None
        ]
        known = [(ref, claim) for ref, claim in every if not ref.served]
        missing = [msgspec.structs.replace(ref, waits="missing") for ref, claim in known if claim is None]
        ours = [(ref, claim) for ref, claim in known if claim is not None and claim.ours]
        channel = pod.ours and any(claim.channel for _, claim in known if claim is not None)
        if not pod.ours or not ours:
            return msgspec.structs.replace(pod, claims=(*missing, *served), one_clique=channel)
        models = tuple(sorted({model for _, claim in ours for model in claim.models}))
        memory_mib = max(claim.memory_mib for _, claim in ours)
        shares = Shares(kinds, pod.shape.models or models, memory_mib)
        claims = [self._claim(pod, ref, claim, shares) for ref, claim in ours]
        pin = _pin(pod, claims, node_of)
        only = not missing and len(ours) == len(known)
        return msgspec.structs.replace(
            pod,
            claims=(*missing, *claims, *served),
            shape=self._shape(pod.shape, _amounts(claims), models, memory_mib, pin, shares.found, only=only),
            managed=True,
            one_clique=channel,
            problems=(*pod.problems, *_problems(pod, [claim for _, claim in ours]), *shares.problems()),
        )

    def _claim(self, pod: Pod, ref: PodClaim, claim: ClaimSeen, shares: Shares) -> PodClaim:
        users = (self._pods[uid] for uid in self._users.get(f"{pod.namespace}/{ref.claim}", ()))
        pays = min((p for p in users if p.ours), key=self._turn, default=pod).uid == pod.uid
        waits: ClaimWait = ""
        if pod.node is None and pays and claim.allocated:
            waits = "left over"
        elif pod.node is None and not pays and not claim.allocated:
            waits = "in use"
        return PodClaim(
            claim=claim.name,
            uid=claim.uid,
            requests=shares.of(claim) if pays else (),
            allocated=claim.allocated,
            shared=ref.shared,
            name=ref.name,
            waits=waits,
        )

    def _turn(self, pod: Pod) -> tuple[bool, bool, int, str]:
        """Which of the pods that name a claim is charged: those on a node, those on their way, then the oldest."""
        return pod.node is None, not self._carries(pod.uid), pod.created_s, pod.uid

    def _shape(
        self,
        shape: PodShape,
        more: Resources,
        models: tuple[str, ...],
        memory_mib: int,
        pin: NodeName | None,
        share: tuple[int, Amounts],
        *,
        only: bool,
    ) -> PodShape:
        """The shape with what is claimed; equal ones are the same record."""
        key = (shape, more, models, memory_mib, pin, share, only)
        known = self._shapes.get(key)
        if known is None:
            if len(self._shapes) >= SHAPES_KEPT:
                self._shapes.clear()
            here = (
                () if pin is None else (Requirement(key="metadata.name", operator="In", values=(pin,), on_name=True),)
            )
            known = self._shapes[key] = msgspec.structs.replace(
                shape,
                requests=plus(shape.requests, more),
                models=shape.models or models,
                affinity=tuple((*term, *here) for term in shape.affinity or ((),)) if here else shape.affinity,
                scheduler_rules=tuple(r for r in shape.scheduler_rules if r != RULE) if only else shape.scheduler_rules,
                by_claim=True,
                gpu_memory_mib=memory_mib,
                share_milli=share[0],
                gpu_capacity=share[1],
            )
        return known

    def facts(self) -> Iterator[ClaimSeen]:
        """All claims."""
        yield from self._claims.values()


def _names(pod: Pod) -> set[str]:
    return {f"{pod.namespace}/{ref.claim}" for ref in pod.claims if ref.claim}


def _amounts(claims: Iterable[PodClaim]) -> Resources:
    counts: dict[str, int] = {}
    for claim in claims:
        for request in claim.requests:
            counts[request.resource] = counts.get(request.resource, 0) + request.count
    return Resources(extended=extended(counts))


def _pin(pod: Pod, claims: Iterable[PodClaim], node_of: Mapping[Pool, NodeName]) -> NodeName | None:
    """The node on which the devices are that a waiting pod uses together with another."""
    for claim in claims:
        if pod.node is None and claim.allocated and not claim.requests:
            return node_of.get((claim.allocated[0].driver, claim.allocated[0].pool), NodeName(""))
    return None


def _problems(pod: Pod, claims: Sequence[ClaimSeen]) -> Iterator[Problem]:
    for claim in claims:
        yield from claim.problems
    if pod.shape.requests.wants_devices:
        asked = ", ".join(name for name, _ in pod.shape.requests.extended)
        yield Problem(where="resources of its containers", value=asked, allowed="no GPUs beside those that it claims")
    named = {models for models in (pod.shape.models, *(claim.models for claim in claims)) if models}
    if len(named) > 1:
        told = "; ".join(" or ".join(models) for models in sorted(named))
        yield Problem(where="GPU models of its claims", value=told, allowed="the same wherever any are named")
