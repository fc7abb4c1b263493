"""Koordinator: gangs and their layout by annotations, quota by label.

Keys as in Koordinator's `apis/extension/{coscheduling,elastic_quota,network_topology}.go`. Its PodGroup is that of
scheduler-plugins.
"""

import msgspec

from scheduler.kube.dialects import texts
from scheduler.kube.dialects.claims import GroupKeys, claim
from scheduler.kube.dialects.record import Dialect, Hearing, Key, Place, Texts

PREFIX = "koordinator/"
GANG_PREFIX = "gang.scheduling.koordinator.sh/"


def _annotation(key: str, means: str) -> Key:
    return Key(place="annotation", key=GANG_PREFIX + key, means=means)


GROUP = _annotation("name", "the gang")
LEAST = _annotation("min-available", "how many pods are enough")
SIZE = _annotation("total-number", "how many pods the gang has")
GANG = GroupKeys(prefix=PREFIX, name=(GROUP,), least=(LEAST,), size=(SIZE,))
MODE = _annotation("mode", "`Strict` is how every gang is; `NonStrict` is not honoured")
LAYOUT = _annotation(
    "network-topology-spec",
    "`MustGather`: the level of which one domain holds the gang; `PreferGather`: should hold it; `podCountMultiple`: "
    "so many consecutive pods in one domain",
)
LAYOUT_ALLOWED = (
    'JSON as in {"gatherStrategy": [{"layer": LEVEL, "strategy": "MustGather" or "PreferGather", '
    '"podCountMultiple": PODS}]}'
)


class _Gather(msgspec.Struct, frozen=True, rename="camel"):
    layer: str
    strategy: str = ""
    pod_count_multiple: int = 0


class _Layout(msgspec.Struct, frozen=True, rename="camel"):
    gather_strategy: list[_Gather]


_layout = msgspec.json.Decoder(_Layout)


def _ignored(place: Place, key: str, sentence: str) -> Key:
    return Key(place=place, key=key, means=sentence, heard=False)


KEYS = (
    GROUP,
    LEAST,
    SIZE,
    MODE,
    LAYOUT,
    _annotation("network-topology-index", "the pod's rank"),
    texts.queue_key("label", "quota.scheduling.koordinator.sh/name"),
    Key(
        place="label",
        key="quota.scheduling.koordinator.sh/preemptible",
        means="whether the pod may be evicted",
        field="preemptible",
        read=texts.flag,
        allowed=texts.FLAG_ALLOWED,
    ),
    _ignored(
        "annotation", GANG_PREFIX + "groups", "gangs start each by itself; pods that need each other are one gang"
    ),
    _ignored("annotation", GANG_PREFIX + "waiting-time", "a gang holds nothing while it waits for its pods"),
    _ignored("annotation", GANG_PREFIX + "timeout", "a gang holds nothing while it waits for its pods"),
    _ignored("annotation", GANG_PREFIX + "match-policy", "pods that stand count"),
    _ignored("label", "quota.scheduling.koordinator.sh/tree-id", "there is one tree of queues"),
    _ignored("annotation", "scheduling.koordinator.sh/device-allocate-hint", "bayplan.dev/linked asks for linked GPUs"),
    _ignored("annotation", "scheduling.koordinator.sh/device-joint-allocate", "network cards are not looked at"),
    _ignored("annotation", "scheduling.koordinator.sh/gpu-partition-spec", "bayplan.dev/linked asks for linked GPUs"),
    _ignored("annotation", "scheduling.koordinator.sh/reservation-affinity", "there are no such reservations"),
)


def together(said: Texts, hear: Hearing) -> None:
    """The gang and its layout."""
    claim(GANG, said, hear)
    mode, layout = said.first((MODE,)), said.first((LAYOUT,))
    if mode is not None and mode[1] == "NonStrict":
        hear.note(*mode, "a gang starts whole or not at all")
    elif mode is not None and mode[1] != "Strict":
        hear.refuse(*mode, "Strict or NonStrict")
    if layout is not None:
        lay_out(*layout, hear)


def lay_out(where: str, text: str, hear: Hearing) -> None:
    """A gang's layout, as its pods or its PodGroup give it.

    Layers are given in no order. Of several that must hold the gang only one can be meant, so they are refused; of
    several that should, the first counts.
    """
    try:
        gathers = _layout.decode(text).gather_strategy
    except texts.UNREADABLE:
        gathers = []
    must = [gather for gather in gathers if gather.strategy == "MustGather"]
    whole = [gather.layer.strip() for gather in must if not gather.pod_count_multiple]
    should = [gather.layer.strip() for gather in gathers if gather.strategy == "PreferGather"]
    parts = [(gather.layer.strip(), gather.pod_count_multiple) for gather in must if gather.pod_count_multiple]
    slices = texts.layers(tuple(sorted(parts, key=lambda part: -part[1])))
    named = all(gather.layer.strip() for gather in gathers)
    if not gathers or not named or len(must) + len(should) < len(gathers) or (parts and slices is None):
        hear.refuse(where, text, LAYOUT_ALLOWED)
        return
    if len(whole) > 1:
        hear.refuse(where, text, "one layer with MustGather")
        return
    if whole:
        hear.say("topology_required", whole[0], where)
    if should:
        hear.say("topology_preferred", should[0], where)
    if len(should) > 1:
        hear.note(where, ", ".join(should[1:]), f"one level is preferred, {should[0]}")
    if slices:
        hear.say("topology_slices", slices, where)


DIALECT = Dialect(name="Koordinator", keys=KEYS, together=together)
