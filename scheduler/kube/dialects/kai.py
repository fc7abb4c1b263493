"""KAI Scheduler, and Run:ai's older keys.

Keys as in KAI's `pkg/common/constants/constants.go` and `docs/`.
"""

from scheduler.kube.dialects import texts
from scheduler.kube.dialects.claims import GroupKeys, claim
from scheduler.kube.dialects.classes import PRIORITY_CLASS
from scheduler.kube.dialects.record import Dialect, Hearing, Key, Place, Texts

PREFIX = "kai/"

GROUP = Key(place="annotation", key="pod-group-name", means="the gang; its PodGroup says the rest")
LEAST = Key(
    place="annotation",
    key="kai.scheduler/batch-min-member",
    means="how many pods are enough; without a group's name the pods of one owner are the gang",
)
GANG = GroupKeys(prefix=PREFIX, name=(GROUP,), least=(LEAST,), by_owner=True)
SEGMENT = Key(
    place="annotation",
    key="kai.scheduler/segment-size",
    means="so many consecutive pods in one domain of the level below",
)
SEGMENT_REQUIRED = Key(
    place="annotation", key="kai.scheduler/segment-topology-required-placement", means="the level of such a domain"
)
FRACTION = tuple(
    Key(place="annotation", key=key, means="refused: the pod asks for no GPU that Kubernetes knows of")
    for key in ("gpu-fraction", "gpu-memory", "gpu-fraction-num-devices")
)
FRACTION_ALLOWED = "a limit of nvidia.com/gpu.shared with bayplan.dev/gpu-share, or a MIG slice"


def _preemptibility(text: str) -> bool | None:
    return {"preemptible": True, "non-preemptible": False}.get(text)


def _ignored(place: Place, key: str, sentence: str) -> Key:
    return Key(place=place, key=key, means=sentence, heard=False)


KEYS = (
    GROUP,
    LEAST,
    texts.queue_key("label", "kai.scheduler/queue"),
    texts.queue_key("label", "runai/queue"),
    Key(
        place="label",
        key="kai.scheduler/preemptibility",
        means="whether the pod may be evicted; without it every pod may, whatever its priority",
        field="preemptible",
        read=_preemptibility,
        allowed="preemptible or non-preemptible",
    ),
    texts.role_key("label", "kai.scheduler/subgroup-name"),
    texts.role_key("annotation", "kai.scheduler/subgroup-name"),
    Key(
        place="annotation",
        key="kai.scheduler/topology-required-placement",
        means="the level of which one domain holds the gang",
        field="topology_required",
        read=texts.name,
        allowed=texts.LEVEL_ALLOWED,
    ),
    Key(
        place="annotation",
        key="kai.scheduler/topology-preferred-placement",
        means="the level of which one domain should hold the gang",
        field="topology_preferred",
        read=texts.name,
        allowed=texts.LEVEL_ALLOWED,
    ),
    SEGMENT,
    SEGMENT_REQUIRED,
    *FRACTION,
    _ignored(
        "annotation",
        "kai.scheduler/segment-topology-preferred-placement",
        "consecutive ranks are laid out close anyway",
    ),
    _ignored("annotation", "kai.scheduler/topology", "there is one Topology in the cluster, the first by name"),
    _ignored("annotation", "kai.scheduler/preemption-delay", "nothing is evicted before there is a plan for its room"),
    _ignored("annotation", "kai.scheduler/staleness-grace-period", "a gang that lost pods is mended, not evicted"),
    _ignored("annotation", "kai.scheduler/skip-podgrouper", "pods are grouped by what they say themselves"),
    _ignored("label", "kai.scheduler/node-pool", "a node selector keeps pods on some nodes"),
    texts.class_key("priorityClassName", PRIORITY_CLASS),
)


def together(said: Texts, hear: Hearing) -> None:
    """The gang, its segments, and parts of GPUs."""
    claim(GANG, said, hear)
    _segments(said, hear)
    for key in FRACTION:
        part = said.first((key,))
        if part is not None:
            hear.refuse(*part, FRACTION_ALLOWED)


def _segments(said: Texts, hear: Hearing) -> None:
    size, level = said.first((SEGMENT,)), said.first((SEGMENT_REQUIRED,))
    number = None if size is None else texts.count(size[1])
    if size is not None and number is None:
        hear.refuse(*size, texts.COUNT_ALLOWED)
    elif size is not None and level is None:
        hear.note(*size, f"only with the {SEGMENT_REQUIRED.where}; consecutive ranks are laid out close anyway")
    elif level is not None and size is None:
        hear.refuse(*level, f"only beside the {SEGMENT.where}")
    elif level is not None and size is not None and number is not None:
        name = texts.name(level[1])
        if name is None:
            hear.refuse(*level, texts.LEVEL_ALLOWED)
        elif number > 1:
            hear.say("topology_slices", ((name, number),), size[0])


DIALECT = Dialect(name="KAI", keys=KEYS, together=together)
