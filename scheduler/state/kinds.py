"""Which kinds of GPUs can be claimed: by these it is told how much of one a claim comes to, wherever it will be."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import partial

import msgspec

from scheduler.model.claims import Amounts, Capacity, ClaimRequest, DeviceName, Offered
from scheduler.model.flavors import model_matches
from scheduler.model.resources import GPU, GPU_SHARED, MILLI_GPU
from scheduler.model.workload import Problem
from scheduler.scoring.sharing.portions import part_milli, portion_milli, quantity
from scheduler.state.events import ClaimSeen


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """GPUs that are one as good as the other for a claim. `capacities`: what claims share of each; empty: nothing."""

    model: str
    memory_mib: int
    capacities: tuple[Capacity, ...] = ()


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each GPU a request gets. `whole`: all of one that it does not share.

    `capacity`: what it asks for, or has, of the capacities of a shared one.
    """

    milli: int = MILLI_GPU
    whole: bool = True
    capacity: Amounts = ()


WHOLE = Portion()

SAME = "the same in all requests for GPUs of a pod"


class Kinds:
    """Kinds of GPUs of pools that come and go, and what each shared device of them is."""

    def __init__(self) -> None:
        """None."""
        self._of_pool: dict[tuple[str, str], tuple[frozenset[Kind], dict[DeviceName, tuple[Capacity, ...]]]] = {}
        self._count: Counter[Kind] = Counter()

    def put(self, pool: tuple[str, str], offered: Iterable[Offered]) -> None:
        """What a pool offers now; nothing: it is gone."""
        before, _ = self._of_pool.pop(pool, (frozenset[Kind](), {}))
        self._count.subtract(before)
        gpus = [one for one in offered if one.kind == "gpu"]
        named = [(DeviceName(driver=pool[0], pool=pool[1], device=one.name), one) for one in gpus]
        shared = alike(named)
        kinds = frozenset(
            Kind(model=one.model.replace(" ", "-"), memory_mib=one.memory_mib, capacities=shared)
            for one in gpus
            if one.shared == bool(shared)
        )
        self._count.update(kinds)
        self._count = +self._count
        if kinds:
            self._of_pool[pool] = kinds, {name: one.capacities for name, one in named if one.shared}

    def there(self) -> frozenset[Kind]:
        """The kinds there are."""
        return frozenset(self._count)

    def portion(self, claim: ClaimSeen, request: ClaimRequest, models: Collection[str], memory_mib: int) -> Portion:
        """How much of each GPU a request for GPUs gets: what it has, else the most that it comes to on any that suits.

        Who names no capacity gets whole GPUs where any suit that are given out whole, else what the policy of shared
        ones has for such claims.
        """
        if claim.allocated:
            had = [(self._has(part.device, part.amounts), part.amounts) for part in claim.parts]
            milli, amounts = max(had, default=(MILLI_GPU, request.capacity))
            return Portion(milli=milli, whole=not request.capacity and milli == MILLI_GPU, capacity=amounts)
        suiting = [kind for kind in self._count if _suits(kind, models, memory_mib)]
        if not request.capacity and any(_is_whole(kind) for kind in suiting):
            return WHOLE
        shared = [portion_milli(kind.capacities, request.capacity) for kind in suiting if kind.capacities]
        portions = [milli for milli in shared if milli is not None]
        if not portions:
            return WHOLE if not request.capacity else Portion(whole=False, capacity=request.capacity)
        return Portion(milli=max(portions), whole=False, capacity=request.capacity)

    def _has(self, device: DeviceName, amounts: Amounts) -> int:
        known = self._of_pool.get((device.driver, device.pool))
        capacities = () if known is None else known[1].get(device, ())
        return min(part_milli(capacities, amounts), MILLI_GPU) if capacities else MILLI_GPU


def alike(offer: Iterable[tuple[DeviceName, Offered]]) -> tuple[Capacity, ...]:
    """What claims share of each GPU of an offer; empty where not all are shared, or not all in the same way."""
    ways = {gpu.capacities if gpu.shared else () for _, gpu in offer if gpu.kind == "gpu"}
    return ways.pop() if len(ways) == 1 else ()


class Shares:
    """How much of each GPU the claims of one pod get."""

    def __init__(self, kinds: Kinds, models: Collection[str], memory_mib: int) -> None:
        """None yet. `models`, `memory_mib`: which GPUs suit."""
        self._kinds = kinds
        self._wanted = models, memory_mib
        self._ways: set[tuple[Portion, Amounts]] = set()

    def of(self, claim: ClaimSeen) -> tuple[ClaimRequest, ...]:
        """The requests of a claim for what they get."""
        return tuple(map(partial(self._of, claim), claim.requests))

    def _of(self, claim: ClaimSeen, request: ClaimRequest) -> ClaimRequest:
        if request.resource not in {GPU, GPU_SHARED}:
            return request
        portion = self._kinds.portion(claim, request, *self._wanted)
        self._ways.add((portion, request.capacity))
        return msgspec.structs.replace(request, resource=GPU if portion.whole else GPU_SHARED)

    @property
    def found(self) -> tuple[int, Amounts]:
        """The milli-GPU of each GPU that the pod has a part of, and which capacities it asks for."""
        parts = [(portion.milli, portion.capacity) for portion, _ in self._ways if not portion.whole]
        return max(parts, default=(MILLI_GPU, ()))

    def problems(self) -> Iterator[Problem]:
        """What cannot be: parts of several sizes in one pod, or whole GPUs beside them."""
        if len({(portion.whole, capacity) for portion, capacity in self._ways}) > 1:
            told = sorted(_told(capacity) for _, capacity in self._ways)
            yield Problem(where="capacity.requests of its claims", value=" and ".join(told), allowed=SAME)


def _told(capacity: Amounts) -> str:
    return ", ".join(f"{name}: {quantity(amount)}" for name, amount in capacity) or "none"


def _suits(kind: Kind, models: Collection[str], memory_mib: int) -> bool:
    return kind.memory_mib >= memory_mib and (not models or any(model_matches(m, kind.model) for m in models))


def _is_whole(kind: Kind) -> bool:
    return not kind.capacities or portion_milli(kind.capacities, ()) == MILLI_GPU
