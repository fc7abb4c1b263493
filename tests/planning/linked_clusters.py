"""Random small clusters whose machines have links, for pods that want their GPUs connected."""

import msgspec
from hypothesis import strategies as st

from scheduler.model.node import Allocator, Node
from scheduler.model.workload import Linked, Pod, Workload
from scheduler.scoring.devices.links import part
from scheduler.scoring.devices.machines import machine_graph, machine_types
from tests.planning.random_clusters import Cluster, clusters

GRAPHS = tuple(graph for name in machine_types() if (graph := machine_graph(name)) is not None)
WISHES = st.sampled_from([Linked.ANY, Linked.PREFERRED, Linked.REQUIRED])


@st.composite
def wired(draw: st.DrawFn, node: Node) -> Node:
    """The node as some machine that has as many GPUs, or more; or nobody knows its links."""
    graphs = [part(graph, len(node.devices)) for graph in GRAPHS if graph.size >= len(node.devices)]
    return msgspec.structs.replace(
        node,
        links=draw(st.sampled_from([None, *graphs])) if node.devices else None,
        allocator=draw(st.sampled_from(Allocator)),
    )


@st.composite
def wishing(draw: st.DrawFn, workload: Workload) -> Workload:
    """The workload with a wish about links for each kind of pod."""
    wishes = {shape: draw(WISHES) for shape in {pod.shape: None for pod in workload.members}}

    def wish(pod: Pod) -> Pod:
        return msgspec.structs.replace(pod, shape=msgspec.structs.replace(pod.shape, linked=wishes[pod.shape]))

    return msgspec.structs.replace(workload, members=tuple(wish(pod) for pod in workload.members))


@st.composite
def linked_clusters(draw: st.DrawFn, *, most_workloads: int = 6) -> Cluster:
    cluster = draw(clusters(most_workloads=most_workloads))
    return msgspec.structs.replace(
        cluster,
        nodes=tuple(draw(wired(node)) for node in cluster.nodes),
        workloads=tuple(draw(wishing(workload)) for workload in cluster.workloads),
    )


def all_clusters() -> st.SearchStrategy[Cluster]:
    """With links or without."""
    return st.one_of(clusters(), linked_clusters())
