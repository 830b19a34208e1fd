"""How often a password may be tried: counted before hashing, in the shared cache.

A guesser must not be able to keep the owner of an account out. So no limit locks an account as such:

- A known device (see devices.py) has a bucket of its own and shares none with anybody.
- Everybody else is counted by account and network, by network, and by account in all. The last one lets a few tries a minute
  through whatever happens; and whoever reads the account's mail gets a known device by the reset link.
"""

import hashlib
import time
from dataclasses import dataclass

from django.core.cache import cache
from django.http import HttpRequest

from accounts.signins.devices import device_of
from minefarm.lib.network import client_address, network_of

MINUTE, QUARTER, DAY = 60, 900, 86_400


class TooManyTries(Exception):
    """No password is checked now; try again in `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many tries: wait {wait_s} s")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Bucket:
    """At most `tries` in one window of the clock; two windows can meet within one window's length."""

    key: str
    tries: int
    window_s: int
    ends_in_s: int

    def take(self) -> bool:
        """Count one try; False when it was one too many. Atomic over all processes."""
        cache.add(self.key, 0, self.window_s)
        try:
            return int(cache.incr(self.key)) <= self.tries
        except ValueError:  # ran out between the two calls
            return True

    def give_back(self) -> None:
        try:
            cache.decr(self.key)
        except ValueError:  # ran out meanwhile
            return


def bucket(name: str, tries: int, window_s: int) -> Bucket:
    # The window's number is part of the key: a counter that lost its expiry cannot outlive its window.
    number, past_s = divmod(int(time.time()), window_s)
    return Bucket(f"signin:{name}:{number}", tries, window_s, window_s - past_s)


def known_device(device_id: str, account: str) -> Bucket:
    return bucket(f"device:{device_id}:{account}", 10, QUARTER)


def account_and_network(account: str, network: str) -> Bucket:
    return bucket(f"pair:{account}:{network}", 5, QUARTER)


def one_network(network: str) -> Bucket:
    return bucket(f"network:{network}", 30, QUARTER)


def account_day(account: str) -> Bucket:
    return bucket(f"day:{account}", 20, DAY)


def account_minute(account: str) -> Bucket:
    """Two windows can meet in one minute, and the few under attack come on top: 8 + 8 + 3, fewer than 20 hashes."""
    return bucket(f"minute:{account}", 8, MINUTE)


def account_minute_under_attack(account: str) -> Bucket:
    return bucket(f"attacked:{account}", 3, MINUTE)


@dataclass(frozen=True, slots=True)
class Admission:
    """A try that was let in. `forgive` after a right password: only failures shall count."""

    buckets: tuple[Bucket, ...]
    known_device: bool = False

    def forgive(self) -> None:
        for taken in self.buckets:
            taken.give_back()


def admit(request: HttpRequest, email: str) -> Admission:
    """Count a try at the account of this address, whether or not there is one; raises TooManyTries."""
    account = hashlib.sha256(email.encode()).hexdigest()[:32]
    device = device_of(request)
    if device and device.knows(email):
        return Admission(_take(known_device(device.id, account)).buckets, known_device=True)
    network = network_of(client_address(request))
    narrow = _take(one_network(network), account_and_network(account, network))
    # Counted after the narrow limits, so that one noisy network does not bring an account into its under-attack state.
    day = account_day(account)
    calm = day.take()
    wide = _take(account_minute(account) if calm else account_minute_under_attack(account))
    return Admission((*narrow.buckets, day, *wide.buckets))


def _take(*buckets: Bucket) -> Admission:
    for wanted in buckets:
        if not wanted.take():
            raise TooManyTries(wanted.ends_in_s)
    return Admission(buckets)
