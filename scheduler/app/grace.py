"""The time that pods have to save their work before they are evicted.

It begins when a pod is asked, which stands on the pod: whoever leads next goes on with what is left of it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from scheduler.app.binding import GONE, insist
from scheduler.kube.effects import Effects, PodRef
from scheduler.model.names import PodUid, QueueName
from scheduler.model.queue import Queue
from scheduler.model.workload import Pod
from scheduler.quota.forest import Forest

LOOK_S = 0.5
"""How often it is looked whether all have saved their work."""

ASKED = "CheckpointRequested"


class Leaver(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that is to leave, why, and how long it has to save its work; with 0 s it is not asked."""

    pod: PodRef
    text: str
    grace_s: int


class Grace(msgspec.Struct, frozen=True, kw_only=True):
    """Asks pods and waits for them. `length_s`: where no queue says how long; `pod_of` tells of a pod as it is."""

    effects: Effects
    length_s: int
    now_s: Callable[[], int]
    pod_of: Callable[[PodUid], Pod | None]

    def asked(self, uids: Iterable[PodUid]) -> dict[PodUid, int]:
        """When those were asked that were told to leave before; of others an older request means nothing any more."""
        pods = [self.pod_of(uid) for uid in uids]
        return {
            pod.uid: pod.asked_to_save_s
            for pod in pods
            if pod is not None and pod.makes_way and pod.asked_to_save_s is not None
        }

    def of_queue(self, queues: Mapping[QueueName, Queue], name: QueueName) -> int:
        """How long pods of the queue have: as it says, or the nearest above it that does, or else the settings."""
        said = (queue.eviction_grace_s for queue in Forest(queues).chain(name))
        return next((grace_s for grace_s in said if grace_s is not None), self.length_s)

    async def over(self, leavers: Sequence[Leaver], asked: Mapping[PodUid, int]) -> str | None:
        """Ask those that were not `asked` yet, and wait for all.

        Returns why one could not be asked, or None.
        """
        waited_for = [leaver for leaver in leavers if leaver.grace_s]
        if not waited_for:
            return None
        now_s = self.now_s()
        fresh = [leaver for leaver in waited_for if leaver.pod.uid not in asked]
        found = await asyncio.gather(*(self._ask(leaver, now_s) for leaver in fresh))
        if (why := next((why for why in found if why is not None), None)) is not None:
            return why
        since_s = {leaver.pod.uid: asked.get(leaver.pod.uid, now_s) for leaver in waited_for}
        deadline_s = max(since_s[leaver.pod.uid] + leaver.grace_s for leaver in waited_for)
        while self.now_s() < deadline_s and not self._all_saved(since_s):  # noqa: ASYNC110  no clock tells when it is time
            await asyncio.sleep(LOOK_S)
        return None

    async def _ask(self, leaver: Leaver, now_s: int) -> str | None:
        why = await insist(lambda: self.effects.request_checkpoint(leaver.pod, now_s))
        if why is None:
            spell = f"it has {leaver.grace_s} s to save its work and write bayplan.dev/checkpointed-at"
            await self.effects.event(leaver.pod, reason=ASKED, note=f"{spell}, then: {leaver.text}", once=True)
        return None if why == GONE else why

    def _all_saved(self, since_s: Mapping[PodUid, int]) -> bool:
        """Whether all have saved their work since they were asked, or are gone."""
        pods = ((self.pod_of(uid), at_s) for uid, at_s in since_s.items())
        return all(p is None or (p.checkpointed_s is not None and p.checkpointed_s >= at_s) for p, at_s in pods)
