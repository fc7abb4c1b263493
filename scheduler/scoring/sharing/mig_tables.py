"""What is known of the MIG profiles of each GPU model: what its driver reports, else `data/mig.yaml`."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec

from scheduler.model.flavors import model_matches
from scheduler.model.mig import MigModel, ordered
from scheduler.model.node import Node


@cache
def mig_models() -> Mapping[str, MigModel]:
    """All models that are known, by name."""
    text = files("scheduler.scoring.sharing").joinpath("data/mig.yaml").read_bytes()
    return {name: ordered(model) for name, model in msgspec.yaml.decode(text, type=dict[str, MigModel]).items()}


@cache
def mig_model(product: str) -> MigModel | None:
    """The model of a GPU product (`NVIDIA-A100-SXM4-80GB`); None for one that is unknown or cannot be divided."""
    return next((m for m in mig_models().values() if any(model_matches(name, product) for name in m.products)), None)


def model_on(node: Node, product: str | None = None) -> MigModel | None:
    """How GPUs of a product on a node can be divided; of the node's product where none is given.

    A label may call the product otherwise than the driver (`…-SHARED`): with one geometry told, that is the node's.
    """
    wanted = node.product if product is None else product
    told = next((model for model in node.mig_models if wanted in model.products), None)
    if told is None and product is None and len(node.mig_models) == 1:
        return node.mig_models[0]
    return mig_model(wanted) if told is None else told
