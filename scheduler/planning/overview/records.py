"""What is told of queues. Amounts are milli-GPU, times whole seconds since 1970."""

from typing import Literal

import msgspec

from scheduler.model.names import QueueName
from scheduler.model.queue import QueueOrder

WorkState = Literal["running", "starting", "waiting", "leaving"]


class Amounts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a queue stands in one flavor, or in total where `flavor` is empty. A limit of None is no limit.

    `used` counts work of the queue and of those below it; `borrowed` is what of that is above nominal, `lent` what
    others use of nominal, `pending` what waiting work asks for (of a flavor: what can go nowhere else), `fair_share`
    what the queue deserves given what the queues ask for.
    """

    flavor: str = ""
    nominal_milli_gpu: int = 0
    used_milli_gpu: int = 0
    borrowed_milli_gpu: int = 0
    lent_milli_gpu: int = 0
    pending_milli_gpu: int = 0
    fair_share_milli_gpu: int = 0
    borrowing_limit_milli_gpu: int | None = None
    lending_limit_milli_gpu: int | None = None


class ResourceAmounts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a queue stands in CPU or memory; amounts in `unit`: milli-CPU, or MiB. A limit of None is no limit."""

    resource: str
    unit: str
    nominal: int = 0
    used: int = 0
    borrowed: int = 0
    borrowing_limit: int | None = None
    lending_limit: int | None = None


class QueueStand(msgspec.Struct, frozen=True, kw_only=True):
    """One queue with all that stands below it.

    `flavors`: those for which the queue, or one below it, owns or limits something; `resources`: the same of CPU and
    memory. `user_limit_milli_gpu`: the most that one user may use; None is no limit. `problems`: what of its
    specification is not in force, one sentence each.
    """

    name: QueueName
    total: Amounts
    parent: QueueName | None = None
    flavors: tuple[Amounts, ...] = ()
    resources: tuple[ResourceAmounts, ...] = ()
    user_limit_milli_gpu: int | None = None
    pending_workloads: int = 0
    running_workloads: int = 0
    weight: int = 1
    priority: int = 0
    order: QueueOrder = "Fair"
    policy: str | None = None
    min_runtime_s: int = 0
    namespaces: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Partner(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Another queue, and what it borrows or lends now."""

    queue: QueueName
    milli_gpu: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A gang, or a pod that stands alone, of a queue.

    `name`: `namespace/name`. `owner`: what made the pod, where it stands alone. `user`: whose it is, where it says so.
    `milli_gpu` is what it uses, `pending_milli_gpu` what it waits for. `borrowed_milli_gpu`: what of its use is above
    the queue's nominal quota, counting work that stays longest first: what cannot be evicted, then higher priority,
    then what runs longer. `since_s`: when the first of its pods got its node; of work that waits, when it was created.
    `reason` and what follows is why it waits. `estimated_start_s`: when it is expected to start; None where nothing is
    known of that.
    """

    name: str
    kind: Literal["gang", "pod"]
    queue: QueueName
    state: WorkState
    owner: str = ""
    user: str = ""
    priority: int = 0
    preemptible: bool = True
    milli_gpu: int = 0
    pending_milli_gpu: int = 0
    borrowed_milli_gpu: int = 0
    pods: int = 0
    placed: int = 0
    size: int = 0
    since_s: int = 0
    reason: str = ""
    message: str = ""
    detail: str = ""
    unblock: str = ""
    estimated_start_s: int | None = None


class QueueDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A queue and its work, that of the queues below it too: first what runs, longest first, then what waits, in turn.

    `lends_to`: the queues that borrow now where this one lends. `borrows_from`: those that lend now where it borrows.
    """

    stand: QueueStand
    below: tuple[QueueName, ...] = ()
    work: tuple[Work, ...] = ()
    lends_to: tuple[Partner, ...] = ()
    borrows_from: tuple[Partner, ...] = ()
