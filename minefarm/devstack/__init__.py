"""Embedded PostgreSQL and Valkey for a checkout that has neither, and the processes of its demo.

A user of the servers holds a lease; a keeper process of its own owns them and stops them about two seconds after the
last lease is gone, however its holder died. Nothing here imports Django.
"""

from minefarm.devstack.errors import DevstackError
from minefarm.devstack.leases import Lease, StackUrls, ensure_environment, lease
from minefarm.devstack.upkeep import destroy, status

__all__ = ["DevstackError", "Lease", "StackUrls", "destroy", "ensure_environment", "lease", "status"]
