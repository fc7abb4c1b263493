"""Reading a whole cluster once, as the service's watches would, for commands that plan on the user's machine."""

import asyncio
from pathlib import Path

from scheduler.app.losses import TOLD
from scheduler.cli.output import BadInputError, CommandError, complain
from scheduler.config import Settings
from scheduler.kube.api import ApiClient, ApiRefusedError, ApiUnreachableError
from scheduler.kube.discovery import foreign_kinds
from scheduler.kube.keys import GROUP_VERSION
from scheduler.kube.login import LoginError
from scheduler.kube.translate import kinds
from scheduler.kube.translate_eviction import ToldEviction, told_evictions
from scheduler.kube.watch import list_events
from scheduler.model.workload import Pod
from scheduler.state.cluster import ClusterState
from scheduler.state.events import PodSeen

NOT_FOUND_STATUS = 404
FORBIDDEN_STATUS = 403


class ForbiddenError(CommandError):
    """The user may not list something that planning needs."""


def read_cluster(
    kubeconfig: Path | None, settings: Settings, scheduler_name: str | None = None
) -> tuple[ClusterState, list[Pod]]:
    """Everything that planning needs to know of the cluster of `kubeconfig`, and all its pods.

    `scheduler_name`: instead of that in the settings.

    Raises:
        BadInputError: the credentials cannot be used.
        ForbiddenError: the user has not got the rights.
        CommandError: the API server does not answer, or refuses.
    """
    try:
        return asyncio.run(_listed(kubeconfig, settings, scheduler_name or settings.scheduler_name))
    except LoginError as err:
        raise BadInputError(str(err)) from err
    except ApiRefusedError as err:
        if err.status == NOT_FOUND_STATUS:
            raise CommandError(f"the cluster has no {GROUP_VERSION} objects; is Bayplan installed in it?") from err
        said = f"the API server refused to list what planning needs: {err}"
        raise (ForbiddenError(said) if err.status == FORBIDDEN_STATUS else CommandError(said)) from err
    except ApiUnreachableError as err:
        raise CommandError(f"the API server does not answer: {err}") from err


def read_evictions(kubeconfig: Path | None, namespace: str) -> list[ToldEviction]:
    """Why workloads of a namespace lost pods of late; nothing where that cannot be read: it only adds."""
    try:
        return asyncio.run(_evictions(kubeconfig, namespace))
    except (LoginError, ApiRefusedError, ApiUnreachableError):
        return []


async def _evictions(kubeconfig: Path | None, namespace: str) -> list[ToldEviction]:
    async with await ApiClient.connect(kubeconfig) as api:
        return await told_evictions(api, TOLD, namespace)


async def _listed(kubeconfig: Path | None, settings: Settings, scheduler_name: str) -> tuple[ClusterState, list[Pod]]:
    state, pods = ClusterState(), list[Pod]()
    own = kinds(scheduler_name, settings.user_label, assume_links=settings.assume_links)
    async with await ApiClient.connect(kubeconfig) as api:
        for kind in (*own, *await foreign_kinds(api)):
            for event in await list_events(api, kind, lambda what, text: complain("bayplan", f"{what}: {text}")):
                state.apply(event)
                if isinstance(event, PodSeen):
                    pods.append(event.pod)
    return state, pods
