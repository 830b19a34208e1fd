"""How often a caller may ask: counted in the shared cache, so that all processes count together."""

import logging
import re
import time
from typing import Any

from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from minefarm.lib.network import client_address, network_of

log = logging.getLogger(__name__)
UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
CACHE_DOWN = (RedisError, OSError)


def parse_rate(rate: str) -> tuple[int, int]:
    """`600/min` or `30/3min` as (calls, seconds); raises ValueError."""
    found = re.fullmatch(r"(\d+)/(\d*)([smhd])[a-z]*", rate)
    if not found or not int(found[1]):
        raise ValueError(f"{rate!r} is no rate: write calls/time, such as 600/min, 30/3min or 10/hour.")
    return int(found[1]), int(found[2] or 1) * UNIT_S[found[3]]


class Allowance:
    """Calls that one caller has in each window of time, by the name of its rate in the settings.

    A cache that does not answer allows everything: a farm without Valkey must still be seen and steered.
    """

    def __init__(self, rate: str, caller: object) -> None:
        self.limit, self.window_s = parse_rate(str(api_settings.DEFAULT_THROTTLE_RATES[rate]))
        now = time.time()
        self.key = f"rate:{rate}:{caller}:{int(now) // self.window_s}"
        self.left_s = self.window_s - int(now) % self.window_s

    def take(self) -> bool:
        """Count one call; False when it is one too many."""
        try:
            if cache.add(self.key, 1, self.window_s):
                return True
            return cache.incr(self.key) <= self.limit
        except ValueError:  # the window ended between the two
            return True
        except CACHE_DOWN as error:
            log.warning("Calls are not counted, the cache does not answer: %s", error)
            return True

    def is_spent(self) -> bool:
        """Whether there is none left, counting nothing."""
        try:
            return int(cache.get(self.key, 0)) >= self.limit
        except CACHE_DOWN as error:
            log.warning("Calls are not counted, the cache does not answer: %s", error)
            return False


class CallerThrottle(BaseThrottle):
    """Per token, per signed-in person, or per network of somebody who is neither."""

    def allow_request(self, request: Request, view: Any) -> bool:
        self.allowance = self._allowance(request)
        return self.allowance.take()

    def wait(self) -> float:
        return self.allowance.left_s

    def _allowance(self, request: Request) -> Allowance:
        if request.auth is not None:
            return Allowance("caller", f"token:{request.auth.pk}")
        if request.user.is_authenticated:
            return Allowance("caller", f"user:{request.user.pk}")
        return Allowance("anonymous", network_of(client_address(request._request)))  # noqa: SLF001  Django's request, for its address
