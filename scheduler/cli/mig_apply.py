"""`bayplan mig plan --apply`: configurations are written and nodes labelled, with the rights of the person who asks.

The MIG manager reads its ConfigMap as a mounted volume, which the kubelet brings up to date about once a minute: a node
that is labelled at once would be told of a configuration that is not there yet, and fail. So the ConfigMap is written,
the nodes are cordoned, and the labels follow a while later (`SETTLE_S`), where it was written at all. Pods may
have come between the plan and the cordon: where any did, the MIG manager is not told.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import msgspec

from scheduler.cli.output import BadInputError, CommandError
from scheduler.kube.api import ApiClient, Response
from scheduler.kube.effects import Effects
from scheduler.kube.keys import MIG_CONFIG_LABEL, MIG_STATE_LABEL
from scheduler.kube.login import LoginError
from scheduler.kube.mig_configs import add_configs
from scheduler.kube.outcomes import Done, Fenced, Gone, Outcome, Refused, Unreachable
from scheduler.planning.repartition.parted import config_name, configs_of
from scheduler.planning.repartition.proposal import NodeChange, Proposal


class _Meta(msgspec.Struct):
    labels: dict[str, str] = {}


class _Node(msgspec.Struct):
    metadata: _Meta


def confirmed(*, assumed: bool) -> bool:
    """Whether the person wants it, asked on the terminal.

    Raises:
        BadInputError: nobody can be asked.
    """
    if assumed:
        return True
    if not sys.stdin.isatty():
        raise BadInputError("--apply asks before it changes anything, and there is no terminal to ask on; add --yes")
    return input("Have these GPUs divided anew now? Type yes: ").strip().lower() == "yes"


def apply(
    proposal: Proposal, config_map: str, kubeconfig: Path | None, *, settle_s: float, came: Callable[[], str | None]
) -> str:
    """Have the nodes of a proposal divided anew; what was done, in a sentence.

    `settle_s`: how long to wait between writing the ConfigMap and labelling the nodes. `came`: asked then, why they
    must not be divided any more.

    Raises:
        BadInputError: the credentials cannot be used.
        CommandError: not all could be done; the text says what was.
    """
    try:
        return asyncio.run(_applied(proposal, config_map, kubeconfig, settle_s, came))
    except LoginError as err:
        raise BadInputError(str(err)) from err


async def _applied(
    proposal: Proposal, config_map: str, kubeconfig: Path | None, settle_s: float, came: Callable[[], str | None]
) -> str:
    async with await ApiClient.connect(kubeconfig) as api:
        effects = Effects(api, may_write=lambda: True, concurrency=16, instance="bayplan-mig")
        for node in proposal.nodes:
            await _refuse_busy(effects, node)
        # What stands in the ConfigMap beyond what nodes are told does no harm, so it comes before the first node.
        written = await _add_configs(effects, config_map, proposal)
        for node in proposal.nodes:
            _done(await effects.cordon(node.node, on=True), f"node {node.node}", "No node was labelled")
        if written:
            await asyncio.sleep(settle_s)
        if (why := await asyncio.to_thread(came)) is not None:
            raise CommandError(f"{why}. The nodes are cordoned, and not labelled")
        for node in proposal.nodes:
            outcome = await effects.label_node(node.node, {MIG_CONFIG_LABEL: config_name(node.gpus)})
            _done(outcome, f"node {node.node}", "Nodes before it were labelled")
    names = " ".join(node.node for node in proposal.nodes)
    one = len(proposal.nodes) == 1
    return (
        f"{len(proposal.nodes)} {'node is' if one else 'nodes are'} cordoned and labelled. When {MIG_STATE_LABEL} of "
        f"{'it' if one else 'all'} says success: kubectl uncordon {names}"
    )


async def _refuse_busy(effects: Effects, node: NodeChange) -> None:
    answer = await effects.look(f"/api/v1/nodes/{node.node}")
    if not isinstance(answer, Response):
        raise CommandError(f"node {node.node} cannot be read. Nothing was changed")
    state = msgspec.json.decode(answer.body, type=_Node).metadata.labels.get(MIG_STATE_LABEL, "")
    if state in {"pending", "rebooting"}:
        raise CommandError(
            f"node {node.node} is being divided anew already ({MIG_STATE_LABEL}={state}). Nothing was changed"
        )


async def _add_configs(effects: Effects, config_map: str, proposal: Proposal) -> bool:
    """Add the configurations that the ConfigMap lacks; whether any were."""
    configs = {name: [each.document for each in some] for name, some in configs_of(proposal.nodes).items()}
    outcome, added = await add_configs(effects, config_map, configs)
    if isinstance(outcome, Gone):
        raise CommandError(f"there is no ConfigMap {config_map}. Nothing was changed")
    _done(outcome, f"ConfigMap {config_map}", "Nothing was changed")
    return added


def _done(outcome: Outcome, what: str, meanwhile: str) -> None:
    match outcome:
        case Done():
            return
        case Gone():
            raise CommandError(f"{what} is gone. {meanwhile}")
        case Refused(message=message) | Unreachable(message=message):
            raise CommandError(f"{what}: {message}. {meanwhile}")
        case Fenced():
            raise CommandError(f"{what}: not sent. {meanwhile}")
        case _:
            assert_never(outcome)
