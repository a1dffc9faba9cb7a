"""Whatever can be awaited, as a Deferred: what a service, a hook or a policy answers later."""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import iscoroutine
from typing import Any

from twisted.internet.defer import Deferred


def to_deferred(result: Awaitable[Any]) -> Deferred[Any]:
    """Return an awaitable as a Deferred; a coroutine begins to run at once."""
    if isinstance(result, Deferred):
        return result
    return Deferred.fromCoroutine(result if iscoroutine(result) else _await(result))


async def _await(result: Awaitable[Any]) -> Any:
    return await result
