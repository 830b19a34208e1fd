"""Who hears of an alert."""

import pytest
from django.core import mail

from events.dispatch import drain
from events.sinks import endpoints

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_member_of_staff_who_asked_gets_one_mail(farm, machines, admin):
    endpoints.create_endpoint(admin.pk, "email", "", ["alert.opened"], by=admin.pk)
    miners = machines(25)
    farm.minutes(6, miners, bad=miners, error="timeout")
    drain()
    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == ([admin.email], "MineFarm: alert.opened")
    assert "site North" in sent.body
    assert "evidence 25 of 25 machines, machines 25, severity critical" in sent.body


def test_a_customer_hears_of_their_own_machine_and_of_no_other(farm, machines, client_a, client_b):
    for client in (client_a, client_b):
        endpoints.create_endpoint(client.pk, "email", "", ["alert.opened", "alert.resolved"], by=client.pk)
    (miner,) = machines(1)
    farm.minutes(6, [miner], bad=[miner], error="timeout")
    farm.minutes(3, [miner])
    drain()
    (sent,) = mail.outbox
    assert sent.to == [client_a.email]
    assert "alert.opened" in sent.body
    assert "alert.resolved" in sent.body
