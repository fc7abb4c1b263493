"""What can go wrong with a local cluster, in words for the person at the terminal."""


class LocalClusterError(Exception):
    """The local cluster could not do what was asked; the text says what and why."""


class InputError(LocalClusterError):
    """A file or an argument that cannot be used; the text quotes it and says what is allowed."""


class PartFailedError(LocalClusterError):
    """A process of the cluster ended by itself; the text has its name and the end of its log."""


class ApiError(LocalClusterError):
    """The API server refused a request.

    Attributes:
        status: HTTP status, 0 where no answer came.
        reason: the machine-readable reason of the `Status` object, "" where there is none.
    """

    def __init__(self, text: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
