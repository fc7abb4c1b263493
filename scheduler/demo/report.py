"""What remains of a demo: a record for programs, a table and the next steps for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from scheduler.demo.fabric import Fabric
from scheduler.demo.sight import State
from scheduler.demo.story import Story, Work, WorkName
from scheduler.demo.track import Trace
from scheduler.model.resources import GPU


class WorkReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One workload. Times are in seconds since the first submission, None where it did not come to that.

    Attributes:
        gpus: whole GPUs of all pods, `slices` MIG slices of all pods.
        lost_s: when it was evicted, `left` why, and `made_way_for` for whom.
        reasons: what it waited for: machine-readable reason and sentence, in order.
    """

    name: str
    team: str
    what: str
    pods: int
    gpus: int
    slices: int
    state: State
    submitted_s: float | None
    started_s: float | None
    lost_s: float | None
    left: str
    made_way_for: str | None
    completed_s: float | None
    wait_s: float | None
    nodes: Sequence[str]
    connectedness: str
    reasons: Sequence[tuple[str, str]]


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole demo. `broken` has a sentence for each promise that was not kept."""

    ok: bool
    broken: Sequence[str]
    nodes: int
    start_s: float
    """Seconds until the cluster was ready, a build of the control plane included."""
    story_s: float
    """Seconds from the first submission to the end."""
    kept: bool
    kubeconfig: str
    workloads: Sequence[WorkReport]


def work_reports(story: Story, traces: Mapping[WorkName, Trace], fabric: Fabric) -> Sequence[WorkReport]:
    """The records of all workloads, in the order of the story."""
    return [_work_report(work, traces[name], fabric) for name, work in story.work.items()]


def _work_report(work: Work, trace: Trace, fabric: Fabric) -> WorkReport:
    devices = work.pods * work.per_pod
    return WorkReport(
        name=work.name,
        team=work.team,
        what=work.promise.what,
        pods=work.pods,
        gpus=devices if work.device == GPU else 0,
        slices=0 if work.device == GPU else devices,
        state=trace.state,
        submitted_s=_short(trace.submitted_s),
        started_s=_short(trace.started_s),
        lost_s=_short(trace.lost_s),
        left="" if trace.lost_s is None else work.leaves,
        made_way_for=None if trace.lost_s is None else work.promise.makes_way_for,
        completed_s=_short(trace.completed_s),
        wait_s=_short(trace.wait_s),
        nodes=trace.nodes,
        connectedness=fabric.connectedness(work, trace.nodes),
        reasons=trace.reasons,
    )


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def write(report: Report, path: Path) -> None:
    """Keep the record as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def next_steps(state_dir: Path, bayplan: str) -> str:
    """What to try on a cluster that was left running; `bayplan` is how the command is called here."""
    kubeconfig = state_dir.absolute() / "kubeconfig"
    return f"""\
The cluster is left running. To look at it:

  export KUBECONFIG={kubeconfig}
  kubectl get nodes -L nvidia.com/gpu.product,fabric.topograph.run/tier-0
  kubectl get pods -A -o wide
  kubectl get queues,gpunodes,topologies
  {bayplan} explain -n vision too-wide
  {bayplan} explain -n language finetune
  kubectl patch queue vision --type merge -p '{{"spec": {{"borrowingLimit": 16}}}}'   (and too-wide starts)
  {bayplan} exporter --machine hgx_h100 --break nvlink:3 --node-name h100-a-0 \\
    --kubeconfig "$({bayplan} cluster exporter-login h100-a-0 --state-dir {state_dir})"
    (and GPU 3 has no NVLinks any more: kubectl get gpunode h100-a-0 -o yaml; without --break it has them again)

To end it:

  {bayplan} cluster stop --state-dir {state_dir}"""
