"""Objects that describe gangs of which pods carry the name, and the pods that do."""

from collections.abc import Iterable, Iterator

from scheduler.model.names import PodUid, WorkloadKey, gang_key
from scheduler.model.workload import Pod
from scheduler.state.events import GroupGone, GroupSeen


def described_by(pod: Pod) -> WorkloadKey | None:
    """Under which key an object may describe the gang that the pod claims."""
    return None if pod.gang is None else gang_key(pod.namespace, pod.gang.group or pod.gang.name)


def _order(group: GroupSeen) -> tuple[str, str]:
    return group.kind, group.uid


class GroupObjects:
    """The word of such an object holds as long as any pod is there that names it, even when the object is gone."""

    def __init__(self) -> None:
        """None are known."""
        self._seen: dict[str, GroupSeen] = {}
        self._ended: set[str] = set()
        self._of: dict[WorkloadKey, dict[str, GroupSeen]] = {}
        self._naming: dict[WorkloadKey, set[PodUid]] = {}

    def of(self, pod: Pod) -> GroupSeen | None:
        """The object that describes the pod's gang; of several the first by kind."""
        key = described_by(pod)
        objects = self._of.get(key) if key is not None else None
        return min(objects.values(), key=_order) if objects else None

    def of_all(self, pods: Iterable[Pod]) -> GroupSeen | None:
        """The object that describes the gang of these pods."""
        return min((group for pod in pods if (group := self.of(pod)) is not None), key=_order, default=None)

    def pods(self, key: WorkloadKey) -> tuple[PodUid, ...]:
        """The pods that name the gang."""
        return tuple(sorted(self._naming.get(key, ())))

    def put(self, pod: Pod, before: Pod | None) -> None:
        """A pod as it is now, which was `before`."""
        key = described_by(pod)
        if before is not None and described_by(before) != key:
            self.remove(before)
        if key is not None:
            self._naming.setdefault(key, set()).add(pod.uid)

    def remove(self, pod: Pod) -> None:
        """A pod is gone."""
        key = described_by(pod)
        naming = self._naming.get(key) if key is not None else None
        if naming is None or key is None:
            return
        naming.discard(pod.uid)
        if not naming:
            del self._naming[key]
            for uid in [uid for uid in self._of.get(key, ()) if uid in self._ended]:
                self._drop(uid)

    def see(self, group: GroupSeen) -> frozenset[WorkloadKey]:
        """An object as it is now; the keys of what it described and describes, none where it is no news."""
        self._ended.discard(group.uid)
        known = self._seen.get(group.uid)
        if known == group:
            return frozenset()
        if known is not None:
            self._drop(group.uid)
        self._seen[group.uid] = group
        self._of.setdefault(group.key, {})[group.uid] = group
        return frozenset({group.key} if known is None else {known.key, group.key})

    def forget(self, uid: str) -> WorkloadKey | None:
        """An object is gone; the key of what it described, where that changes anything."""
        known = self._seen.get(uid)
        if known is None:
            return None
        if known.key in self._naming:
            self._ended.add(uid)
            return None
        self._drop(uid)
        return known.key

    def _drop(self, uid: str) -> None:
        self._ended.discard(uid)
        group = self._seen.pop(uid)
        of = self._of[group.key]
        del of[uid]
        if not of:
            del self._of[group.key]

    def facts(self) -> Iterator[GroupSeen | GroupGone]:
        """Everything known. Objects that are gone, but whose word still holds, come and go."""
        yield from self._seen.values()
        yield from (GroupGone(uid=uid) for uid in sorted(self._ended))
