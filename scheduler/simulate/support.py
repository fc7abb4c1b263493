"""Which parts of the scenario format this version honours; the rest is refused by name, never passed over."""

from collections.abc import Collection, Iterator

from scheduler.model.flavors import model_matches
from scheduler.simulate.document import QueueDoc, ScenarioDoc, WorkloadDoc
from scheduler.simulate.refusal import Refused


def unsupported(doc: ScenarioDoc) -> Refused | None:
    """The first key of `doc` that belongs to the format and is not honoured, or None."""
    return next(_unsupported(doc), None)


def _unsupported(doc: ScenarioDoc) -> Iterator[Refused]:
    models = {node.model for node in doc.nodes}
    for at, queue in enumerate(doc.queues):
        yield from _of_queue(f"queues[{at}]", queue, models)
    for at, workload in enumerate(doc.workloads):
        yield from _of_workload(f"workloads[{at}]", workload)


def _of_queue(here: str, queue: QueueDoc, models: Collection[str]) -> Iterator[Refused]:
    for name in queue.flavors:
        # The planner counts every A100 towards the flavor A100; the format means the model of just that name.
        for model in sorted(models):
            if model != name and model_matches(name, model):
                why = f"a quota that counts {model} too, as it does in a cluster, is not supported here"
                yield Refused(where=f"{here}.flavors.{name}", why=why)


def _of_workload(here: str, workload: WorkloadDoc) -> Iterator[Refused]:
    if not workload.is_gang and workload.total > 1:
        for wish in ("required", "preferred"):
            if getattr(workload.topology, wish) is not None:
                why = "a domain for several pods that start one by one is not supported; make it a gang"
                yield Refused(where=f"{here}.topology.{wish}", why=why)
