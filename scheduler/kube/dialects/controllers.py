"""What controllers write on the pods they make: their pods belong together without anybody saying so.

Every other word on a gang goes first. Controllers that make some pods only when others have a node are left out: such
pods would wait for each other for ever.
"""

from functools import partial

from scheduler.kube.dialects import texts
from scheduler.kube.dialects.record import Dialect, Hearing, Key, Place, Texts
from scheduler.model.workload import GangClaim

LWS = "leaderworkerset.sigs.k8s.io/"
LWS_NAME = Key(place="label", key=LWS + "name", means="the pods of one group are a gang")
LWS_GROUP = Key(place="label", key=LWS + "group-index", means="which group")
LWS_WORKER = Key(place="label", key=LWS + "worker-index", means="the pod's rank; 0 has the role leader, others worker")
LWS_SIZE = Key(place="annotation", key=LWS + "size", means="how many pods a group has")
LWS_EXCLUSIVE = Key(
    place="annotation",
    key=LWS + "exclusive-topology",
    means="such groups are no gangs: their workers are made only when the leader has a node",
)

JOBSET_NAME = Key(place="label", key="jobset.sigs.k8s.io/jobset-name", means="the pods of a JobSet are a gang")
JOBSET_ROLE = Key(place="label", key="jobset.sigs.k8s.io/replicatedjob-name", means="the pod's role in its gang")
JOBSET_EXCLUSIVE = Key(
    place="annotation",
    key="alpha.jobset.sigs.k8s.io/exclusive-topology",
    means="such sets are no gangs: other pods of a Job are made only when its first has a node",
)

KUBEFLOW_NAME = Key(
    place="label", key="training.kubeflow.org/job-name", means="the pods of a PyTorchJob, TFJob, MPIJob … are a gang"
)
KUBEFLOW_OPERATOR = Key(place="label", key="training.kubeflow.org/operator-name", means="which of them")
KUBEFLOW_ROLE = (
    Key(place="label", key="training.kubeflow.org/replica-type", means="the pod's role in its gang"),
    Key(place="label", key="training.kubeflow.org/job-role", means="the pod's role in its gang"),
)

KUBEFLOW_KINDS = frozenset({"pytorchjob", "tfjob", "mpijob", "jaxjob", "xgboostjob", "paddlejob"})
"""Jobs whose objects tell how many pods they have; pods of others stand alone."""

RAY_NAME = Key(place="label", key="ray.io/cluster", means="the pods of a RayCluster are a gang")
RAY_ROLE = Key(place="label", key="ray.io/group", means="the pod's role in its gang")

GROVE_NAME = Key(place="label", key="grove.io/podgang", means="the gang; its PodGang says how many pods are enough")
GROVE_ROLE = Key(place="label", key="grove.io/podclique", means="the pod's role in its gang")


def _ignored(place: Place, key: str, sentence: str) -> Key:
    return Key(place=place, key=key, means=sentence, heard=False)


def lws(said: Texts, hear: Hearing) -> None:
    """The group of a LeaderWorkerSet."""
    name, group, exclusive = said.first((LWS_NAME,)), said.first((LWS_GROUP,)), said.first((LWS_EXCLUSIVE,))
    if name is None or not name[1] or group is None or not group[1]:
        return
    if exclusive is not None:
        hear.note(*exclusive, "workers are made only when their leader has a node, so the pods are placed one by one")
        return
    size, worker = said.first((LWS_SIZE,)), said.first((LWS_WORKER,))
    number = None if size is None else texts.count(size[1])
    if size is not None and number is None:
        hear.refuse(*size, texts.COUNT_ALLOWED)
    claim = GangClaim(name=f"lws/{name[1]}-{group[1]}", group=f"lws/{name[1]}", size=number)
    hear.say("gang", claim, name[0], implied=True)
    if worker is not None:
        hear.say("role", "leader" if worker[1] == "0" else "worker", worker[0], implied=True)


def jobset(said: Texts, hear: Hearing) -> None:
    """The JobSet."""
    name, exclusive = said.first((JOBSET_NAME,)), said.first((JOBSET_EXCLUSIVE,))
    if name is None or not name[1]:
        return
    if exclusive is not None:
        hear.note(
            *exclusive, "other pods of a Job are made only when its first has a node, so they are placed one by one"
        )
        return
    hear.say("gang", GangClaim(name=f"jobset/{name[1]}"), name[0], implied=True)
    _role(said, (JOBSET_ROLE,), hear)


def kubeflow(said: Texts, hear: Hearing) -> None:
    """The job of Kubeflow's training operator or MPI operator."""
    name, operator = said.first((KUBEFLOW_NAME,)), said.first((KUBEFLOW_OPERATOR,))
    if name is None or not name[1]:
        return
    kind = said.owner_kind.lower() if operator is None else operator[1].removesuffix("-controller")
    kind = "mpijob" if kind == "mpi-operator" else kind
    if kind in KUBEFLOW_KINDS:
        hear.say("gang", GangClaim(name=f"{kind}/{name[1]}"), name[0], implied=True)
        _role(said, KUBEFLOW_ROLE, hear)


def named(name: Key, prefix: str, role: Key, said: Texts, hear: Hearing) -> None:
    """A gang of which the pod carries the name, and its role."""
    found = said.first((name,))
    if found is not None and found[1]:
        hear.say("gang", GangClaim(name=prefix + found[1]), found[0], implied=True)
        _role(said, (role,), hear)


def _role(said: Texts, keys: tuple[Key, ...], hear: Hearing) -> None:
    found = said.first(keys)
    if found is not None and found[1].strip():
        hear.say("role", found[1].strip(), found[0], implied=True)


DIALECTS = (
    Dialect(
        name="Grove",
        keys=(
            GROVE_NAME,
            GROVE_ROLE,
            _ignored("annotation", "grove.io/mnnvl-group", "a topology level that the gang requires holds its pods"),
            _ignored("annotation", "grove.io/topology-name", "there is one Topology in the cluster, the first by name"),
        ),
        together=partial(named, GROVE_NAME, "grove/", GROVE_ROLE),
    ),
    Dialect(
        name="LeaderWorkerSet",
        keys=(
            *(LWS_NAME, LWS_GROUP, LWS_WORKER, LWS_SIZE, LWS_EXCLUSIVE),
            _ignored("annotation", LWS + "subgroup-exclusive-topology", "bayplan.dev/topology-slices divides a gang"),
        ),
        together=lws,
    ),
    Dialect(name="JobSet", keys=(JOBSET_NAME, JOBSET_ROLE, JOBSET_EXCLUSIVE), together=jobset),
    Dialect(
        name="Kubeflow",
        keys=(KUBEFLOW_NAME, KUBEFLOW_OPERATOR, *KUBEFLOW_ROLE),
        together=kubeflow,
    ),
    Dialect(name="Ray", keys=(RAY_NAME, RAY_ROLE), together=partial(named, RAY_NAME, "raycluster/", RAY_ROLE)),
)
