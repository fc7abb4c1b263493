"""The small client: what it repeats, and what is an answer. The real server answers it in tests/cluster."""

from collections.abc import Callable

import pytest

from scheduler.localcluster.api import Api
from scheduler.localcluster.errors import ApiError

BUSY = b'{"message": "storage is (re)initializing", "reason": "TooManyRequests"}'


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], tuple[Api, list[str]]]:
    """A client whose server is busy so many times before it answers, and what it was asked."""

    def client(busy: int) -> tuple[Api, list[str]]:
        seen: list[str] = []

        def exchange(_self: Api, method: str, path: str, _body: bytes | None, _content: str) -> tuple[int, bytes]:
            seen.append(f"{method} {path}")
            return (429, BUSY) if len(seen) <= busy else (200, b'{"ok": true}')

        monkeypatch.setattr(Api, "_exchange", exchange)
        monkeypatch.setattr("scheduler.localcluster.api._PAUSE_S", 0.0)
        return object.__new__(Api), seen

    return client


def test_a_server_that_is_not_ready_yet_is_asked_again(asked: Callable[[int], tuple[Api, list[str]]]) -> None:
    api, seen = asked(2)
    assert api.get("/apis/queues") == {"ok": True}
    assert seen == ["GET /apis/queues"] * 3


def test_one_that_never_gets_ready_is_an_error(
    asked: Callable[[int], tuple[Api, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.localcluster.api._PATIENCE_S", 0.0)
    api, _ = asked(1_000_000_000)
    with pytest.raises(ApiError, match=r"429: storage is \(re\)initializing"):
        api.get("/apis/queues")


def test_what_a_disruption_budget_says_of_an_eviction_is_an_answer(
    asked: Callable[[int], tuple[Api, list[str]]],
) -> None:
    api, seen = asked(1)
    with pytest.raises(ApiError):
        api.create("/api/v1/namespaces/n/pods/p/eviction?dryRun=All", {})
    assert len(seen) == 1
