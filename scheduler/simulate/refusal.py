"""Why a scenario cannot be simulated."""

import msgspec


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario that is not simulated: the place in the file (empty: the file as a whole) and why, in one sentence."""

    where: str
    why: str

    def __str__(self) -> str:
        """One sentence for people."""
        return f"{self.where}: {self.why}" if self.where else self.why
