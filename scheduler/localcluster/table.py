"""The processes of one cluster: starting, judging, breaking and ending them by name."""

import os
import signal
from collections.abc import Collection
from typing import Literal

import msgspec

from scheduler.localcluster import processes, record
from scheduler.localcluster.errors import InputError, PartFailedError
from scheduler.localcluster.health import answers_ok
from scheduler.localcluster.layout import Layout
from scheduler.localcluster.record import ClusterRecord, PartRecord
from scheduler.localcluster.waiting import until

_GRACE_S = 8.0
"""How long a part may take to leave when asked."""

_STORE_GRACE_S = 3.0
"""The same for the API server and etcd, once all their clients are gone; what they hold is thrown away."""

_STORE = ("kube-apiserver", "etcd")

State = Literal["ready", "not ready", "dead", "stopped"]


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a part is doing. `detail` is for people: how a dead part ended and the end of its log."""

    name: str
    state: State
    pid: int | None
    log: str
    detail: str = ""


class PartTable:
    """The parts of one cluster; every change is in the state folder before anything else happens."""

    def __init__(self, layout: Layout, state: ClusterRecord) -> None:
        self._layout = layout
        self.state = state

    def part(self, name: str) -> PartRecord:
        """How the part was last started.

        Raises:
            InputError: there is no such part.
        """
        try:
            return self.state.parts[name]
        except KeyError:
            raise InputError(f'the cluster has no part "{name}"; it has {", ".join(self.state.parts)}') from None

    def _set(self, name: str, part: PartRecord) -> None:
        self.state = msgspec.structs.replace(self.state, parts={**self.state.parts, name: part})
        record.save(self._layout.root, self.state)

    def start(self, name: str, part: PartRecord) -> None:
        """Start a part under this name.

        Raises:
            LocalClusterError: its program cannot be run.
        """
        mark = {processes.TOKEN_VARIABLE: self.state.token}
        process = processes.spawn(
            part.command, environment={**os.environ, **part.environment, **mark}, log=self._layout.log(name)
        )
        self._set(name, msgspec.structs.replace(part, process=process))

    def restart(self, name: str) -> None:
        """End the part if it runs, and start it again as it was.

        Raises:
            InputError: there is no such part.
        """
        self.end(name)
        self.start(name, self.part(name))

    def end(self, name: str) -> None:
        """End the part and remember that it was meant.

        Raises:
            InputError: there is no such part.
        """
        part = self.part(name)
        if part.process is not None:
            processes.end([part.process], _GRACE_S)
        self._set(name, msgspec.structs.replace(part, process=None))

    def kill(self, name: str, number: signal.Signals) -> None:
        """Send a signal; after SIGKILL, wait until the part is dead.

        Raises:
            InputError: there is no such part, or it does not run.
        """
        process = self.part(name).process
        if process is None or not processes.send(process, number):
            raise InputError(f"{name} does not run")
        if number == signal.SIGKILL:
            processes.end([process], _GRACE_S)

    def is_ready(self, name: str) -> bool:
        """Whether the part says that it is ready."""
        return answers_ok(self.part(name).ready_url, self._layout.authority)

    def wait_ready(self, name: str, timeout_s: float) -> None:
        """Wait until the part is ready.

        Raises:
            PartFailedError: it died meanwhile.
            LocalClusterError: it took longer than `timeout_s` seconds.
        """
        until(
            lambda: self.is_ready(name),
            timeout_s=timeout_s,
            what=f"{name} getting ready (log: {self._layout.log(name)})",
            hopeless=lambda: self.check([name]),
        )

    def check(self, names: Collection[str] | None = None) -> None:
        """Raise if one of these parts, or of all, died by itself.

        Raises:
            PartFailedError: names each, says how it ended and shows the end of its log.
        """
        dead = [s for n in names or self.state.parts if (s := self.status(n)).state == "dead"]
        if dead:
            raise PartFailedError("\n".join(f"{s.name} {s.detail}" for s in dead))

    def status(self, name: str) -> PartStatus:
        """How the part is doing now.

        Raises:
            InputError: there is no such part.
        """
        process = self.part(name).process
        log = self._layout.log(name)
        if process is None:
            return PartStatus(name=name, state="stopped", pid=None, log=str(log))
        if processes.is_alive(process):
            state: State = "ready" if self.is_ready(name) else "not ready"
            return PartStatus(name=name, state=state, pid=process.pid, log=str(log))
        detail = f"{processes.how_it_ended(process)}; the end of {log}:\n{processes.tail(log)}"
        return PartStatus(name=name, state="dead", pid=None, log=str(log), detail=detail)

    def alive(self) -> list[str]:
        """The parts that run."""
        return [n for n, p in self.state.parts.items() if p.process is not None and processes.is_alive(p.process)]

    def end_all(self) -> None:
        """End every process of the cluster, also one that was never recorded; the API server and etcd last.

        Raises:
            LocalClusterError: some cannot be killed.
        """
        running = {name: part.process for name, part in self.state.parts.items() if part.process is not None}
        processes.end([p for name, p in running.items() if name not in _STORE], _GRACE_S)
        for name in _STORE:
            processes.end([running[name]] if name in running else [], _STORE_GRACE_S)
        processes.end(processes.marked(self.state.token), _STORE_GRACE_S)
