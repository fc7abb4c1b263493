"""All foreign kinds that are read, and the kinds of watches made of those that a cluster serves."""

from scheduler.kube.dialects import native_groups, owners, podgroups
from scheduler.kube.dialects.foreign import ForeignKind
from scheduler.kube.translate import Kind, Sighting, key_of
from scheduler.state.events import GroupGone

FOREIGN_KINDS: tuple[ForeignKind, ...] = (*native_groups.KINDS, *podgroups.KINDS, *owners.KINDS)


def kind_of(foreign: ForeignKind, version: str) -> Kind:
    """How the kind is listed and watched where the API serves this version of it."""

    def read(raw: bytes) -> Sighting:
        meta, event = foreign.read(raw)
        return Sighting(key=key_of(meta.namespace, meta.name), identity=meta.uid, event=event)

    return Kind(
        name=foreign.name,
        path=f"/apis/{foreign.group}/{version}/{foreign.plural}",
        read=read,
        gone=lambda uid: GroupGone(uid=uid),
        by_uid=True,
    )
