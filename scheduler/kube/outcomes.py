"""How a write to the cluster ends: one of a closed set of outcomes."""

import msgspec

from scheduler.kube.api import ApiRefusedError, ApiUnreachableError


class Done(msgspec.Struct, frozen=True):
    """The write took place, or had taken place before."""


class Gone(msgspec.Struct, frozen=True):
    """The object is no more, or another of the same name stands in its place."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The API server will not have it, or it is not even sent as it makes no sense.

    `status`: of the answer; 0 where it was not sent. `passing`: trying again may help (a conflict, throttling, a
    failure of its own).
    """

    status: int
    message: str
    passing: bool


class Unreachable(msgspec.Struct, frozen=True, kw_only=True):
    """No answer: it may or may not have taken place."""

    message: str


class Fenced(msgspec.Struct, frozen=True):
    """Not sent: this replica does not lead."""


Failure = Gone | Refused | Unreachable | Fenced
Outcome = Done | Failure


def failure_of(err: ApiUnreachableError | ApiRefusedError) -> Gone | Refused | Unreachable:
    """What a request that failed so means for its write."""
    if isinstance(err, ApiUnreachableError):
        return Unreachable(message=str(err))
    if err.status == 404 or _is_namesake(err):
        return Gone()
    # An API server that has just started forbids until it has read its roles.
    passing = err.status in (403, 409, 429) or err.status >= 500
    return Refused(status=err.status, message=err.message, passing=passing)


def _is_namesake(err: ApiRefusedError) -> bool:
    """Whether the write met another pod of the same name.

    A patch with another uid is 422 "metadata.uid: … field is immutable"; binding and eviction answer 409 with the UID.
    """
    if err.status == 422:
        return "metadata.uid" in err.message
    return err.status == 409 and "uid" in err.message.lower()
