"""Questions about moves and their answers as messages of the gRPC API, and back."""

from scheduler.model.names import NodeName, PodUid, QueueName, gang_key, people_name, pod_key
from scheduler.model.plan import Proof, ProofStatus
from scheduler.planning.defrag.advice import Advice, MakeFit, Move, NoAdvice, OpenDomain, PodMove, Seat, Target
from scheduler.rpc import bayplan_pb2 as pb

_STATUSES: dict[str, ProofStatus] = {"optimal": "optimal", "feasible": "feasible", "budget hit": "budget hit"}


def defrag_request(target: Target, *, let_wait: bool, budget_ms: int) -> pb.DefragRequest:
    """The question of what has to move for `target`."""
    match target:
        case OpenDomain(level=level, domain=domain, nodes=nodes):
            opened = pb.OpenDomain(level=level, domain=domain or "", nodes=nodes or 0)
            return pb.DefragRequest(open=opened, let_wait=let_wait, budget_ms=budget_ms)
        case MakeFit(workload=workload):
            return pb.DefragRequest(workload=workload, let_wait=let_wait, budget_ms=budget_ms)


def defrag_target(request: pb.DefragRequest) -> Target | None:
    """What a question is about; None where it does not say."""
    match request.WhichOneof("target"):
        case "open":
            asked = request.open
            return OpenDomain(level=asked.level, domain=asked.domain or None, nodes=asked.nodes or None)
        case "workload":
            return MakeFit(workload=request.workload)
        case _:
            return None


def defrag_response(found: Advice | NoAdvice) -> pb.DefragResponse:
    """The answer."""
    if isinstance(found, NoAdvice):
        none = pb.NoAdvice(message=found.message, unknown=found.unknown, certain=found.certain, unblock=found.unblock)
        return pb.DefragResponse(none=none)
    proof = found.proof
    advice = pb.Advice(
        generation=found.generation,
        moves=[_move_message(move) for move in found.moves],
        domain=found.domain,
        opens=found.opens,
        open_gpus=found.open_gpus,
        starts=[pb.Seat(pod_uid=s.pod, pod=s.name, node=s.node, devices=s.devices) for s in found.starts],
        overtaken=found.overtaken,
        lost_gpu_seconds=found.lost_gpu_seconds,
        proof=pb.Proof(status=proof.status, cost=proof.cost, bound=proof.bound),
    )
    return pb.DefragResponse(advice=advice)


def defrag_answer(target: Target, response: pb.DefragResponse) -> Advice | NoAdvice:
    """The answer to the question about `target`. A proof that a newer service calls otherwise counts as none."""
    if response.WhichOneof("outcome") != "advice":
        none = response.none
        return NoAdvice(message=none.message, unknown=none.unknown, certain=none.certain, unblock=none.unblock)
    advice = response.advice
    return Advice(
        generation=advice.generation,
        target=target,
        moves=tuple(_move(message) for message in advice.moves),
        domain=advice.domain,
        opens=tuple(map(NodeName, advice.opens)),
        open_gpus=advice.open_gpus,
        starts=tuple(
            Seat(pod=PodUid(s.pod_uid), name=s.pod, node=NodeName(s.node), devices=tuple(s.devices))
            for s in advice.starts
        ),
        overtaken=advice.overtaken,
        lost_gpu_seconds=advice.lost_gpu_seconds,
        proof=Proof(
            status=_STATUSES.get(advice.proof.status, "feasible"), cost=advice.proof.cost, bound=advice.proof.bound
        ),
    )


def _move_message(move: Move) -> pb.Move:
    return pb.Move(
        workload=people_name(move.workload),
        is_gang=move.workload.startswith("gang:"),
        pods=[
            pb.PodMove(pod_uid=p.pod, pod=p.name, source=p.source, target=p.target or "", devices=p.devices)
            for p in move.pods
        ],
        milli_gpu=move.milli_gpu,
        running_s=move.running_s,
        lost_gpu_seconds=move.lost_gpu_seconds,
        queue=move.queue,
    )


def _move(message: pb.Move) -> Move:
    namespace, _, name = message.workload.partition("/")
    return Move(
        workload=gang_key(namespace, name) if message.is_gang else pod_key(namespace, name),
        queue=QueueName(message.queue),
        pods=tuple(
            PodMove(
                pod=PodUid(p.pod_uid),
                name=p.pod,
                source=NodeName(p.source),
                target=NodeName(p.target) if p.target else None,
                devices=tuple(p.devices),
            )
            for p in message.pods
        ),
        milli_gpu=message.milli_gpu,
        running_s=message.running_s,
        lost_gpu_seconds=message.lost_gpu_seconds,
    )
