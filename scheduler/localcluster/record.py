"""What a state folder remembers of its cluster."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from scheduler.localcluster.errors import InputError
from scheduler.localcluster.files import write_private
from scheduler.localcluster.processes import ProcessRecord

_FILE = "cluster.json"


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """The TCP ports of 127.0.0.1 on which the parts listen.

    `service` is where clients find the service. Where it has several replicas, each has two of `replicas` to itself,
    HTTP and gRPC.
    """

    etcd: int
    apiserver: int
    controller_manager: int
    scheduler: int
    own_scheduler: int
    kwok: int
    service: int
    service_grpc: int
    replicas: Sequence[int] = ()


class PartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One part as it was last started. `process` is None while it is stopped on purpose."""

    command: list[str]
    environment: Mapping[str, str] = {}
    ready_url: str
    process: ProcessRecord | None = None


class ClusterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to find, judge, restart and end the cluster again."""

    token: str
    ports: Ports
    parts: dict[str, PartRecord] = {}


def load(state_dir: Path) -> ClusterRecord | None:
    """The record in `state_dir`, None where no cluster was started.

    Raises:
        InputError: the file there is none of ours.
    """
    path = state_dir / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClusterRecord)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise InputError(f"{path} is not the record of a local cluster: {error}") from error


def save(state_dir: Path, record: ClusterRecord) -> None:
    """Keep `record` in `state_dir`."""
    write_private(state_dir / _FILE, msgspec.json.format(msgspec.json.encode(record)))


def forget(state_dir: Path) -> None:
    """Remember nothing of the cluster any more."""
    (state_dir / _FILE).unlink(missing_ok=True)
