"""Leadership through a Lease object (coordination.k8s.io/v1), with the time rules of client-go's leader election.

Other replicas' clocks are never compared with ours: a lease counts as expired when its record has not changed for its
own duration on our monotonic clock (client-go, tools/leaderelection, "observedTime"). The holder stops writing
`renew_deadline_s` after its last successful renewal began, which is before any other replica may take over.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from scheduler.kube.api import ApiClient, ApiRefusedError, ApiUnreachableError
from scheduler.kube.http import Method

CONFLICT = 409
NOT_FOUND = 404


class LeaseSpec(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """The fields of a Lease's spec that take part in an election."""

    holder_identity: str | None = None
    lease_duration_seconds: int = 0
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int = 0


class LeaseMeta(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """Name and version of a Lease."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class LeaseObject(msgspec.Struct, kw_only=True, rename="camel"):
    """A Lease as it goes over the wire."""

    api_version: str = "coordination.k8s.io/v1"
    kind: str = "Lease"
    metadata: LeaseMeta
    spec: LeaseSpec


class LeaseTimes(msgspec.Struct, frozen=True, kw_only=True):
    """When a lease ends, when its holder stops writing, and how often it renews; in seconds, in falling order."""

    duration_s: float = 10.0
    renew_deadline_s: float = 7.0
    renew_period_s: float = 2.0


class Leadership:
    """Whether this replica leads. `run` keeps trying until cancelled; `writable` is the fence that every write asks."""

    def __init__(
        self,
        api: ApiClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._meta = LeaseMeta(name=name, namespace=namespace)
        self._identity = identity
        self._duration_s = times.duration_s
        self._deadline_s = times.renew_deadline_s
        self._period_s = times.renew_period_s
        self._monotonic_s = monotonic_s
        self._renewed_s: float | None = None
        self._observed: tuple[str | None, str | None] = (None, None)
        self._observed_s = monotonic_s()
        self.leads = asyncio.Event()
        """Set while this replica leads."""
        self.follows = asyncio.Event()
        """Set while it does not."""
        self.follows.set()

    @property
    def writable(self) -> bool:
        """Whether a write may start now: the lease was renewed less than the renew deadline ago.

        True by the clock alone, whatever tasks have noticed so far. Callable from any thread.
        """
        renewed_s = self._renewed_s
        return renewed_s is not None and self._monotonic_s() - renewed_s < self._deadline_s

    async def run(self) -> None:
        """Take the lease when it is free and renew it; returns never."""
        while True:
            began_s = self._monotonic_s()
            try:
                async with asyncio.timeout(self._patience_s(began_s)):
                    held = await self._try_once()
            except (ApiUnreachableError, ApiRefusedError, TimeoutError):
                held = None
            if held is True:
                self._renewed_s = began_s
            elif held is False:
                self._renewed_s = None
            self._tell()
            wait_s = self._period_s - (self._monotonic_s() - began_s)
            if self._renewed_s is not None:
                wait_s = min(wait_s, self._renewed_s + self._deadline_s - self._monotonic_s())
            await asyncio.sleep(max(wait_s, 0.05))
            self._tell()

    def _patience_s(self, began_s: float) -> float:
        """How long a try may take: while leading no longer than that lasts, so that its end is told on time."""
        left_s = 0.0 if self._renewed_s is None else self._renewed_s + self._deadline_s - began_s
        return left_s if left_s > 0 else self._deadline_s

    async def release(self) -> None:
        """Give the lease up so that a standby takes over at once; errors are left to the lease's own end."""
        if self._renewed_s is None:
            return
        self._renewed_s = None
        self._tell()
        try:
            lease = await self._get()
            if lease is not None and lease.spec.holder_identity == self._identity:
                lease.spec.holder_identity = ""
                lease.spec.lease_duration_seconds = 1
                await self._put(lease)
        except (ApiUnreachableError, ApiRefusedError):
            return

    def _tell(self) -> None:
        if self.writable:
            self.follows.clear()
            self.leads.set()
        else:
            self.leads.clear()
            self.follows.set()

    async def _try_once(self) -> bool:
        lease = await self._get()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if lease is None:
            spec = self._spec(now, transitions=0, acquired=now)
            return await self._send("POST", self._path, LeaseObject(metadata=self._meta, spec=spec))
        record = (lease.spec.holder_identity, lease.spec.renew_time)
        if record != self._observed:
            self._observed = record
            self._observed_s = self._monotonic_s()
        holder = lease.spec.holder_identity
        if holder == self._identity:
            lease.spec.renew_time = now
            lease.spec.lease_duration_seconds = round(self._duration_s)
            return await self._put(lease)
        expired = self._monotonic_s() - self._observed_s >= max(self._duration_s, lease.spec.lease_duration_seconds)
        if holder and not expired:
            return False
        lease.spec = self._spec(now, transitions=lease.spec.lease_transitions + 1, acquired=now)
        return await self._put(lease)

    def _spec(self, now: str, *, transitions: int, acquired: str) -> LeaseSpec:
        return LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=round(self._duration_s),
            acquire_time=acquired,
            renew_time=now,
            lease_transitions=transitions,
        )

    async def _get(self) -> LeaseObject | None:
        try:
            response = await self._api.request("GET", f"{self._path}/{self._meta.name}")
        except ApiRefusedError as err:
            if err.status == NOT_FOUND:
                return None
            raise
        return msgspec.json.decode(response.body, type=LeaseObject)

    async def _put(self, lease: LeaseObject) -> bool:
        return await self._send("PUT", f"{self._path}/{self._meta.name}", lease)

    async def _send(self, method: Method, path: str, lease: LeaseObject) -> bool:
        try:
            await self._api.request(method, path, body=msgspec.json.encode(lease))
        except ApiRefusedError as err:
            if err.status == CONFLICT:
                return False
            raise
        return True
