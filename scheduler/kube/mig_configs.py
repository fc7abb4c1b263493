"""The ConfigMap that NVIDIA's MIG manager reads: configurations are added, and nothing of others is changed."""

from collections.abc import Mapping, Sequence

import msgspec
import yaml

from scheduler.kube.api import Response
from scheduler.kube.effects import Effects
from scheduler.kube.outcomes import Done, Outcome, Refused

CONFIG_KEY = "config.yaml"
"""The key that the MIG manager reads (k8s-mig-manager, `CONFIG_FILE`)."""

SETTLE_S = 120
"""A ConfigMap that is mounted is up to date after twice the kubelet's usual period (`syncFrequency`, 1 min)."""


class _Meta(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815  the API's spelling


class _ConfigMap(msgspec.Struct):
    metadata: _Meta
    data: dict[str, str] = {}


async def add_configs(
    effects: Effects, config_map: str, configs: Mapping[str, Sequence[Mapping[str, object]]]
) -> tuple[Outcome, bool]:
    """Add the configurations that the ConfigMap `namespace/name` lacks; and whether any were missing."""
    namespace, _, name = config_map.partition("/")
    answer = await effects.look(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    if not isinstance(answer, Response):
        return answer, False
    read = msgspec.json.decode(answer.body, type=_ConfigMap)
    try:
        document: object = yaml.safe_load(read.data.get(CONFIG_KEY, "")) or {"version": "v1"}
        known = msgspec.convert(document, dict[str, object])
        there = msgspec.convert(known.get("mig-configs", {}), dict[str, object])
    except (yaml.YAMLError, msgspec.ValidationError):
        why = f"its {CONFIG_KEY} is no configuration of the MIG manager"
        return Refused(status=422, message=why, passing=False), False
    missing = {name: list(some) for name, some in configs.items() if name not in there}
    if not missing:
        return Done(), False
    text = yaml.safe_dump({**known, "mig-configs": {**there, **missing}}, sort_keys=False)
    return await effects.set_config(config_map, read.metadata.resourceVersion, CONFIG_KEY, text), True
