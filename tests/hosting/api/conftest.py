from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from rest_framework.test import APIClient

from hosting.telemetry.partitions import create_partition

MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def api():
    """A signed-in person's door to the API; None is somebody who has not signed in."""

    def open_door(user) -> APIClient:
        door = APIClient()
        if user is not None:
            door.force_login(user)
        return door

    return open_door


@pytest.fixture
def days(db):
    """Partitions of 18 to 22 November 2026."""
    for offset in range(-2, 3):
        create_partition((MIDNIGHT + timedelta(days=offset)).date())


@pytest.fixture
def read(days):
    """Store one reading of a machine."""

    def store(
        miner, at: datetime, hashrate="100.00", temperature="70.00", power="3000.00", *, fan="5000.00", estimated=False
    ) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO miner_telemetry"
                " (recorded_at, miner_id, hashrate, temperature, power_consumption, fan_speed, power_estimated)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [at, miner.pk, hashrate, temperature, power, fan, estimated],
            )

    return store
