"""A hall with two racks and a feed each, and files of machines."""

import pytest

from hosting.importing import commit_import, plan_import
from hosting.models import Building, Circuit, Rack

HEADER = (
    "serial_number,model,site,rack,slot,client,status,cgminer_ip,cgminer_port,cgminer_enabled,purchase_date,"
    "warranty_start,warranty_expiry,warranty_vendor,warranty_order"
)


@pytest.fixture
def hall(site):
    return Building.objects.create(site=site, name="Hall A")


@pytest.fixture
def rack(hall, feed):
    made = Rack.objects.create(building=hall, name="R-01", slots=8, slots_per_shelf=4)
    made.circuits.add(feed)
    return made


@pytest.fixture
def other_rack(hall):
    return Rack.objects.create(building=hall, name="R-02", slots=8, slots_per_shelf=4)


@pytest.fixture
def feed(site):
    return Circuit.objects.create(site=site, name="PDU-1", capacity_kw="10")


@pytest.fixture
def desk(client, operator):
    """A browser with an operator signed in."""
    client.force_login(operator)
    return client


@pytest.fixture
def bring(operator):
    """Dry run and commit of one file; returns the totals of the commit."""

    def run(content, **options):
        data = content if isinstance(content, bytes) else content.encode()
        plan = plan_import(data, by=operator, **options)
        assert not plan.problems, plan.problems
        return commit_import(data, plan.token, by=operator, **options).totals

    return run


def rows(*lines, header=HEADER):
    return "\n".join([header, *lines]) + "\n"


def told(plan):
    """(row, column, what is wrong) of every problem."""
    return [(problem.row, problem.column, problem.reason) for problem in plan.problems]


def steps(plan):
    """(row, kind, {column: (before, after)}) of every row that changes something."""
    return [
        (step.row, step.kind, {change.column: (change.before, change.after) for change in step.changes})
        for step in plan.steps
        if step.kind != "same"
    ]
