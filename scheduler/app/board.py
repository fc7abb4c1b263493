"""What stands for each waiting pod, for the extender's thread to read without a lock.

One thread (the service's loop) writes, any thread reads. A reading is a single look-up of an immutable value, which
CPython keeps whole; there is no state across look-ups.
"""

from collections.abc import Iterable

from scheduler.extender.guard import Ruling, Waiting
from scheduler.model.names import PodUid, WorkloadKey


class Board:
    """Rulings by pod uid."""

    def __init__(self) -> None:
        self._rulings: dict[PodUid, Ruling] = {}

    def get(self, uid: PodUid) -> Ruling | None:
        """The ruling on the pod; None where the pod was never seen. Callable from any thread."""
        return self._rulings.get(uid)

    def put(self, uid: PodUid, ruling: Ruling) -> None:
        """Replace what stands for the pod."""
        self._rulings[uid] = ruling

    def wait(self, uid: PodUid, workload: WorkloadKey) -> None:
        """The pod waits, unless something else stands already."""
        self._rulings.setdefault(uid, Waiting(workload=workload))

    def withdraw(self, uids: Iterable[PodUid], workload: WorkloadKey) -> None:
        """Whatever was planned for these pods stands no more; they wait."""
        for uid in uids:
            if uid in self._rulings:
                self._rulings[uid] = Waiting(workload=workload)

    def drop(self, uid: PodUid) -> None:
        """The pod is bound or gone."""
        self._rulings.pop(uid, None)

    def close(self) -> None:
        """Every pod waits: this replica does not lead."""
        for uid, ruling in list(self._rulings.items()):
            match ruling:
                case Waiting():
                    pass
                case _:
                    self._rulings.pop(uid)
