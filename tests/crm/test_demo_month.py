"""The demo's last month: billed once, one bill held back for people to see how that looks."""

from hosting.cgminer.simulator import build_farm
from hosting.models import Miner
from minefarm.demo import real_farm, seed_demo
from minefarm.demo_billing import bill_last_month


def test_the_demo_has_bills_of_last_month(db, catalogue, settings, tmp_path, time_machine):
    from accounts.models import User
    from crm.billing.verify import verify
    from crm.models import Invoice

    settings.INVOICE_DIR = tmp_path
    machines = build_farm(12, host="127.20.0.1", port=4028, seed=7, faults={})
    seed_demo(machines)
    owner = User.objects.get(email__startswith="owner@")
    first = bill_last_month(by=owner)
    assert [bill.outcome for bill in first.bills] == ["issued", "issued", "issued", "held"]
    assert first.bills[3].holds[0].startswith("no price of electricity in USD")
    assert all(bill.amount > 0 for bill in first.bills)
    again = bill_last_month(by=owner)
    assert [bill.outcome for bill in again.bills] == ["already issued"] * 3 + ["held"]
    assert [text for invoice in Invoice.objects.exclude(status="draft") for text in verify(invoice)] == []
    # A smaller demo afterwards keeps the machines that were billed, out of service.
    seed_demo(machines[:6])
    assert Miner.objects.filter(retired_at=None).count() == 6
    assert Miner.objects.count() == 12
    seed_demo(machines)
    assert Miner.objects.filter(retired_at=None).count() == 12
    assert not real_farm()  # else `make demo` would refuse to run again
