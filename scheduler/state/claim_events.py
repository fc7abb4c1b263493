"""Events about what can be claimed and what is, taken into the books of offers, claims and nodes."""

from collections.abc import Collection
from typing import NamedTuple, assert_never

from scheduler.model.names import NodeName, PodUid
from scheduler.state.claims import ClaimBook, Pool
from scheduler.state.events import (
    ClaimEvent,
    ClaimGone,
    ClaimSeen,
    DeviceClassGone,
    DeviceClassSeen,
    SliceGone,
    SliceSeen,
)
from scheduler.state.nodes import NodeBook
from scheduler.state.offers import OfferBook


class Taken(NamedTuple):
    """The nodes that something else can be claimed of now, and the pods that may have or ask for something else."""

    nodes: tuple[NodeName, ...]
    pods: tuple[PodUid, ...]


def take_in_claim(offers: OfferBook, claims: ClaimBook, nodes: NodeBook, event: ClaimEvent) -> Taken | None:
    """Take an event in; None where it changes nothing."""
    match event:
        case SliceSeen() | SliceGone():
            before = offers.kinds.there()
            taken = _offered(nodes, offers.see(event) if isinstance(event, SliceSeen) else offers.forget(event.uid))
            # By the kinds of GPUs it is told how much of one a claim comes to.
            changed = taken is not None and before != offers.kinds.there()
            return Taken(taken.nodes, tuple(sorted({*taken.pods, *claims.naming()}))) if taken and changed else taken
        case DeviceClassSeen() | DeviceClassGone():
            return _offered(nodes, offers.take_class(event))
        case ClaimSeen(namespace=namespace, name=name):
            return _claimed(claims, nodes, claims.see(event), f"{namespace}/{name}")
        case ClaimGone(uid=uid):
            name = claims.name_of(uid)
            return _claimed(claims, nodes, claims.forget(uid), name)
        case _:
            assert_never(event)


def _offered(nodes: NodeBook, changed: Collection[NodeName] | None) -> Taken | None:
    if changed is None:
        return None
    for name in sorted(changed):
        nodes.see_offer(name)
    return Taken(tuple(sorted(changed)), tuple(pod.uid for name in sorted(changed) for pod in nodes.pods_on(name)))


def _claimed(claims: ClaimBook, nodes: NodeBook, pools: Collection[Pool] | None, name: str) -> Taken | None:
    if pools is None:
        return None
    nodes.see_claims(pools)
    return Taken((), tuple(pod.uid for pod in claims.users(name)))
