"""Owners whose pods belong together though nobody says so: what each says of how many there are.

Fields as in JobSet `api/jobset/v1alpha2`, Kubeflow training operator `pkg/apis/kubeflow.org/v1`, MPI operator
`pkg/apis/kubeflow/v2beta1`, KubeRay `ray-operator/apis/ray/v1` and LWS `api/leaderworkerset/v1`.
"""

from functools import partial
from typing import Any

import msgspec

from scheduler.kube.dialects.foreign import Draft, ForeignKind, minimums
from scheduler.kube.wire import Meta, Wire
from scheduler.model.workload import GangClaim
from scheduler.state.events import GroupSeen


class _JobSpec(Wire, frozen=True, kw_only=True):
    parallelism: int = 1


class _JobTemplate(Wire, frozen=True, kw_only=True):
    spec: _JobSpec = _JobSpec()


class _ReplicatedJob(Wire, frozen=True, kw_only=True):
    name: str = ""
    replicas: int = 1
    template: _JobTemplate = _JobTemplate()
    depends_on: list[msgspec.Raw] = []


class _Startup(Wire, frozen=True, kw_only=True):
    startup_policy_order: str = "AnyOrder"


class _JobSetSpec(Wire, frozen=True, kw_only=True):
    replicated_jobs: list[_ReplicatedJob] = []
    startup_policy: _Startup | None = None


class _JobSet(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _JobSetSpec = _JobSetSpec()


_jobset_decoder = msgspec.json.Decoder(_JobSet)


def read_jobset(raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """A JobSet: one gang, or one for each of its replicated Jobs where these start one after the other."""
    wire = _jobset_decoder.decode(raw)
    jobs = wire.spec.replicated_jobs
    sizes = minimums({job.name: job.replicas * job.template.spec.parallelism for job in jobs})
    order = "AnyOrder" if wire.spec.startup_policy is None else wire.spec.startup_policy.startup_policy_order
    in_turn = order == "InOrder" or any(job.depends_on for job in jobs)
    claim = GangClaim(name="", size=sum(number for _, number in sizes) or None)
    return wire.metadata, Draft("JobSet", "jobset/", wire.metadata).group(
        claim, form="roles" if in_turn else "gang", role_sizes=sizes
    )


class _Replicas(Wire, frozen=True, kw_only=True):
    replicas: int = 1


class _SchedulingPolicy(Wire, frozen=True, kw_only=True):
    min_available: int | None = None
    queue: str = ""
    priority_class: str = ""


class _RunPolicy(Wire, frozen=True, kw_only=True):
    scheduling_policy: _SchedulingPolicy | None = None


class _Elastic(Wire, frozen=True, kw_only=True):
    min_replicas: int | None = None


class _TrainingSpec(Wire, frozen=True, kw_only=True):
    pytorch_replica_specs: dict[str, _Replicas] = {}
    tf_replica_specs: dict[str, _Replicas] = {}
    mpi_replica_specs: dict[str, _Replicas] = {}
    jax_replica_specs: dict[str, _Replicas] = {}
    xgb_replica_specs: dict[str, _Replicas] = {}
    paddle_replica_specs: dict[str, _Replicas] = {}
    run_policy: _RunPolicy = _RunPolicy()
    elastic_policy: _Elastic | None = None
    launcher_creation_policy: str = "AtStartup"


class _TrainingJob(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _TrainingSpec = _TrainingSpec()


_training_decoder = msgspec.json.Decoder(_TrainingJob)


def read_training(kind: str, raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """A job of Kubeflow's training operator or MPI operator; one gang, a launcher that waits for its workers apart."""
    wire = _training_decoder.decode(raw)
    spec = wire.spec
    draft = Draft(kind, f"{kind.lower()}/", wire.metadata)
    replicas = {
        **spec.pytorch_replica_specs,
        **spec.tf_replica_specs,
        **spec.mpi_replica_specs,
        **spec.jax_replica_specs,
        **spec.xgb_replica_specs,
        **spec.paddle_replica_specs,
    }
    sizes = minimums({name.lower(): one.replicas for name, one in replicas.items()})
    total = sum(number for _, number in sizes)
    policy = spec.run_policy.scheduling_policy or _SchedulingPolicy()
    draft.priority("spec.runPolicy.schedulingPolicy.priorityClass", policy.priority_class)
    least = policy.min_available
    if least is None and spec.elastic_policy is not None and spec.elastic_policy.min_replicas is not None:
        others = sum(number for name, number in sizes if name != "worker")
        least = others + spec.elastic_policy.min_replicas
    claim = GangClaim(name="", size=total or None, least=None if least is None else max(1, min(least, total)))
    in_turn = spec.launcher_creation_policy == "WaitForWorkersReady"
    return wire.metadata, draft.group(claim, queue=policy.queue, form="roles" if in_turn else "gang", role_sizes=sizes)


class _WorkerGroup(Wire, frozen=True, kw_only=True):
    group_name: str = ""
    replicas: int = 0
    min_replicas: int = 0
    num_of_hosts: int = 1


class _RaySpec(Wire, frozen=True, kw_only=True):
    enable_in_tree_autoscaling: bool = False
    worker_group_specs: list[_WorkerGroup] = []


class _RayCluster(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _RaySpec = _RaySpec()


_ray_decoder = msgspec.json.Decoder(_RayCluster)

HEAD_GROUP = "headgroup"
"""How KubeRay names the group of the head (`ray.io/group`)."""


def read_ray(raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """A RayCluster: its head and its workers; with autoscaling the fewest that it shall have are enough."""
    wire = _ray_decoder.decode(raw)
    groups = wire.spec.worker_group_specs
    draft = Draft("RayCluster", "raycluster/", wire.metadata)
    if wire.spec.enable_in_tree_autoscaling:
        role_least = minimums({HEAD_GROUP: 1} | {g.group_name: g.min_replicas * g.num_of_hosts for g in groups})
        return wire.metadata, draft.group(GangClaim(name="", role_least=role_least))
    size = 1 + sum(max(g.replicas, g.min_replicas) * g.num_of_hosts for g in groups)
    return wire.metadata, draft.group(GangClaim(name="", size=size))


class _LwsTemplate(Wire, frozen=True, kw_only=True):
    size: int = 1


class _LwsSpec(Wire, frozen=True, kw_only=True):
    leader_worker_template: _LwsTemplate = _LwsTemplate()
    startup_policy: str = "LeaderCreated"


class _Lws(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _LwsSpec = _LwsSpec()


_lws_decoder = msgspec.json.Decoder(_Lws)


def read_lws(raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """A LeaderWorkerSet: each group a gang; a leader that has to be ready first stands apart from its workers."""
    wire = _lws_decoder.decode(raw)
    size = wire.spec.leader_worker_template.size
    in_turn = wire.spec.startup_policy == "LeaderReady"
    return wire.metadata, Draft("LeaderWorkerSet", "lws/", wire.metadata).group(
        GangClaim(name="", size=size),
        form="roles" if in_turn else "gang",
        role_sizes=minimums({"leader": 1, "worker": size - 1}),
    )


def _training(kind: str, *versions: str) -> ForeignKind:
    read: Any = partial(read_training, kind)
    return ForeignKind(group="kubeflow.org", plural=f"{kind.lower()}s", versions=versions, read=read)


KINDS = (
    ForeignKind(group="jobset.x-k8s.io", plural="jobsets", versions=("v1", "v1alpha2"), read=read_jobset),
    _training("PyTorchJob", "v1"),
    _training("TFJob", "v1"),
    _training("MPIJob", "v2beta1", "v1"),
    _training("JAXJob", "v1"),
    _training("XGBoostJob", "v1"),
    _training("PaddleJob", "v1"),
    ForeignKind(group="ray.io", plural="rayclusters", versions=("v1",), read=read_ray),
    ForeignKind(group="leaderworkerset.x-k8s.io", plural="leaderworkersets", versions=("v1",), read=read_lws),
)
