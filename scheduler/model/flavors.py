"""Names of GPU models: which product a wanted model means."""


def model_matches(wanted: str, product: str) -> bool:
    """Whether nodes of `product` have GPUs of the model `wanted`.

    The parts of `wanted` between dashes have to appear in the product's parts in the same order, in any case:
    `A100-80GB` means `NVIDIA-A100-SXM4-80GB`, and `A100` means it as well. An empty `wanted` means nothing;
    `=NVIDIA-H200` means that product and no other.
    """
    if wanted.startswith("="):
        return wanted[1:].lower() == product.lower()
    parts = iter(product.lower().split("-"))
    return bool(wanted) and all(part in parts for part in wanted.lower().split("-"))
