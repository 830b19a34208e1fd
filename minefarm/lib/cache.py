"""The shared cache, which must not take the sign-in page down with it."""

import logging
import time
from collections.abc import Callable
from typing import Any, ClassVar, cast

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import ConnectionError as Unreachable, TimeoutError as Silent

log = logging.getLogger(__name__)
RETRY_AFTER_S = 5.0


class SteadyCache(RedisCache):
    """Redis or Valkey; while it does not answer, this process's own memory.

    Limits then count per process, which is looser by the number of processes but never off, and nobody gets a 500.
    """

    away_until: ClassVar[float] = 0.0

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._own = LocMemCache(
            "while-away", params
        )  # by its name one store for all threads, each of which has an instance

    def _try(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= SteadyCache.away_until:
            try:
                return getattr(super(), name)(*args, **kwargs)
            except (Unreachable, Silent) as error:
                log.warning("the cache does not answer (%s): limits are counted in this process for now", error)
                SteadyCache.away_until = time.monotonic() + RETRY_AFTER_S
        return getattr(self._own, name)(*args, **kwargs)


def _steady(name: str) -> Callable[..., Any]:
    def method(self: SteadyCache, *args: Any, **kwargs: Any) -> Any:
        return self._try(name, *args, **kwargs)

    method.__name__ = name
    return method


for _name in (
    "add", "get", "set", "touch", "delete", "get_many", "has_key", "incr", "set_many", "delete_many", "clear",
):  # fmt: skip
    setattr(SteadyCache, _name, cast("Any", _steady(_name)))
