"""Loaded by pytest before Django's settings are read: lends the tests the embedded servers of profile "test".

With DATABASE_URL and REDIS_URL set, nothing is started. Each xdist worker has a database and a Redis number of its own.
"""

import os

from minefarm.devstack import ensure_environment

os.environ["MINEFARM_ENV"] = "development"
# Simulated machines: 127.0.0.1 is named by itself, for a wider network does not mean it.
os.environ["MINEFARM_POLL_CIDRS"] = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,127.0.0.0/8,127.0.0.1/32"
# Held until this process ends; the servers stop when the last holder is gone.
LEASE = ensure_environment(profile="test")

if worker := os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw"):
    base, _, _ = os.environ["REDIS_URL"].rpartition("/")
    os.environ["REDIS_URL"] = f"{base}/{1 + int(worker) % 15}"
