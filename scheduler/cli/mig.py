"""`bayplan mig plan`: how GPUs that are divided into MIG slices beforehand had better be divided for what waits.

It changes nothing unless a person says so with `--apply`.
"""

import argparse
import time
from argparse import Namespace
from pathlib import Path
from typing import Any, cast

import msgspec

from scheduler.cli.chosen import read_settings
from scheduler.cli.explain import default_kubeconfig
from scheduler.cli.live import read_cluster
from scheduler.cli.mig_apply import apply, confirmed
from scheduler.cli.output import BadInputError, CommandError, Commands, print_json, table
from scheduler.cli.snapshot_plan import open_snapshot, rules_of
from scheduler.config import Settings
from scheduler.kube.keys import MIG_CONFIG_LABEL
from scheduler.kube.mig_configs import SETTLE_S
from scheduler.model.names import NodeName, people_name
from scheduler.model.snapshot import Snapshot
from scheduler.planning.repartition.check import broken_proposal, came_since
from scheduler.planning.repartition.parted import config_name, config_yaml, configs_of
from scheduler.planning.repartition.proposal import Proposal
from scheduler.planning.repartition.propose import BUDGET_MS, propose
from scheduler.planning.repartition.text import costs, in_use, layout_text, summary

DESCRIPTION = (
    "Show how GPUs had better be divided into MIG slices for the pods that wait: what serves most of them, of that "
    "what takes fewest slices from their pods (none without --move), then what destroys fewest free ones. For nodes "
    "whose slices are made beforehand by NVIDIA's MIG manager; the answer has its configurations and the labels of the "
    "nodes. Nothing is changed without --apply. Without --snapshot, the cluster is read and planned on this machine."
)
BY_HAND = "Nothing was changed. Cordon a node before it is labelled: pods that come meanwhile fail."

MOST_MOVES = 10_000
"""What --move allows where it names no number."""


def register(commands: Commands) -> None:
    """Add `bayplan mig` and its verb."""
    parser = commands.add_parser(
        "mig", help="show how GPUs had better be divided into MIG slices for what waits", description=DESCRIPTION
    )
    verbs = cast("argparse.ArgumentParser", parser).add_subparsers(title="verbs", metavar="VERB", required=True)
    planned = verbs.add_parser(
        "plan", help="propose layouts for what waits; make them if told to", description=DESCRIPTION
    )
    planned.add_argument("--node", metavar="NODE", help="change the GPUs of this node alone")
    planned.add_argument(
        "--move",
        type=int,
        nargs="?",
        const=MOST_MOVES,
        default=0,
        metavar="N",
        help="slices in use may have to be given back, N at most (default: none; without N: any number)",
    )
    planned.add_argument(
        "--budget-ms",
        type=int,
        default=BUDGET_MS,
        metavar="MS",
        help="time for the solver, by its own clock (default: %(default)s)",
    )
    planned.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="how to reach the cluster (default: as kubectl does)"
    )
    planned.add_argument("--snapshot", type=Path, metavar="FILE", help="take the cluster of this snapshot file instead")
    planned.add_argument(
        "--config", type=Path, metavar="FILE", help="the service's settings file (default: the built-in ones)"
    )
    planned.add_argument(
        "--apply",
        action="store_true",
        help="label the nodes with your own rights, after asking; only nodes where no GPU that changes is in use",
    )
    planned.add_argument(
        "--config-map",
        metavar="NAMESPACE/NAME",
        help="with --apply: the MIG manager's ConfigMap, to which the configurations are added first",
    )
    planned.add_argument(
        "--settle",
        type=int,
        metavar="SECONDS",
        help=f"with --apply: how long the MIG manager may take to see a change of its ConfigMap (default: {SETTLE_S})",
    )
    planned.add_argument("--yes", action="store_true", help="with --apply: do not ask")
    planned.add_argument("--json", action="store_true", help="print JSON")
    planned.set_defaults(func=run)


def run(arguments: Namespace) -> int:
    """Find the layouts, show them, and have them made if told to."""
    _refuse(arguments)
    snapshot, proposal = _proposed(arguments)
    broken = broken_proposal(snapshot, proposal, moves=arguments.move)
    if broken:
        raise CommandError(f"the proposal does not hold, which is a fault of Bayplan: {broken[0]}")
    if not arguments.apply or not proposal.nodes:
        if arguments.json:
            print_json(as_json(proposal))
        else:
            print(people_text(proposal))
        return 0
    if not arguments.json:
        print(people_text(proposal, hint=""))
    done = _apply(arguments, snapshot, proposal)
    if arguments.json:
        print_json({**as_json(proposal), "applied": done})
    else:
        print(done)
    return 0


def people_text(proposal: Proposal, hint: str = BY_HAND) -> str:
    """The proposal as a sentence, a table, what comes of it, and what the MIG manager is told.

    `hint`: how to go on, where something changes.
    """
    shown = [summary(proposal)]
    if proposal.nodes:
        rows = [
            (
                node.node,
                str(one.before.device),
                layout_text(one.before),
                layout_text(one.after),
                str(in_use(one.before)),
            )
            for node in proposal.nodes
            for one in node.changes
        ]
        shown += ["", table(("NODE", "GPU", "NOW", "THEN", "IN USE"), rows), ""]
    shown += costs(proposal)
    if proposal.nodes:
        shown += ["", "Configurations for the ConfigMap of the GPU operator's MIG manager:", ""]
        shown += [
            config_yaml(configs_of(proposal.nodes)).rstrip(),
            "",
            "and the label that has each node take one:",
            "",
        ]
        shown += [f"kubectl label --overwrite node {name} {label}" for name, label in _labels(proposal)]
        shown += ["", hint] if hint else []
    return "\n".join(shown)


def as_json(proposal: Proposal) -> dict[str, Any]:
    """The proposal with the field names of its records, and what the MIG manager is told."""
    fields = msgspec.to_builtins(proposal)
    served = [
        {**plain, "workload": people_name(each.workload)}
        for each, plain in zip(proposal.served, fields["served"], strict=True)
    ]
    return {
        **fields,
        "served": served,
        "starts": [people_name(key) for key in proposal.starts],
        "labels": {name: dict([label.split("=", 1)]) for name, label in _labels(proposal)},
        "migConfigs": {
            name: [entry.document for entry in entries] for name, entries in configs_of(proposal.nodes).items()
        },
    }


def _labels(proposal: Proposal) -> list[tuple[NodeName, str]]:
    return [(node.node, f"{MIG_CONFIG_LABEL}={config_name(node.gpus)}") for node in proposal.nodes]


def _refuse(arguments: Namespace) -> None:
    """Refuse what does not go together."""
    if arguments.move < 0:
        raise BadInputError(f"--move is {arguments.move}; allowed: 0 or more")
    if arguments.budget_ms < 1:
        raise BadInputError(f"--budget-ms is {arguments.budget_ms}; allowed: 1 or more")
    if arguments.settle is not None and arguments.settle < 0:
        raise BadInputError(f"--settle is {arguments.settle}; allowed: 0 or more")
    if arguments.snapshot and (arguments.apply or arguments.config or arguments.kubeconfig):
        raise BadInputError("--snapshot goes with none of --apply and --kubeconfig, for a live cluster, and --config")
    if arguments.apply and arguments.move:
        raise BadInputError("--apply changes only GPUs that are not in use, and does not go with --move")
    if arguments.apply and not arguments.config_map:
        raise BadInputError("--apply needs --config-map NAMESPACE/NAME, the ConfigMap that the MIG manager reads")
    if arguments.config_map is not None and not all(arguments.config_map.partition("/")):
        raise BadInputError(f"--config-map is {arguments.config_map!r}; allowed: NAMESPACE/NAME")
    if not arguments.apply and (arguments.yes or arguments.config_map or arguments.settle is not None):
        raise BadInputError("--yes, --config-map and --settle go with --apply")


def _proposed(arguments: Namespace) -> tuple[Snapshot, Proposal]:
    if arguments.snapshot is not None:
        file = open_snapshot(arguments.snapshot)
        snapshot, now_s, planning, rules = file.snapshot, file.now_s, file.settings, rules_of(arguments.snapshot, file)
    else:
        settings, rules = read_settings(cast("Path | None", arguments.config))
        snapshot, now_s, planning = _live(arguments, settings), int(time.time()), settings.planning
    node = None if arguments.node is None else NodeName(arguments.node)
    if node is not None and node not in snapshot.nodes:
        raise BadInputError(f"--node is {arguments.node!r}, which is no node of the cluster")
    proposal = propose(
        snapshot,
        now_s=now_s,
        settings=planning,
        rules=rules,
        node=node,
        moves=arguments.move,
        budget_ms=arguments.budget_ms,
    )
    return snapshot, proposal


def _live(arguments: Namespace, settings: Settings) -> Snapshot:
    kubeconfig = cast("Path | None", arguments.kubeconfig) or default_kubeconfig()
    state, _ = read_cluster(kubeconfig, settings)
    return state.snapshot()


def _apply(arguments: Namespace, snapshot: Snapshot, proposal: Proposal) -> str:
    if not confirmed(assumed=arguments.yes):
        raise CommandError("nothing was changed: it was not confirmed")
    kubeconfig = cast("Path | None", arguments.kubeconfig) or default_kubeconfig()
    settle_s = SETTLE_S if arguments.settle is None else arguments.settle
    settings, _ = read_settings(cast("Path | None", arguments.config))

    def came() -> str | None:
        return came_since(snapshot, _live(arguments, settings), proposal)

    return apply(proposal, arguments.config_map, kubeconfig, settle_s=settle_s, came=came)
