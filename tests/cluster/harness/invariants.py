"""What must hold whenever the cluster is at rest, from API objects alone: written without any code of the scheduler."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from scheduler.localcluster.api import Json

SUFFIXES: Mapping[str, Fraction] = {
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("", "k", "M", "G", "T"))},
    **{suffix: Fraction(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti"), start=1)},
    "m": Fraction(1, 1000),
}
TERMINAL = ("Succeeded", "Failed")
GANG = "bayplan.dev/gang"
GANG_MIN = "bayplan.dev/gang-min"
QUEUE = "bayplan.dev/queue"


def quantity(text: str) -> Fraction:
    """The amount that a quantity of Kubernetes stands for."""
    digits = text.rstrip("kMGTKim")
    return Fraction(digits) * SUFFIXES[text[len(digits) :]]


def requests(pod: Json) -> dict[str, Fraction]:
    """What a pod of plain containers holds of its node, in exact units."""
    total: defaultdict[str, Fraction] = defaultdict(Fraction, pods=Fraction(1))
    for container in pod["spec"]["containers"]:
        for name, amount in container.get("resources", {}).get("requests", {}).items():
            total[name] += quantity(amount)
    return total


def holds_room(pod: Json) -> bool:
    """Whether the pod stands on a node and has not ended."""
    return bool(pod["spec"].get("nodeName")) and pod.get("status", {}).get("phase") not in TERMINAL


def over_committed(nodes: Iterable[Json], pods: Sequence[Json]) -> list[str]:
    """Nodes that hold more of something than they have."""
    used: defaultdict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for pod in filter(holds_room, pods):
        for resource, amount in requests(pod).items():
            used[pod["spec"]["nodeName"], resource] += amount
    wrong: list[str] = []
    for node in nodes:
        name, has = node["metadata"]["name"], node["status"]["allocatable"]
        for (where, resource), amount in used.items():
            if where == name and amount > quantity(has.get(resource, "0")):
                wrong.append(f"{name} holds {amount} of {resource}, and has {has.get(resource, '0')}")
    return wrong


def gang_of(pod: Json, jobs: Mapping[str, Json]) -> str | None:
    """`namespace/gang` of a pod: by its own label, or by its Job's."""
    labels = pod["metadata"].get("labels", {})
    owners = [jobs.get(owner["uid"]) for owner in pod["metadata"].get("ownerReferences", ())]
    for source in (labels, *(job["metadata"].get("labels", {}) for job in owners if job)):
        if GANG in source:
            return f"{pod['metadata']['namespace']}/{source[GANG]}"
    return None


def torn_gangs(pods: Sequence[Json], jobs: Iterable[Json]) -> list[str]:
    """Gangs of which some pods stand, fewer than they say are enough, and others wait."""
    by_uid = {job["metadata"]["uid"]: job for job in jobs}
    placed: defaultdict[str, list[str]] = defaultdict(list)
    waiting: defaultdict[str, list[str]] = defaultdict(list)
    enough: dict[str, int] = {}
    for pod in pods:
        gang = gang_of(pod, by_uid)
        if gang is None or pod["spec"].get("schedulerName") != "bayplan" or pod["metadata"].get("deletionTimestamp"):
            continue
        if (least := pod["metadata"].get("annotations", {}).get(GANG_MIN)) is not None:
            enough[gang] = max(enough.get(gang, 0), int(least))
        if holds_room(pod):
            placed[gang].append(pod["metadata"]["name"])
        elif not pod["spec"].get("nodeName"):
            waiting[gang].append(pod["metadata"]["name"])
    torn = [g for g in placed if g in waiting and (g not in enough or len(placed[g]) < enough[g])]
    return [f"gang {g}: {placed[g]} stand while {waiting[g]} wait" for g in torn]


def milli_gpu(pod: Json) -> int:
    """What a pod is charged: 1000 a GPU, a MIG slice by its part of seven."""
    total = 0
    for name, amount in requests(pod).items():
        if name == "nvidia.com/gpu":
            total += 1000 * int(amount)
        elif name.startswith("nvidia.com/mig-"):
            slices = int(name.removeprefix("nvidia.com/mig-").partition("g.")[0])
            total += int(amount) * (1000 * slices // 7)
    return total


def over_quota(pods: Sequence[Json], queues: Iterable[Json], jobs: Iterable[Json]) -> list[str]:
    """Queues that hold more than they own and may borrow."""
    by_uid = {job["metadata"]["uid"]: job for job in jobs}
    listed = list(queues)
    serving = {ns: q["metadata"]["name"] for q in listed for ns in q["spec"].get("namespaces", ())}
    used: Counter[str] = Counter()
    for pod in filter(holds_room, pods):
        if pod["spec"].get("schedulerName") != "bayplan":
            continue
        owners = [by_uid.get(owner["uid"]) for owner in pod["metadata"].get("ownerReferences", ())]
        named = [pod["metadata"].get("labels", {}), *(job["metadata"].get("labels", {}) for job in owners if job)]
        queue = next((labels[QUEUE] for labels in named if QUEUE in labels), None)
        used[queue or serving.get(pod["metadata"]["namespace"], "")] += milli_gpu(pod)
    wrong: list[str] = []
    for queue in listed:
        name, spec = queue["metadata"]["name"], queue["spec"]
        if "borrowingLimit" in spec and used[name] > 1000 * (spec.get("nominal", 0) + spec["borrowingLimit"]):
            wrong.append(f"queue {name} holds {used[name]} milli-GPU; {spec} allows less")
    return wrong
