"""In which order workloads are decided.

Each queue has its own: by priority, then the older ones, then by key. Between queues, work that nominal quota covers
goes before work that borrows; then at each level of the tree, from the top, the queue of the highest priority goes
first, then the one that is furthest below its fair share (`quota.dominant`), then the one whose next workload is first.
A queue's use grows as the plan goes, so all this is judged anew after each admission.

Behind the workload of a queue that room is reserved for, what is left is filled with the shortest work first, where the
administrator wants that (`PlanSettings.by_length`).

In a `Fair` queue a workload that has to wait lets others of its queue pass; in a `StrictFIFO` queue it holds them back.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from scheduler.model.ends import NEVER, length_of
from scheduler.model.names import QueueName
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.quota.decay import used_of_late
from scheduler.quota.dominant import fair_bills, used_parts
from scheduler.quota.tree import Bill, Ledger, sure_bill
from scheduler.quota.usage import fair_capacity

QUANTUM_MILLI_GPU = 8000
"""What equal pods that stand alone get at a time, at least one of them: a whole node of 8 GPUs, or what takes their
queue to its fair share where that is less. Then another queue may have its turn."""

_PARTS = 1 << 20
"""Parts of its fair share in which the use of a queue is compared."""

UNKNOWN_LENGTH_S = 86_400
"""How long work of unknown length is taken to run where its wait is compared with that: among such work age decides."""

_WAITS = 1 << 20
"""Parts of its length in which a wait is compared."""

_LAST = 1 << 62
"""Above the use of any queue, in parts of its share."""

Turn = tuple[int, int, str]

Run = deque[Candidate]
"""Equal pods that stand alone and follow each other, or one other workload."""

Line = deque[Run]
"""What waits in a queue, in its order."""


def by_turn(candidates: Iterable[Candidate]) -> list[Candidate]:
    """All candidates by priority, age and key."""
    return sorted(candidates, key=_turn)


def turns_of(desk: Desk, candidates: Iterable[Candidate]) -> "Turns":
    """The turns of candidates as things stand, with what queues used of late where that counts."""
    half_life_s, recent = desk.settings.usage_half_life_s, None
    if half_life_s:
        recent = used_of_late(desk.ledger, now_s=desk.now_s, half_life_s=half_life_s)
    at_s = desk.now_s if desk.settings.order == "relativeWait" else None
    return Turns(candidates, desk.ledger, lambda: fair_capacity(desk.snapshot), recent, by_wait_at_s=at_s)


class Turns:
    """Candidates that wait for their turn: `next_batch` gives the next, `decided` tells what became of them."""

    def __init__(
        self,
        candidates: Iterable[Candidate],
        ledger: Ledger,
        capacity: Callable[[], Bill],
        recent: Mapping[QueueName, int] | None = None,
        *,
        by_wait_at_s: int | None = None,
    ) -> None:
        """All wait. `capacity`: what the whole cluster has, asked for where queues share it.

        `recent`: milli-GPU that each queue used of late, where that counts beside what it uses. `by_wait_at_s`: the
        time at which waits are compared with lengths, where `Fair` queues go by that.
        """
        lines: dict[QueueName, list[Candidate]] = {}
        for candidate in by_turn(candidates):
            lines.setdefault(QueueName(str(candidate.workload.queue)), []).append(candidate)
        if by_wait_at_s is not None:
            for name, line in lines.items():
                if ledger.forest.queues[name].order == "Fair":
                    line.sort(key=lambda candidate: _by_wait(candidate, by_wait_at_s))
        self._forest = ledger.forest
        self._recent = recent or {}
        self._covered = {
            name: _runs(line, by_user=ledger.forest.queues[name].counts_users) for name, line in lines.items()
        }
        """Runs that nominal quota may still cover; once it does not, it never does again in a plan."""
        self._borrowing: dict[QueueName, Line] = {}
        self._by_user = {name: ledger.forest.queues[name].counts_users for name in lines}
        self._strict = {name for name in lines if ledger.forest.queues[name].order == "StrictFIFO"}
        self._served = self._covered
        self._turn_of: QueueName | None = None
        self._overtaken: dict[QueueName, Candidate] = {}
        self._told: set[QueueName] = set()
        self._by_length: set[QueueName] = set()
        self._shares: Mapping[QueueName, Bill] = {}
        if len(lines) > 1:
            self._shares = fair_bills(ledger.forest, _demand(lines, ledger), capacity())

    def next_batch(self, ledger: Ledger) -> list[Candidate]:
        """Equal pods that stand alone, or one other workload; nothing when all had their turn.

        `ledger`: what the queues use by now.
        """
        for name in list(self._covered):
            self._pass_over(name, ledger)
        lines = self._covered or self._borrowing
        if not lines:
            return []
        if lines is not self._served:
            self._served, self._turn_of = lines, None
        name = self._turn_of
        if name is None or name not in lines:
            name = self._turn_of = next(iter(lines)) if len(lines) == 1 else self._first(lines, ledger)
        run = lines[name][0]
        count = _covered(run, name, ledger) if self._covered else len(run)
        each = run[0].milli_gpu
        if len(lines) > 1 and each:
            count = min(count, max(self._quantum(name, ledger) // each, 1))
        batch = [run.popleft() for _ in range(count)]
        _drop_empty(lines, name)
        return batch

    def overtaken(self) -> list[Candidate]:
        """Of each queue the first workload that now is passed over for work that nominal quota covers; each once."""
        found = [self._overtaken[name] for name in sorted(self._overtaken.keys() - self._told)]
        self._told.update(self._overtaken)
        return found

    def shortest_first(self, name: QueueName) -> None:
        """From now on the queue's work goes by how long it is known to run: of one priority the shortest first."""
        if name in self._strict or name in self._by_length:
            return
        self._by_length.add(name)
        for lines in (self._covered, self._borrowing):
            if name in lines:
                left = sorted((candidate for run in lines[name] for candidate in run), key=_by_length)
                lines[name] = _runs(left, by_user=self._by_user[name])

    def decided(self, batch: Sequence[Candidate], admitted: int) -> list[Candidate]:
        """The first so many of the batch start, the others wait. Returns whom that holds back, which have no turn."""
        if admitted:
            self._turn_of = None
        name = QueueName(str(batch[0].workload.queue))
        if admitted == len(batch) or name not in self._strict:
            return []
        nothing: Line = deque()
        runs = [*self._covered.pop(name, nothing), *self._borrowing.pop(name, nothing)]
        return [candidate for run in runs for candidate in run]

    def _pass_over(self, name: QueueName, ledger: Ledger) -> None:
        """Leave for later what nominal quota does not cover: all that follows too, where the queue keeps its order."""
        line = self._covered[name]
        while line and not _covered(line[0], name, ledger):
            later = self._borrowing.setdefault(name, deque())
            self._overtaken.setdefault(name, line[0][0])
            later.append(line.popleft())
            if name in self._strict:
                later.extend(line)
                line.clear()
        _drop_empty(self._covered, name)

    def _first(self, lines: Mapping[QueueName, Line], ledger: Ledger) -> QueueName:
        """The queue whose turn it is, sought from the top of the tree; its own work goes before that of those below."""
        heads: dict[QueueName, Turn] = {}
        for name, line in lines.items():
            turn = _turn(line[0][0])
            for queue in self._forest.chain(name):
                heads[queue.name] = min(heads.get(queue.name, turn), turn)
        at: QueueName | None = None
        while at is None or at not in lines:
            below = [name for name in self._forest.below[at] if name in heads]
            at = min(below, key=lambda name: (*self._standing(name, ledger), heads[name]))
        return at

    def _quantum(self, name: QueueName, ledger: Ledger) -> int:
        left = self._shares[name].total_milli_gpu - ledger.used_by(name).total_milli_gpu
        return min(left, QUANTUM_MILLI_GPU) if left > 0 else QUANTUM_MILLI_GPU

    def _standing(self, name: QueueName, ledger: Ledger) -> tuple[int, int]:
        used = ledger.used_by(name).plus(Bill(self._recent.get(name, 0)))
        used = used_parts(used, self._shares[name], _PARTS)
        return -self._forest.queues[name].priority, _LAST if used is None else used


def _runs(line: Iterable[Candidate], *, by_user: bool) -> Line:
    keys = (((batch_key(c), c.workload.user if by_user else "") if c.alone else c.workload.key, c) for c in line)
    return deque(deque(candidate for _, candidate in run) for _, run in groupby(keys, key=lambda keyed: keyed[0]))


def batch_key(candidate: Candidate) -> tuple[object, ...]:
    """Pods that stand alone and have equal keys can be placed together."""
    workload = candidate.workload
    return (
        workload.queue,
        candidate.pending[0].policy,
        candidate.groups[0][0],
        workload.topology_required,
        workload.avoid,
        workload.preemptible,
        length_of(workload),
    )


def _covered(run: Sequence[Candidate], queue: QueueName, ledger: Ledger) -> int:
    """How many of a run nominal quota covers."""
    each = run[0].milli_gpu
    return min(len(run), ledger.own_left(queue) // each) if each else len(run)


def _drop_empty(lines: dict[QueueName, Line], name: QueueName) -> None:
    """No line keeps an empty run at its head, and none is kept that is empty."""
    line = lines[name]
    if line and not line[0]:
        line.popleft()
    if not line:
        del lines[name]


def _demand(lines: Mapping[QueueName, Iterable[Candidate]], ledger: Ledger) -> Mapping[QueueName, Bill]:
    """What each queue's own work uses or waits for."""
    demand = {name: ledger.own(name) for name in ledger.forest.queues}
    for name, line in lines.items():
        queue = ledger.forest.queues[name]
        if not queue.flavors:
            demand[name] = demand[name].plus(Bill(sum(candidate.milli_gpu for candidate in line)))
            continue
        for candidate in line:
            demand[name] = demand[name].plus(sure_bill(queue, candidate.groups))
    return demand


def _turn(candidate: Candidate) -> Turn:
    workload = candidate.workload
    return -workload.priority, workload.created_s, workload.key


def _by_length(candidate: Candidate) -> tuple[int, int, Turn]:
    """Work of unknown length comes after all others of its priority."""
    length = length_of(candidate.workload)
    return -candidate.workload.priority, NEVER if length is None else length.median_s, _turn(candidate)


def _by_wait(candidate: Candidate, now_s: int) -> tuple[int, int]:
    """By priority, then by wait in parts of the length, the longest first; ties stay as they are, by age."""
    workload = candidate.workload
    length = length_of(workload)
    runs_s = UNKNOWN_LENGTH_S if length is None else length.median_s
    return -workload.priority, -(max(now_s - workload.created_s, 0) * _WAITS // runs_s)
