"""Keys and resources of other schedulers: whose they are, and why some of them do not mean the same here."""

from collections.abc import Mapping

PREFIXES: Mapping[str, str] = {
    "scheduling.volcano.sh/": "Volcano",
    "volcano.sh/": "Volcano",
    "kai.scheduler/": "KAI",
    "runai/": "KAI",
    "run.ai/": "KAI",
    "kueue.x-k8s.io/": "Kueue",
    "gang.scheduling.koordinator.sh/": "Koordinator",
    "quota.scheduling.koordinator.sh/": "Koordinator",
    "scheduling.koordinator.sh/": "Koordinator",
    "yunikorn.apache.org/": "YuniKorn",
    "scheduling.x-k8s.io/": "scheduler-plugins",
    "pod-group.scheduling.sigs.k8s.io": "scheduler-plugins",
    "hami.io/": "HAMi",
    "grove.io/": "Grove",
}
"""Beginnings of labels and annotations."""

WHOLE: Mapping[str, str] = {
    "scheduling.k8s.io/group-name": "Volcano",
    "pod-group-name": "KAI",
    "gpu-fraction": "KAI",
    "gpu-memory": "KAI",
    "gpu-fraction-num-devices": "KAI",
    "gpu-fraction-container-name": "KAI",
    "applicationId": "YuniKorn",
    "nvidia.com/use-gputype": "HAMi",
    "nvidia.com/nouse-gputype": "HAMi",
    "nvidia.com/use-gpuuuid": "HAMi",
    "nvidia.com/nouse-gpuuuid": "HAMi",
    "nvidia.com/numa-bind": "HAMi",
    "nvidia.com/vgpu-mode": "HAMi",
}
"""Labels and annotations that have no beginning of their own."""

RESOURCES: Mapping[str, str] = {
    "volcano.sh/": "Volcano",
    "koordinator.sh/": "Koordinator",
    "nvidia.com/gpumem": "HAMi",
    "nvidia.com/gpumem-percentage": "HAMi",
    "nvidia.com/gpucores": "HAMi",
    "nvidia.com/priority": "HAMi",
}
"""Names of resources, or beginnings of them."""

WRITTEN = (
    "kueue.x-k8s.io/workload",
    "kueue.x-k8s.io/managed",
    "kai.scheduler/last-",
    "kai.scheduler/stale-podgroup-timestamp",
    "volcano.sh/job-",
    "runai-",
)
"""Beginnings of keys that the other scheduler writes by itself: nobody asks for anything by them."""

PARTS_WHY = (
    "parts of GPUs are those that the device plugin makes (nvidia.com/gpu.shared, or a MIG slice), by no other size"
)

WHY: Mapping[str, str] = {
    "gpu-fraction": PARTS_WHY,
    "gpu-memory": PARTS_WHY,
    "gpu-fraction-num-devices": PARTS_WHY,
    "gpu-fraction-container-name": PARTS_WHY,
    "volcano.sh/vgpu-number": PARTS_WHY,
    "volcano.sh/vgpu-memory": PARTS_WHY,
    "volcano.sh/vgpu-cores": PARTS_WHY,
    "nvidia.com/gpumem": PARTS_WHY,
    "nvidia.com/gpumem-percentage": PARTS_WHY,
    "nvidia.com/gpucores": PARTS_WHY,
    "koordinator.sh/gpu": PARTS_WHY,
    "koordinator.sh/gpu.shared": PARTS_WHY,
    "koordinator.sh/gpu-core": PARTS_WHY,
    "koordinator.sh/gpu-memory": PARTS_WHY,
    "koordinator.sh/gpu-memory-ratio": PARTS_WHY,
    "nvidia.com/use-gputype": "bayplan.dev/gpu-model says which models a pod takes",
    "volcano.sh/cooldown-time": "minRuntimeSeconds of the queue protects work for a time after its start",
    "volcano.sh/sla-waiting-time": "who waits longest comes first among equal priority; no wait has an end",
    "volcano.sh/revocable-zone": "use a node selector or a toleration",
    "kueue.x-k8s.io/max-exec-time-seconds": "activeDeadlineSeconds of the pod ends it",
    "kai.scheduler/preemption-delay": "what is lent comes back at once",
    "kai.scheduler/staleness-grace-period": "what becomes of a gang that lost members is its controller's decision",
    "kai.scheduler/node-pool": "use a node selector",
    "yunikorn.apache.org/schedulingPolicyParameters": "a gang holds nothing while it waits, so nothing times out",
}
"""What to do instead, or why it is not needed."""

NOT_READ = "Bayplan does not read this key"


def dialect_of(key: str) -> str:
    """Whose label or annotation it is; empty: nobody's that is known."""
    if key.startswith(WRITTEN):
        return ""
    return WHOLE.get(key) or next((whose for prefix, whose in PREFIXES.items() if key.startswith(prefix)), "")


def whose_resource(name: str) -> str:
    """Whose resource it is; empty: one that Bayplan counts as any other."""
    exact = RESOURCES.get(name)
    return exact or next((whose for p, whose in RESOURCES.items() if p.endswith("/") and name.startswith(p)), "")
