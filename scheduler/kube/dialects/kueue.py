"""Kueue: queue, pod groups, run time, and topology-aware scheduling, whose levels are node label keys.

Keys as in Kueue's `pkg/controller/constants`, `pkg/controller/jobs/pod/constants` and `apis/kueue/v1beta2`.
"""

import msgspec

from scheduler.kube.dialects import texts
from scheduler.kube.dialects.claims import GroupKeys, claim
from scheduler.kube.dialects.classes import WORKLOAD_PRIORITY_CLASS
from scheduler.kube.dialects.record import Dialect, Hearing, Key, Place, Texts

NAME = "Kueue"
PREFIX = "kueue/"

GROUP = Key(place="label", key="kueue.x-k8s.io/pod-group-name", means="the gang")
SIZE = Key(place="annotation", key="kueue.x-k8s.io/pod-group-total-count", means="how many pods the gang has")
GANG = GroupKeys(prefix=PREFIX, name=(GROUP,), size=(SIZE,))
SLICE_LEVEL = Key(
    place="annotation",
    key="kueue.x-k8s.io/podset-slice-required-topology",
    means="the level of which one domain holds every so many consecutive pods",
)
SLICE_SIZE = Key(place="annotation", key="kueue.x-k8s.io/podset-slice-size", means="how many these are")
SLICES = Key(
    place="annotation",
    key="kueue.x-k8s.io/podset-slice-required-topology-constraints",
    means="the same for up to three levels, outermost first; an entry with `sizes` is refused",
)
SLICES_ALLOWED = (
    'a JSON list of one to three {"topology": LEVEL, "size": PODS}, outermost first, each number of pods above 1 and a '
    "multiple of the next one"
)


class _Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    topology: str
    size: int | str


_layers = msgspec.json.Decoder(list[_Layer])


def _level(key: str, field: str, means: str) -> Key:
    required = field == "required"
    return Key(
        place="annotation",
        key=key,
        means=means,
        field="topology_required" if required else "topology_preferred",
        read=texts.name,
        allowed=texts.LEVEL_ALLOWED,
    )


def _ignored(place: Place, key: str, sentence: str) -> Key:
    return Key(place=place, key=f"kueue.x-k8s.io/{key}", means=sentence, heard=False)


KEYS = (
    texts.queue_key("label", "kueue.x-k8s.io/queue-name", "the Queue of the LocalQueue's name"),
    GROUP,
    SIZE,
    Key(
        place="label",
        key="kueue.x-k8s.io/max-exec-time-seconds",
        means="how long the pod is expected to run; nothing ends it then",
        field="duration_s",
        read=texts.seconds,
        allowed=texts.SECONDS_ALLOWED,
    ),
    _level("kueue.x-k8s.io/podset-required-topology", "required", "the level of which one domain holds the gang"),
    _level(
        "kueue.x-k8s.io/podset-preferred-topology", "preferred", "the level of which one domain should hold the gang"
    ),
    Key(
        place="annotation",
        key="kueue.x-k8s.io/podset-unconstrained-topology",
        means="nothing to do: without a level any nodes will do",
    ),
    SLICE_LEVEL,
    SLICE_SIZE,
    SLICES,
    texts.class_key("kueue.x-k8s.io/priority-class", WORKLOAD_PRIORITY_CLASS),
    _ignored("annotation", "priority-boost", "the value of the priority class counts as it is"),
    _ignored("label", "prebuilt-workload-name", "pods are grouped by what they say themselves"),
    _ignored("annotation", "pod-group-fast-admission", "a gang waits for all its pods"),
    _ignored("annotation", "pod-group-serving", "a pod of a gang that fails is placed again when it is made again"),
    _ignored("annotation", "retriable-in-group", "a pod of a gang that fails is placed again when it is made again"),
    _ignored("annotation", "job-min-parallelism", "bayplan.dev/gang-min says how many pods of a gang are enough"),
    _ignored("annotation", "elastic-job", "bayplan.dev/gang-min says how many pods of a gang are enough"),
    _ignored("annotation", "job-completions-equal-parallelism", "a Job keeps its completions as they are"),
    _ignored("annotation", "admission-gated-by", "a scheduling gate on the pods holds them back"),
    _ignored("annotation", "pod-group-pod-index-label", "ranks are read from kueue.x-k8s.io/pod-group-pod-index"),
    _ignored("annotation", "pod-index-offset", "ranks count from the lowest that there is"),
    _ignored("annotation", "podset-group-name", "a level that the gang requires holds all its pods"),
    _ignored("annotation", "workload-allowed-resource-flavors", "bayplan.dev/gpu-model names the GPU models"),
)


def together(said: Texts, hear: Hearing) -> None:
    """The pod group, and slices."""
    claim(GANG, said, hear)
    layers, level, size = said.first((SLICES,)), said.first((SLICE_LEVEL,)), said.first((SLICE_SIZE,))
    if layers is not None:
        _slices(*layers, hear)
    if level is not None and size is None:
        hear.refuse(*level, f"only beside the {SLICE_SIZE.where}")
    elif size is not None and level is None:
        hear.refuse(*size, f"only beside the {SLICE_LEVEL.where}")
    elif size is not None and level is not None:
        number, name = texts.count(size[1]), texts.name(level[1])
        if number is None:
            hear.refuse(*size, texts.COUNT_ALLOWED)
        elif name is None:
            hear.refuse(*level, texts.LEVEL_ALLOWED)
        elif number > 1:
            hear.say("topology_slices", ((name, number),), size[0])


def _slices(where: str, text: str, hear: Hearing) -> None:
    try:
        read = tuple((layer.topology.strip(), texts.count(str(layer.size)) or 1) for layer in _layers.decode(text))
    except texts.UNREADABLE:
        read = ()
    slices = texts.layers(read)
    if slices is None:
        hear.refuse(where, text, SLICES_ALLOWED)
    else:
        hear.say("topology_slices", slices, where)


DIALECT = Dialect(name=NAME, keys=KEYS, together=together)
