"""The kinds of objects that are watched, and how each becomes an event.

Only the translate modules read labels and annotations.
"""

from collections.abc import Callable

import msgspec

from scheduler.kube.keys import GROUP_VERSION
from scheduler.kube.translate_node import read_node, read_plain_node, read_report
from scheduler.kube.translate_objects import read_job, read_namespace, read_topology
from scheduler.kube.translate_pod import PodReader
from scheduler.kube.translate_queue import read_queue
from scheduler.kube.wire import Identified, Meta, NameMeta
from scheduler.model.names import NodeName, PodUid, QueueName
from scheduler.state.events import (
    DevicesGone,
    Event,
    JobGone,
    NamespaceGone,
    NodeGone,
    PodGone,
    QueueGone,
    RunSeen,
    TopologyGone,
)

_identity_decoder = msgspec.json.Decoder(Identified)


class Sighting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An object as it was seen: `key` is its `namespace/name`, `identity` what its Gone event names it by."""

    key: str
    identity: str
    event: Event


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of objects: where the API has it, which of them are listed, and how they become events.

    `read` raises ValueError on an object that cannot be read. `by_uid`: its Gone event names it by uid, else by name.
    """

    name: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    read: Callable[[bytes | msgspec.Raw], Sighting]
    gone: Callable[[str], Event]
    by_uid: bool

    def identify(self, raw: bytes | msgspec.Raw) -> tuple[str, str, str]:
        """Key, identity and resourceVersion of any object of the kind.

        Raises:
            ValueError: the text is no object.
        """
        meta = _identity_decoder.decode(raw).metadata
        return key_of(meta.namespace, meta.name), meta.uid if self.by_uid else meta.name, meta.resource_version


def key_of(namespace: str, name: str) -> str:
    """How an object is named among those of its kind."""
    return f"{namespace}/{name}" if namespace else name


def _reader(
    read: Callable[[bytes | msgspec.Raw], tuple[Meta | NameMeta, Event]], *, by_uid: bool
) -> Callable[[bytes | msgspec.Raw], Sighting]:
    def sight(raw: bytes | msgspec.Raw) -> Sighting:
        meta, event = read(raw)
        key = key_of(meta.namespace, meta.name)
        return Sighting(key=key, identity=meta.uid if by_uid else meta.name, event=event)

    return sight


def kinds(scheduler_name: str, user_label: str | None = None, *, assume_links: bool = True) -> tuple[Kind, ...]:
    """All kinds that the state is made of; pods of `scheduler_name` are ours.

    `user_label` says whose each is; None: the own one. `assume_links`: devices and links of nodes from which no
    exporter reports are assumed by their labels.
    """
    own = f"/apis/{GROUP_VERSION}"
    pods = PodReader(scheduler_name, user_label)
    return (
        Kind(
            name="pods",
            path="/api/v1/pods",
            # Terminal pods hold nothing; kube-scheduler leaves them out too (scheduler.go `newPodInformer`).
            query=(("fieldSelector", "status.phase!=Succeeded,status.phase!=Failed"),),
            read=_reader(pods.read, by_uid=True),
            gone=lambda uid: PodGone(uid=PodUid(uid)),
            by_uid=True,
        ),
        Kind(
            # How long such work took; a pod that ends leaves the list above, and is told as gone there.
            name="finished pods",
            path="/api/v1/pods",
            query=(("fieldSelector", f"status.phase=Succeeded,spec.schedulerName={scheduler_name}"),),
            read=_reader(pods.read_ended, by_uid=True),
            gone=lambda _: RunSeen(),
            by_uid=True,
        ),
        Kind(
            name="jobs",
            path="/apis/batch/v1/jobs",
            read=_reader(read_job, by_uid=True),
            gone=lambda uid: JobGone(uid=uid),
            by_uid=True,
        ),
        _by_name(
            "nodes",
            "/api/v1/nodes",
            read_node if assume_links else read_plain_node,
            lambda name: NodeGone(name=NodeName(name)),
        ),
        _by_name("namespaces", "/api/v1/namespaces", read_namespace, lambda name: NamespaceGone(name=name)),
        _by_name("queues", f"{own}/queues", read_queue, lambda name: QueueGone(name=QueueName(name))),
        _by_name("gpunodes", f"{own}/gpunodes", read_report, lambda name: DevicesGone(node=NodeName(name))),
        _by_name("topologies", f"{own}/topologies", read_topology, lambda name: TopologyGone(name=name)),
    )


def _by_name(
    name: str,
    path: str,
    read: Callable[[bytes | msgspec.Raw], tuple[Meta | NameMeta, Event]],
    gone: Callable[[str], Event],
) -> Kind:
    return Kind(name=name, path=path, read=_reader(read, by_uid=False), gone=gone, by_uid=False)
