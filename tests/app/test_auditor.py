"""What is told of things that are unclear."""

from scheduler.app.auditor import lasting


def test_what_is_unclear_at_two_looks_in_succession_is_told_once() -> None:
    before: dict[str, bool] = {}
    told: list[str] = []
    for look in ("ab", "b", "ab", "b", "", "b", "b"):
        before, new = lasting(before, list(look))
        told.append("".join(new))
    assert told == ["", "b", "", "", "", "", "b"]
