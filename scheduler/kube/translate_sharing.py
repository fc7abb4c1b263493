"""How a node's GPUs are shared, by the labels that GPU feature discovery gives it."""

from collections.abc import Mapping

import msgspec

from scheduler.kube import keys
from scheduler.kube.wire import Meta, Wire

TIME_SLICING, MPS = "TimeSlicing", "MPS"

_STRATEGIES: Mapping[str, str] = {"time-slicing": TIME_SLICING, "mps": MPS}
_MIG_STRATEGIES: Mapping[str, str] = {"none": "None", "single": "Single", "mixed": "Mixed"}


class NodeSharing(msgspec.Struct, frozen=True, kw_only=True):
    """Which node it is, and how its GPUs are shared, by the names of the GPUNode; "" where they are not.

    `replicas`: how many pods share a GPU, None where it is not told. `mig_strategy` is "" where it is not told.
    """

    uid: str
    strategy: str = ""
    replicas: int | None = None
    mig_strategy: str = ""


class _LabelledNode(Wire, frozen=True, kw_only=True):
    metadata: Meta


def read_sharing(raw: bytes) -> NodeSharing:
    """How GPUs are shared, out of a Node.

    Raises:
        ValueError: the text is no Node.
    """
    meta = msgspec.json.decode(raw, type=_LabelledNode).metadata
    replicas = meta.labels.get(keys.GPU_REPLICAS_LABEL, "")
    strategy = _STRATEGIES.get(meta.labels.get(keys.GPU_SHARING_LABEL, ""), "")
    shared = replicas.isascii() and replicas.isdigit() and int(replicas) > 1
    return NodeSharing(
        uid=meta.uid,
        strategy=strategy,
        replicas=int(replicas) if strategy and shared else None,
        mig_strategy=_MIG_STRATEGIES.get(meta.labels.get(keys.MIG_STRATEGY_LABEL, ""), ""),
    )
