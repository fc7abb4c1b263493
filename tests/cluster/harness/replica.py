"""A replica of the service as a process of its own, started, watched and ended by the test."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import yaml

from scheduler.localcluster import assets, processes
from scheduler.localcluster.api import Json
from scheduler.localcluster.waiting import until

HOST = "127.0.0.1"
READY_S = 180.0
ASK_S = 10.0
GRACE_S = 8.0

QUICK: Mapping[str, object] = {
    "leaseDurationS": 3.0,
    "renewDeadlineS": 2.0,
    "renewPeriodS": 0.5,
    "settleS": 0.2,
    "auditPeriodS": 0,
}
"""Settings for tests that restart the service often: what is waited for is the same, and comes sooner."""


class Replica:
    def __init__(
        self, folder: Path, *, name: str, kubeconfig: Path, ports: tuple[int, int], settings: Mapping[str, object]
    ) -> None:
        self.port, self.grpc_port = ports
        self.log = folder / f"{name}.log"
        self._process: processes.ProcessRecord | None = None
        self._errors = 0
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
        self._command = processes.python_command(
            *("-m", "scheduler", "serve", "--kubeconfig", str(kubeconfig), "--config", str(config)),
            *("--listen", f"{HOST}:{self.port}", "--grpc-listen", f"{HOST}:{self.grpc_port}", "--log-level", "debug"),
        )

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def grpc_address(self) -> str:
        return f"{HOST}:{self.grpc_port}"

    def start(self, token: str) -> None:
        """Start it; the token lets the cluster end it if we do not."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(assets.package_parent()),
            processes.TOKEN_VARIABLE: token,
        }
        self._process = processes.spawn(self._command, environment=environment, log=self.log)

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until it leads and has seen everything."""
        until(self.is_ready, timeout_s=timeout_s, what="the service getting ready", hopeless=self.check)

    def check(self) -> None:
        assert self.alive, f"the service {self.how_it_ended()}; the end of its log:\n{processes.tail(self.log, 30)}"

    def new_errors(self) -> list[str]:
        """What it has logged since this was last asked that should not be able to happen."""
        lines = self.log.read_text("utf-8", errors="replace").splitlines() if self.log.is_file() else []
        found = [line for line in lines if " ERROR " in line[:40]]
        found, self._errors = found[self._errors :], len(found)
        return found

    @property
    def alive(self) -> bool:
        return self._process is not None and processes.is_alive(self._process)

    def how_it_ended(self) -> str:
        return "was not started" if self._process is None else processes.how_it_ended(self._process)

    def is_ready(self) -> bool:
        try:
            self.get("/readyz")
        except OSError:
            return False
        return True

    def not_ready(self) -> str:
        """Why it is not ready; "" where it is, or where it does not answer."""
        try:
            self.get("/readyz")
        except urllib.error.HTTPError as err:
            with err:
                return err.read().decode()
        except OSError:
            pass
        return ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; does not wait for anything."""
        assert self._process is not None
        processes.send(self._process, number)

    def kill(self) -> None:
        """kill -9, without waiting: callable in the middle of whatever it does."""
        self.signal(signal.SIGKILL)

    def end(self) -> None:
        """Ask it to leave, and see that it does."""
        if self._process is not None:
            processes.end([self._process], GRACE_S)

    def get(self, path: str) -> str:
        """The answer to a GET.

        Raises:
            OSError: no answer, or none of status 200.
        """
        with urllib.request.urlopen(f"{self.url}{path}", timeout=ASK_S) as answer:  # noqa: S310  our own loopback URL
            return cast("str", answer.read().decode())

    def get_json(self, path: str) -> Json:
        return cast("Json", json.loads(self.get(path)))

    def metric(self, series: str, **labels: str) -> float:
        """The sum of a series over all label values that are not given."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            name, _, rest = line.partition("{" if "{" in line else " ")
            if name == series and all(f'{key}="{value}"' in rest for key, value in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total
