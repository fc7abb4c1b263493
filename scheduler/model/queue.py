"""Queues of teams and what each may use."""

from typing import Literal

import msgspec

from scheduler.model.names import QueueName
from scheduler.model.policy import Policy
from scheduler.model.workload import Problem, Requirement

QueueOrder = Literal["Fair", "StrictFIFO"]


CPU = "cpu"
MEMORY = "memory"
"""Among the flavors of a queue: its quota of CPU, in thousandths of a core, and of memory, in MiB."""


class Quota(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a queue owns and may borrow or lend, in milli-GPU. A limit of None is no limit.

    A quota of CPU or memory (`CPU`, `MEMORY`) is in the unit of that, under the same names.

    `given`: whether the admin set the nominal quota. Where not, `quota.forest` works it out from what stands below.
    `summed`: whether it is the sum of what the admin set below, be that 0.
    """

    nominal_milli_gpu: int = 0
    given: bool = True
    summed: bool = False
    borrowing_limit_milli_gpu: int | None = None
    lending_limit_milli_gpu: int | None = None

    @property
    def ceiling_milli_gpu(self) -> int | None:
        """The most that may ever be used: nominal and what may be borrowed; None where borrowing has no limit."""
        if self.borrowing_limit_milli_gpu is None:
            return None
        return self.nominal_milli_gpu + self.borrowing_limit_milli_gpu

    @property
    def is_stated(self) -> bool:
        """Whether it says what is owned: the admin does, or what stands below comes to something."""
        return self.given or self.nominal_milli_gpu > 0

    @property
    def kept_milli_gpu(self) -> int:
        """The part of nominal that is never lent."""
        if self.lending_limit_milli_gpu is None:
            return 0
        return max(self.nominal_milli_gpu - self.lending_limit_milli_gpu, 0)


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A team's queue: its quota over all GPUs, and per flavor (a GPU model or MIG profile), sorted by name.

    Flavors may be `CPU` and `MEMORY` too. A flavor that the queue and those around it say nothing of is not limited.
    `namespace_selector`: labels of further namespaces that it serves; None selects none, an empty one all.
    `user_limit_milli_gpu`: the most that pods of any one user may use at a time, here and below; None is no limit.
    `counts_users`: whether it or a queue above it has such a limit. `user`: whose pods are charged, in the record that
    a charge is worked out with (`quota.tree.payer`).
    `problems`: what of the queue is not in force as it is written, and why. `taken`: namespaces it claims that another
    queue serves. `recent_milli_gpu`: what it used of late at `recent_at_s`, in seconds since 1970, None where nobody
    wrote it down (`quota.decay`). `ending`: it was deleted and is in force only for what still runs in it.
    `held`: what keeps it from being forgotten then stands on it. `uid`: of the object, another one if it is made anew.
    `eviction_grace_s`: how long its pods have to save their work before they are evicted for others; None leaves it to
    the queue above, and at the top to the settings. `parent_before`: below which queue it was last said to stand, for
    when `parent` is refused and nobody remembers.
    """

    name: QueueName
    parent: QueueName | None = None
    namespaces: tuple[str, ...] = ()
    namespace_selector: tuple[Requirement, ...] | None = None
    total: Quota = Quota()
    flavors: tuple[tuple[str, Quota], ...] = ()
    weight: int = 1
    priority: int = 0
    min_runtime_s: int = 0
    user_limit_milli_gpu: int | None = None
    counts_users: bool = False
    user: str = ""
    order: QueueOrder = "Fair"
    policy: Policy | None = None
    """How pods of it that stand alone are placed; None leaves it to the default."""
    generation: int = 0
    problems: tuple[Problem, ...] = ()
    taken: tuple[tuple[str, QueueName], ...] = ()
    recent_milli_gpu: int = 0
    recent_at_s: int | None = None
    ending: bool = False
    held: bool = False
    uid: str = ""
    eviction_grace_s: int | None = None
    parent_before: QueueName | None = None
