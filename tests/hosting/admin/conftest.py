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


@pytest.fixture
def upload(desk):
    """Send a file to the import page; returns the preview's response."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    def send(content, name="miners.csv"):
        data = content.encode() if isinstance(content, str) else content
        file_format = "1" if name.endswith(".xlsx") else "0"
        form = {"import_file": SimpleUploadedFile(name, data), "format": file_format, "resource": "0"}
        return desk.post(f"{MINERS}import/", form)

    return send


@pytest.fixture
def confirm(desk):
    """Confirm a preview; returns the messages."""

    def send(preview):
        form = {field.name: field.value() for field in preview.context["confirm_form"]}
        response = desk.post(f"{MINERS}process_import/", form, follow=True)
        return [str(message) for message in response.context["messages"]]

    return send


def problems(preview):
    """(line, column, what is wrong) of every refused row."""
    return [
        (row.number + 1, column, text)
        for row in preview.context["result"].invalid_rows
        for column, texts in row.error_dict.items()
        for text in texts
    ]


def text_of(response):
    """What a person reads of the page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.text))
