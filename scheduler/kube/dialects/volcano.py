"""Volcano: groups by annotation, queues, roles (tasks), preemptibility and network topology.

Keys as in Volcano's staging `pkg/apis/scheduling/v1beta1/labels.go` and `pkg/apis/batch/v1alpha1/labels.go`.
"""

from scheduler.kube.dialects import texts
from scheduler.kube.dialects.claims import GroupKeys, claim
from scheduler.kube.dialects.record import Dialect, Hearing, Key, Place, Texts

PREFIX = "volcano/"

GROUP = (
    Key(place="annotation", key="scheduling.k8s.io/group-name", means="the gang; its PodGroup says the rest"),
    Key(place="annotation", key="scheduling.volcano.sh/group-name", means="the gang; its PodGroup says the rest"),
)
LEAST = Key(
    place="annotation",
    key="scheduling.volcano.sh/group-min-member",
    means="how many pods are enough; without a group's name the pods of one owner are the gang",
)
GANG = GroupKeys(prefix=PREFIX, name=GROUP, least=(LEAST,), by_owner=True)
MODE = Key(
    place="annotation", key="volcano.sh/network-topology-mode", means="`soft`: a wish; `hard`: refused, see below"
)
TIER = Key(
    place="annotation",
    key="volcano.sh/network-topology-highest-tier",
    means="refused with mode `hard`, else not honoured: tiers are numbers of HyperNodes; name a topology level instead",
)
TIER_ALLOWED = (
    "nothing: a tier is a number of Volcano's HyperNodes; name a topology level with bayplan.dev/topology-required"
)


def _preemptable(place: Place) -> Key:
    return Key(
        place=place,
        key="volcano.sh/preemptable",
        means="whether the pod may be evicted",
        field="preemptible",
        read=texts.flag,
        allowed=texts.FLAG_ALLOWED,
    )


def _ignored(key: str, sentence: str) -> Key:
    return Key(place="annotation", key=key, means=sentence, heard=False)


QUEUE = texts.queue_key("annotation", "volcano.sh/queue-name")
TASK = texts.role_key("annotation", "volcano.sh/task-spec")

KEYS = (
    *GROUP,
    LEAST,
    texts.queue_key("annotation", "scheduling.volcano.sh/queue-name"),
    texts.queue_key("label", "volcano.sh/queue-name"),
    QUEUE,
    TASK,
    _preemptable("annotation"),
    _preemptable("label"),
    MODE,
    TIER,
    _ignored("volcano.sh/cooldown-time", "a queue's minRuntimeSeconds protects what has just started"),
    _ignored("volcano.sh/revocable-zone", "nodes are not given back by the clock"),
    _ignored("volcano.sh/jdb-min-available", "a PodDisruptionBudget is honoured"),
    _ignored("volcano.sh/jdb-max-unavailable", "a PodDisruptionBudget is honoured"),
    _ignored("volcano.sh/sla-waiting-time", "within a queue priority and age decide who is next"),
    _ignored("volcano.sh/hierarchy", "the tree of queues is made of Queue objects"),
    _ignored("volcano.sh/hierarchy-weights", "the tree of queues is made of Queue objects"),
    _ignored("volcano.sh/numa-topology-policy", "how a node's CPUs are given out is the kubelet's choice"),
    _ignored("volcano.sh/task-topology-affinity", "consecutive ranks are laid out close to each other"),
    _ignored("volcano.sh/task-topology-anti-affinity", "consecutive ranks are laid out close to each other"),
    _ignored("volcano.sh/task-topology-task-order", "consecutive ranks are laid out close to each other"),
    _ignored("volcano.sh/partition-id", "consecutive ranks are laid out close to each other"),
    _ignored("scheduling.volcano.sh/group-min-resources", "a gang starts when there is room for its pods"),
    _ignored("scheduling.volcano.sh/queue-allocation-gate", "quota is checked for every gang before it starts"),
)


def together(said: Texts, hear: Hearing) -> None:
    """The gang, how many of it are enough, and its network topology."""
    claim(GANG, said, hear)
    _topology(said, hear)


def _topology(said: Texts, hear: Hearing) -> None:
    mode, tier = said.first((MODE,)), said.first((TIER,))
    if mode is not None and mode[1] not in ("hard", "soft"):
        hear.refuse(*mode, "hard or soft")
    elif tier is not None and (mode is None or mode[1] == "hard"):
        hear.refuse(*tier, TIER_ALLOWED)
    elif mode is not None and mode[1] == "hard":
        hear.refuse(*mode, TIER_ALLOWED)
    elif mode is not None:
        hear.note(*mode, "gangs are always laid out on as few nodes and domains as they can be")


DIALECT = Dialect(name="Volcano", keys=KEYS, together=together)
