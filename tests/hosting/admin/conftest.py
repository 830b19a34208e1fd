"""The doors of the miner admin as a member of staff uses them."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from hosting.models import MinerLatest

MINERS = "/admin/hosting/miner/"


@pytest.fixture
def desk(client, operator):
    """A browser with an operator signed in."""
    client.force_login(operator)
    return client


@pytest.fixture
def act(desk):
    """Run an action of the miner list on ticked machines; returns the messages and the response."""

    def run(action, *miners, **form):
        data = {"action": action, "_selected_action": [miner.pk for miner in miners], **form}
        response = desk.post(MINERS, data, follow=True)
        return [str(message) for message in response.context["messages"]], response

    return run


@pytest.fixture
def read():
    """Give a machine a latest reading, `minutes` ago."""

    def store(miner, *, minutes=0, **values):
        moment = timezone.now() - timedelta(minutes=minutes)
        values = {"hashrate_ths": "110.55", "power_w": "3250", "temperature_c": "71", "seen_at": moment, **values}
        return MinerLatest.objects.create(miner=miner, attempted_at=moment, **values)

    return store


def text_of(response):
    """What a person reads of the page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.text))
