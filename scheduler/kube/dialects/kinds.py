"""All foreign kinds that are read, and the kinds of watches made of those that a cluster serves."""

from functools import partial

from scheduler.kube.dialects import native_groups, owners, podgroups
from scheduler.kube.dialects.classes import PRIORITY_CLASS, WORKLOAD_PRIORITY_CLASS, read_class
from scheduler.kube.dialects.foreign import ForeignKind
from scheduler.kube.keys import GPU_DRIVER
from scheduler.kube.translate import Kind, Sighting, key_of
from scheduler.kube.translate_claim import read_claim
from scheduler.kube.translate_device import read_class as read_device_class
from scheduler.kube.translate_device import read_slice
from scheduler.state.events import ClaimGone, DeviceClassGone, PriorityClassGone, SliceGone

GROUP_KINDS: tuple[ForeignKind, ...] = (*native_groups.KINDS, *podgroups.KINDS, *owners.KINDS)
"""Those that describe gangs."""

CLASS_KINDS = tuple(
    ForeignKind(
        group=group,
        plural=f"{kind.lower()}es",
        versions=versions,
        read=partial(read_class, kind),
        gone=lambda uid: PriorityClassGone(uid=uid),
    )
    for group, kind, versions in (
        ("scheduling.k8s.io", PRIORITY_CLASS, ("v1",)),
        ("kueue.x-k8s.io", WORKLOAD_PRIORITY_CLASS, ("v1beta2", "v1beta1")),
    )
)
"""Those that keys and fields of others name for a priority."""

FOREIGN_KINDS: tuple[ForeignKind, ...] = (*CLASS_KINDS, *GROUP_KINDS)


DEVICE_KINDS = (
    ForeignKind(
        group="resource.k8s.io",
        plural="resourceslices",
        versions=("v1",),
        read=read_slice,
        gone=lambda uid: SliceGone(uid=uid),
        query=(("fieldSelector", f"spec.driver={GPU_DRIVER}"),),
    ),
    ForeignKind(
        group="resource.k8s.io",
        plural="deviceclasses",
        versions=("v1",),
        read=read_device_class,
        gone=lambda uid: DeviceClassGone(uid=uid),
    ),
    ForeignKind(
        group="resource.k8s.io",
        plural="resourceclaims",
        versions=("v1",),
        read=read_claim,
        gone=lambda uid: ClaimGone(uid=uid),
    ),
)
"""Those that tell which devices pods can claim, and what is claimed; Kubernetes serves them from 1.34 on."""


def kind_of(foreign: ForeignKind, version: str) -> Kind:
    """How the kind is listed and watched where the API serves this version of it."""

    def read(raw: bytes) -> Sighting:
        meta, event = foreign.read(raw)
        return Sighting(key=key_of(meta.namespace, meta.name), identity=meta.uid, event=event)

    return Kind(
        name=foreign.name,
        path=f"/apis/{foreign.group}/{version}/{foreign.plural}",
        query=foreign.query,
        read=read,
        gone=foreign.gone,
        by_uid=True,
    )
