"""Amounts of what a node has and a pod asks for, as whole numbers with their unit in the name."""

from collections.abc import Mapping

import msgspec

GPU = "nvidia.com/gpu"
"""Whole GPUs, as the NVIDIA device plugin advertises them."""

MIG_PREFIX = "nvidia.com/mig-"
"""MIG slices under the device plugin's `mixed` strategy: `nvidia.com/mig-1g.10gb`."""

GPU_SHARED = "nvidia.com/gpu.shared"
"""Parts of GPUs. A node that divides its GPUs by time-slicing advertises how many there are (device plugin,
`renameByDefault`); how large the part of a pod is says its `share_milli`."""

MILLI_GPU = 1000
"""Quota units of one whole GPU."""

MIG_COMPUTE_SLICES = 7
"""Compute slices of a whole data-centre GPU.

`Ng.` profiles hold N of them (NVIDIA MIG user guide, "GPU Instance Profiles").
"""


class Resources(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An amount of each resource; `extended` maps extended resource names to positive counts, sorted by name."""

    milli_cpu: int = 0
    memory_bytes: int = 0
    ephemeral_bytes: int = 0
    pods: int = 0
    extended: tuple[tuple[str, int], ...] = ()

    def count(self, resource: str) -> int:
        """How many of the extended resource `resource`; 0 where absent."""
        return next((n for name, n in self.extended if name == resource), 0)

    @property
    def gpus(self) -> int:
        """Whole GPUs."""
        return self.count(GPU)

    @property
    def shared_gpus(self) -> int:
        """Of how many GPUs a part is asked for."""
        return self.count(GPU_SHARED)

    @property
    def mig_slices(self) -> tuple[tuple[str, int], ...]:
        """MIG profiles and how many slices of each: `(("1g.10gb", 2),)`."""
        return tuple((name.removeprefix(MIG_PREFIX), n) for name, n in self.extended if name.startswith(MIG_PREFIX))

    @property
    def milli_gpu(self) -> int:
        """What whole GPUs and slices are charged: 1000 a GPU, and a slice's compute slices' part of it, rounded down.

        How large parts of a GPU are is not known here: `PodShape.milli_gpu` counts them too.
        """
        return MILLI_GPU * self.gpus + sum(n * mig_milli_gpu(profile) for profile, n in self.mig_slices)

    @property
    def wants_devices(self) -> bool:
        """Whether any whole GPU, part of a GPU or MIG slice is among the amounts."""
        return any(name == GPU or is_divided(name) for name, _ in self.extended)


NOTHING = Resources()


def is_divided(resource: str) -> bool:
    """Whether amounts of a resource are parts of GPUs or MIG slices."""
    return resource == GPU_SHARED or resource.startswith(MIG_PREFIX)


def extended(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """`counts` in the form of `Resources.extended`: sorted by name, zero counts left out."""
    return tuple(sorted((name, n) for name, n in counts.items() if n))


def plus(a: Resources, b: Resources) -> Resources:
    """The sum of two amounts."""
    return _combine(a, b, 1)


def minus(a: Resources, b: Resources) -> Resources:
    """`a` less `b`; may be negative where a node is over-committed."""
    return _combine(a, b, -1)


def larger(a: Resources, b: Resources) -> Resources:
    """Of each resource the larger amount."""
    counts = dict(a.extended)
    for name, n in b.extended:
        counts[name] = max(n, counts.get(name, 0))
    return Resources(
        milli_cpu=max(a.milli_cpu, b.milli_cpu),
        memory_bytes=max(a.memory_bytes, b.memory_bytes),
        ephemeral_bytes=max(a.ephemeral_bytes, b.ephemeral_bytes),
        pods=max(a.pods, b.pods),
        extended=extended(counts),
    )


def _combine(a: Resources, b: Resources, sign: int) -> Resources:
    if not b.extended:
        counts = a.extended
    else:
        total = dict(a.extended)
        for name, n in b.extended:
            total[name] = total.get(name, 0) + sign * n
        counts = extended(total)
    return Resources(
        milli_cpu=a.milli_cpu + sign * b.milli_cpu,
        memory_bytes=a.memory_bytes + sign * b.memory_bytes,
        ephemeral_bytes=a.ephemeral_bytes + sign * b.ephemeral_bytes,
        pods=a.pods + sign * b.pods,
        extended=counts,
    )


def mig_milli_gpu(profile: str) -> int:
    """Quota charge of one slice of `profile`, in milli-GPU.

    `3g.40gb` is 3/7 of a GPU, rounded down, so that slices never sum above their parent. A profile whose name does
    not start with a number of compute slices counts as a whole GPU.
    """
    slices, _, _ = profile.partition("g.")
    if not slices.isdigit():
        return MILLI_GPU
    return MILLI_GPU * min(int(slices), MIG_COMPUTE_SLICES) // MIG_COMPUTE_SLICES
