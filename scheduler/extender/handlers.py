"""The verbs from bytes to bytes: decode, ask the guard, answer. Nothing here waits, except a bind for its gang.

A failure is an answer: `filter` and `bind` have an `Error` field; `prioritize` and `preempt` have none, so they answer
what leaves kube-scheduler's other choices as they are: no scores, no preemption.
"""

import logging
from typing import assert_never

import msgspec

from scheduler.extender import verbs
from scheduler.extender.guard import BindRequest, Guard, Offered, Planned, Ruling, Untouched, Waiting
from scheduler.extender.wire import (
    BindArgs,
    BindResult,
    ExtenderArgs,
    FilterResult,
    PodHead,
    PreemptArgs,
    PreemptResult,
)
from scheduler.model.names import NodeName, PodUid
from scheduler.telemetry import EXTENDER_RULINGS, Telemetry

LOG = logging.getLogger("bayplan.extender")

INTERNAL = "Bayplan failed on this call; its log says how"
NO_CACHE = "set nodeCacheCapable: true for this extender in the kube-scheduler configuration: it sent no NodeNames"

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises: the last one for JSON nested too deeply."""

_encode = msgspec.json.Encoder().encode
_args = msgspec.json.Decoder(ExtenderArgs).decode
_head = msgspec.json.Decoder(PodHead).decode
_preempt_args = msgspec.json.Decoder(PreemptArgs).decode
_bind_args = msgspec.json.Decoder(BindArgs).decode

NO_SCORES = _encode(())
NO_PREEMPTION = _encode(PreemptResult())
BOUND = _encode(BindResult())


def failed_filter(why: str) -> bytes:
    """The answer of `filter` that ends the pod's scheduling cycle with the error `why`."""
    return _encode(FilterResult(error=why))


def failed_bind(why: str) -> bytes:
    """The answer of `bind` that sends the pod back to the queue."""
    return _encode(BindResult(error=why))


class Handlers:
    """The four verbs over one guard. They answer every body and never raise, except for a cancelled bind."""

    def __init__(self, guard: Guard, telemetry: Telemetry) -> None:
        self._guard = guard
        self._telemetry = telemetry

    def filter(self, body: bytes) -> bytes:
        """Which of the asked nodes the pod may use."""
        try:
            return self._filter(body)
        except Exception as err:  # noqa: BLE001  kube-scheduler gets an answer whatever broke
            return failed_filter(self._failure("filter", err))

    def prioritize(self, body: bytes) -> bytes:
        """Scores of the asked nodes."""
        try:
            args = _args(body)
            ruling = self._ruling("prioritize", _head(args.pod), args.pod)
            return _encode(verbs.prioritize(ruling, args.node_names or ()))
        except Exception as err:  # noqa: BLE001  kube-scheduler gets an answer whatever broke
            self._failure("prioritize", err)
            return NO_SCORES

    def preempt(self, body: bytes) -> bytes:
        """Which of the proposed victims kube-scheduler may evict for the pod."""
        try:
            args = _preempt_args(body)
            ruling = self._ruling("preempt", _head(args.pod), args.pod)
            return _encode(verbs.preempt(ruling, args.node_name_to_meta_victims or {}))
        except Exception as err:  # noqa: BLE001  kube-scheduler gets an answer whatever broke
            self._failure("preempt", err)
            return NO_PREEMPTION

    async def bind(self, body: bytes) -> bytes:
        """Binds the pod, or says why not; waits for the pod's gang."""
        try:
            args = _bind_args(body)
            why_not = await self._guard.bind(
                BindRequest(pod=PodUid(args.uid), namespace=args.namespace, name=args.name, node=NodeName(args.node))
            )
        except Exception as err:  # noqa: BLE001  kube-scheduler gets an answer whatever broke
            return failed_bind(self._failure("bind", err))
        self._tell("bind", "bound" if why_not is None else "not_bound")
        return BOUND if why_not is None else failed_bind(why_not or "not bound")

    def _filter(self, body: bytes) -> bytes:
        args = _args(body)
        if args.node_names is None:
            self._tell("filter", "malformed")
            return failed_filter(NO_CACHE)
        head = _head(args.pod)
        ruling = self._ruling("filter", head, args.pod)
        answer = verbs.filter_nodes(ruling, args.node_names, head.status.nominated_node_name)
        if answer.refused is not None:
            self._tell("filter", "refused")
            self._guard.refused(PodUid(head.metadata.uid), answer.refused)
        return _encode(answer.result)

    def _ruling(self, verb: str, head: PodHead, pod: msgspec.Raw) -> Ruling:
        uid = head.metadata.uid
        ruling = (self._guard.ruling(PodUid(uid)) if uid else None) or self._guard.judge(pod)
        self._tell(verb, _word(ruling))
        return ruling

    def _tell(self, verb: str, ruling: str) -> None:
        self._telemetry.count(EXTENDER_RULINGS, verb, ruling)

    def _failure(self, verb: str, err: Exception) -> str:
        """What to tell kube-scheduler. A body that cannot be read is its matter; everything else is ours and logged."""
        if isinstance(err, _UNREADABLE):
            self._tell(verb, "malformed")
            return f"the body of this {verb} call is not extender v1 JSON: {err}"
        self._tell(verb, "failed")
        LOG.error("%s call failed", verb, exc_info=err)
        return INTERNAL


def _word(ruling: Ruling) -> str:
    match ruling:
        case Planned():
            return "planned"
        case Offered():
            return "offered"
        case Waiting():
            return "waiting"
        case Untouched():
            return "untouched"
        case _:
            assert_never(ruling)
