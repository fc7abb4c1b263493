"""The time that pods have to save their work before they are evicted.

It begins when a pod is asked, which stands on the pod: whoever leads next goes on with what is left of it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from scheduler.app.binding import GONE, insist
from scheduler.kube.effects import Effects, PodRef
from scheduler.model.names import PodUid
from scheduler.model.workload import Pod

LOOK_S = 0.5
"""How often it is looked whether all have saved their work."""

ASKED = "CheckpointRequested"


class Grace(msgspec.Struct, frozen=True, kw_only=True):
    """Asks pods and waits for them. `length_s` 0 does neither; `pod_of` tells of a pod as it is."""

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

    async def over(self, pods: Sequence[tuple[PodRef, str]], asked: Mapping[PodUid, int]) -> str | None:
        """Ask those that were not `asked` yet, each with its sentence, and wait for all.

        Returns why one could not be asked, or None.
        """
        if not self.length_s or not pods:
            return None
        now_s = self.now_s()
        fresh = [(pod, text) for pod, text in pods if pod.uid not in asked]
        found = await asyncio.gather(*(self._ask(pod, text, now_s) for pod, text in fresh))
        if (why := next((why for why in found if why is not None), None)) is not None:
            return why
        since_s = {**asked, **{pod.uid: now_s for pod, _ in fresh}}
        deadline_s = max(since_s.values()) + self.length_s
        while self.now_s() < deadline_s and not self._all_saved(since_s):  # noqa: ASYNC110  no clock tells when it is time
            await asyncio.sleep(LOOK_S)
        return None

    async def _ask(self, pod: PodRef, text: str, now_s: int) -> str | None:
        why = await insist(lambda: self.effects.request_checkpoint(pod, now_s))
        if why is None:
            note = f"it has {self.length_s} s to save its work and write bayplan.dev/checkpointed-at, then: {text}"
            await self.effects.event(pod, reason=ASKED, note=note, once=True)
        return None if why == GONE else why

    def _all_saved(self, since_s: Mapping[PodUid, int]) -> bool:
        """Whether all have saved their work since they were asked, or are gone."""
        pods = ((self.pod_of(uid), at_s) for uid, at_s in since_s.items())
        return all(p is None or (p.checkpointed_s is not None and p.checkpointed_s >= at_s) for p, at_s in pods)
