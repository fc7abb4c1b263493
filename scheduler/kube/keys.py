"""Names that Bayplan reads and writes on API objects, and the ones of Kubernetes and NVIDIA that it reads."""

GROUP_VERSION = "bayplan.dev/v1alpha1"

QUEUE_LABEL = "bayplan.dev/queue"
"""On a pod or a Job: the Queue it belongs to."""

QUEUE_FINALIZER = "bayplan.dev/in-use"
"""On a Queue as long as work stands in it or below it: a Queue that is deleted stays until that has ended."""

USER_LABEL = "bayplan.dev/user"
"""On a pod: whose it is, where queues limit what one user may use; the settings may name another label."""

GANG_LABEL = "bayplan.dev/gang"
"""On a pod or a Job: the name of its gang, unique in the namespace."""

GANG_SIZE_ANNOTATION = "bayplan.dev/gang-size"
"""Beside `GANG_LABEL`: how many pods the gang has. Indexed Jobs with completions = parallelism may leave it out."""

GANG_MIN_ANNOTATION = "bayplan.dev/gang-min"
"""Beside `GANG_LABEL`: how many pods are enough for the gang to start and to stay. Absent: all of them."""

ROLE_MIN_ANNOTATION = "bayplan.dev/role-min"
"""Beside `GANG_LABEL`: `leader=1,worker=2`, how many pods of which roles have to stand at least."""

PREEMPTIBLE_ANNOTATION = "bayplan.dev/preemptible"
"""`false`: the pod is never moved or evicted, and therefore only fills nominal quota. Absent: `true`."""

TOPOLOGY_REQUIRED_ANNOTATION = "bayplan.dev/topology-required"
TOPOLOGY_PREFERRED_ANNOTATION = "bayplan.dev/topology-preferred"
"""Name of a topology level, or the node label key of one: all members in one domain of it."""

TOPOLOGY_SLICES_ANNOTATION = "bayplan.dev/topology-slices"
"""`rack=4,node=2`: every so many consecutive pods of a kind in one domain of a level, outermost first."""

TOPOLOGY_EXCLUSIVE_ANNOTATION = "bayplan.dev/topology-exclusive"
"""A level: no other gang stands in a domain of it where this one does."""

ROLE_ANNOTATION = "bayplan.dev/role"
ROLE_REQUIRED_ANNOTATION = "bayplan.dev/role-topology-required"
"""The pod's part in its gang, and the level of which one domain holds all pods of that part."""

LINKED_ANNOTATION = "bayplan.dev/linked"
"""`required` or `preferred`: the pod's GPUs connected by NVLink."""

GPU_MODEL_ANNOTATION = "bayplan.dev/gpu-model"
"""Accepted GPU models, separated by commas."""

POLICY_ANNOTATION = "bayplan.dev/placement-policy"
"""How a pod that stands alone is placed: the name of a `scheduler.model.policy.Policy`."""

GPU_SHARE_ANNOTATION = "bayplan.dev/gpu-share"
"""How large a part of a GPU the pod needs of each `nvidia.com/gpu.shared` that it asks for."""

DURATION_ANNOTATION = "bayplan.dev/duration"
"""How long the pod is expected to run."""

CHECKPOINTED_ANNOTATION = "bayplan.dev/checkpointed-at"
"""When the pod last saved its work."""

CHECKPOINT_REQUESTED_ANNOTATION = "bayplan.dev/checkpoint-requested"
"""Written on a running pod that is about to be evicted: when it was asked to save its work."""

EVICTED_ANNOTATION = "bayplan.dev/evicted-workload"
"""On an Event that says why a pod was evicted: the workload that lost it."""

PLAN_GATE = "bayplan.dev/plan"
"""Scheduling gate that keeps a pod from kube-scheduler until it has a plan."""

PLAN_ANNOTATION = "bayplan.dev/plan"
"""Written on an ungated pod to wake it: any change of a pod that an extender refused makes kube-scheduler try again."""

CONDITION_TYPE = "bayplan.dev/Planned"
"""Pod condition: whether a plan stands, or what the pod waits for."""

MAKES_WAY_CONDITION_TYPE = "bayplan.dev/MakesWay"
"""Pod condition: the running pod is to leave, for whom, and why; written before it is evicted."""

FAILING_CONDITION_TYPE = "bayplan.dev/OnFailingDevice"
"""Pod condition: the running pod stands on a GPU that is not healthy, or on a node that is not ready, and which."""

JOB_INDEX_KEY = "batch.kubernetes.io/job-completion-index"
"""Label (since 1.28) and annotation with a pod's index in an Indexed Job."""

JOBSET_INDEX_KEY = "jobset.sigs.k8s.io/job-global-index"
"""JobSet: the index of the pod's Job among all Jobs of the set."""

RANK_KEYS = (
    JOB_INDEX_KEY,
    "leaderworkerset.sigs.k8s.io/worker-index",
    "training.kubeflow.org/replica-index",
    "volcano.sh/task-index",
    "kueue.x-k8s.io/pod-group-pod-index",
    "gang.scheduling.koordinator.sh/network-topology-index",
    "apps.kubernetes.io/pod-index",
)
"""Labels or annotations with a pod's place among its like; the first that is there counts. The pods of LeaderWorkerSets
belong to StatefulSets, which number them otherwise, so that key comes last."""

MIG_WANTED_LABEL = "bayplan.dev/mig-config"
"""On a node that is closed while its GPUs are divided anew: the configuration that it is to take."""

MIG_STRATEGY_LABEL = "nvidia.com/mig.strategy"
"""Node label of GPU feature discovery: how the device plugin offers MIG slices, `none`, `single` or `mixed`."""

MIG_CONFIG_LABEL = "nvidia.com/mig.config"
MIG_STATE_LABEL = "nvidia.com/mig.config.state"
"""What the GPU operator's MIG manager is to make of a node, and how far it is: pending, rebooting, success, failed."""

GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"
"""Node label of GPU feature discovery: the GPU's model."""

GPU_COUNT_LABEL = "nvidia.com/gpu.count"
"""Node label of GPU feature discovery: how many GPUs of the product there are."""

GPU_MEMORY_LABEL = "nvidia.com/gpu.memory"
"""Node label of GPU feature discovery: the memory of one GPU in MiB."""

MACHINE_NAME_LABELS = ("nvidia.com/gpu.machine", "node.kubernetes.io/instance-type")
"""Node labels with the name of the machine as a whole: the maker's (GPU feature discovery), the cloud's."""

NUMA_POLICY_LABEL = "bayplan.dev/topology-manager-policy"
NUMA_SCOPE_LABEL = "bayplan.dev/topology-manager-scope"
"""On a node: the kubelet's settings `topologyManagerPolicy` and `topologyManagerScope`, which no API tells."""

GPU_REPLICAS_LABEL = "nvidia.com/gpu.replicas"
"""Node label of GPU feature discovery: into how many parts each GPU is shared."""

RESOURCE_GROUP = "resource.k8s.io"

DEVICE_CLASS = "gpu.bayplan.dev"
"""The DeviceClass of claims that Bayplan allocates; it suits no device, so that kube-scheduler never does."""

GUARD = {"apiGroup": "bayplan.dev", "resource": "plans", "name": "plan", "uid": "bayplan.dev/plan"}
"""In `status.reservedFor` of a claim: it was allocated for a plan whose pods do not all stand yet."""

GPU_DRIVER = "gpu.nvidia.com"
"""The driver of NVIDIA GPUs for dynamic resource allocation, and the domain of its attributes."""

GPU_SHARING_LABEL = "nvidia.com/gpu.sharing-strategy"
"""Node label of GPU feature discovery: how GPUs are shared, `none`, `time-slicing` or `mps`."""

CHANNEL_CLASS = "compute-domain-default-channel.nvidia.com"
"""The DeviceClass of the IMEX channels of NVIDIA's ComputeDomains, which kube-scheduler allocates."""
