"""How GPUs are shared between pods: by the node's labels, else by what the device plugin offers the kubelet."""

from collections.abc import Sequence

import msgspec

from scheduler.exporter.node import NO_SHARING, DeviceKnown, NodeKnown, Sharing
from scheduler.exporter.reading import Unread
from scheduler.exporter.report_held import parts_offered


def shared(node: NodeKnown, order: Sequence[DeviceKnown]) -> Sharing:
    """How the GPUs of the node are shared.

    Labels are GPU feature discovery's, out of the device plugin's own configuration. Where they tell of no sharing, a
    plugin that offers parts of devices was told to share all the same: as many parts of one as it offers. Under MPS the
    driver admits one process to each GPU, MPS's own; time-slicing leaves no trace there.
    """
    told = NO_SHARING if isinstance(node.sharing, Unread) else node.sharing
    parts = 0 if told.strategy else parts_offered(node.offered, order)
    if not parts:
        return told
    alone = any(not isinstance(one.state, Unread) and one.state.exclusive_process is True for one in order)
    return msgspec.structs.replace(told, strategy="MPS" if alone else "TimeSlicing", replicas=parts)
