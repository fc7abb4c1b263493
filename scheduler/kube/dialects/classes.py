"""Priority classes that keys and objects of other schedulers name: Kubernetes' own, and Kueue's.

Fields as in `staging/src/k8s.io/api/scheduling/v1/types.go` and Kueue's
`apis/kueue/v1beta2/workloadpriorityclass_types.go`.
"""

import msgspec

from scheduler.kube.wire import Meta, Wire
from scheduler.state.events import PriorityClassSeen

PRIORITY_CLASS = "PriorityClass"
WORKLOAD_PRIORITY_CLASS = "WorkloadPriorityClass"


class _Class(Wire, frozen=True, kw_only=True):
    metadata: Meta
    value: int = 0


_decoder = msgspec.json.Decoder(_Class)


def read_class(kind: str, raw: bytes | msgspec.Raw) -> tuple[Meta, PriorityClassSeen]:
    """A class of this kind."""
    wire = _decoder.decode(raw)
    return wire.metadata, PriorityClassSeen(
        uid=wire.metadata.uid, name=f"{kind} {wire.metadata.name}", value=wire.value
    )
