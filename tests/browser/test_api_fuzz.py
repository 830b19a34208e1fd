"""The API asked what its schema did not expect: by two customers who must never see each other's rows, and by an owner."""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import transaction
from django.utils import timezone

from accounts.tokens import make_token
from events import dispatch
from events.models import EventDelivery, EventEndpoint
from events.outbox import publish
from hosting.models import Site
from tests.access.test_matrix import read_table

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
# FUZZ=full adds every boundary of every parameter, half an hour's work.
SIZE = ("--max-examples=50",) if os.environ.get("FUZZ") == "full" else ("--max-examples=8", "--phases=fuzzing,stateful")
# All but two that do not fit: an id of the right shape need not exist, and a header that is missing means a default.
NOT_OURS = "positive_data_acceptance,missing_required_header"
# Whoever revokes the token that they ask with is a stranger from then on.
REVOKE = "tokens_destroy"
# Lines of JSON, which the fuzzer cannot make, and from agents alone: tests/telemetry/test_edge_ingest.py.
BATCHES = "agent_readings"
# What no token may do, whosever it is: people prove that it is they, and agents and utilities have tokens of their own.
CLOSED_TO_TOKENS = {
    "GET /api/v1/agent/targets/",
    "POST /api/v1/tokens/",
    "POST /api/v1/curtailment/signals/",
    "POST /api/v1/curtailment/rules/{id}/arm/",
    "POST /api/v1/curtailment/plans/{id}/approve/",
    "POST /api/v1/curtailment/plans/{id}/extend/",
    "POST /api/v1/curtailment/plans/{id}/restore/",
    "POST /api/v1/curtailment/sites/{id}/freeze/",
    "POST /api/v1/curtailment/sites/{id}/restore/",
    "POST /api/v1/crm/invoices/{id}/issue/",
    "POST /api/v1/crm/invoices/{id}/credit/",
}


def closed_to_customers() -> set[str]:
    """What a customer's token may not do at all, by the reviewed table; the schema says `{id}` for `<int:pk>`."""
    named = {"pk": "{id}"}
    return {
        f"{method} {re.sub('<[a-z]+:([a-z]+)>', lambda found: named.get(found[1], '{' + found[1] + '}'), route)}"
        for (route, method), answers in read_table().items()
        if route.startswith("/api/v1/") and answers["write_token"] in {401, 403}
    }


def bearer(person) -> str:
    _, secret = make_token(
        name="fuzz", scopes=["read", "write"], expires_at=timezone.now() + timedelta(days=1), addresses=(), by=person
    )
    return f"Bearer {secret}"


@pytest.fixture
def rows(client_a, client_b, miner_a, miner_b, site):
    """Each has a machine, an endpoint and a delivery to it."""
    Site.objects.create(name="South")
    for person, miner in ((client_a, miner_a), (client_b, miner_b)):
        EventEndpoint.objects.create(owner_id=person.pk, kind="email", target=person.email)
        with transaction.atomic():
            publish(
                "miner.online", about=f"miner:{miner.pk}", client_id=person.pk, miner_id=miner.pk, error=None,
                serial_number=miner.serial_number, site_id=site.pk, at=timezone.now().isoformat(), last_reading_at=None,
            )  # fmt: skip
    dispatch.drain()
    assert EventDelivery.objects.count() == 2


@pytest.fixture
def fuzz(live_server, tmp_path: Path, settings, rows):
    """Run it as somebody, asking for each row also as the `peers`; its report of every case."""
    rates = dict.fromkeys(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "1000000/min")
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}

    def run(*people, options: tuple[str, ...]) -> dict[str, Any]:
        users = [
            {"name": person.name, "fixedHeaders": [{"name": "Authorization", "value": bearer(person)}]}
            for person in people
        ]
        (tmp_path / "users.yaml").write_text(yaml.safe_dump({"auth": users}))
        peers = json.dumps([person.name for person in people])
        config = tmp_path / "schemathesis.toml"
        config.write_text(
            f'[auth.wfc]\npath = "{tmp_path / "users.yaml"}"\nuser = "{people[0].name}"\n'
            + (f"peers = {peers}\n" if len(people) > 1 else "")
        )
        report = tmp_path / "report.json"
        command = [str(Path(sys.executable).with_name("schemathesis")), f"--config-file={config}", "run"]
        steady = [
            "--checks=all",
            f"--exclude-checks={NOT_OURS}",
            "--seed=7",
            "--generation-deterministic",
            "--no-color",
        ]
        done = subprocess.run(
            [
                *(*command, *steady, "--report=json", f"--report-json-path={report}"),
                *(f"--exclude-operation-id={name}" for name in (REVOKE, BATCHES)),
                *(*options, f"{live_server.url}/api/v1/schema/"),
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=1800,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        told: dict[str, Any] = json.loads(report.read_text())
        assert (told["failures"], told["errors"]) == ([], [])
        assert told["operations"]["tested"] == told["operations"]["selected"] > 30
        return told

    return run


def test_two_customers_find_no_server_error_and_nothing_of_each_other(fuzz, client_a, client_b):
    told = fuzz(client_a, client_b, options=SIZE)
    assert set(told["warnings"]["missing_auth"]) <= closed_to_customers()


def test_an_owner_finds_no_server_error(fuzz, owner):
    told = fuzz(owner, options=SIZE)
    assert set(told["warnings"]["missing_auth"]) <= CLOSED_TO_TOKENS
