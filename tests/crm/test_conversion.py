"""A lead becomes one deal, one account and one note, whoever asks how often."""

import re
import threading

import pytest
from django.db import connection
from django.urls import reverse

from accounts.models import User
from accounts.signins.tasks import mail_reset_link
from crm.leads import AlreadyConverted, CannotConvert, convert_lead, save_lead
from crm.models import Activity, Deal, DealStageChange, Lead
from events.dispatch import drain
from events.models import OutboxEvent

LEAD = {"name": "Buyer", "email": "Buyer@Miners.example", "company": "Miners", "wanted_kw": 1500}


@pytest.mark.django_db
def test_a_deal_an_account_and_a_note(operator):
    lead = save_lead(Lead(**LEAD))
    deal = convert_lead(lead, by=operator)
    assert (deal.stage, deal.probability, deal.title, deal.power_kw, deal.owner) == (
        "discovery",
        20,
        "Miners",
        1500,
        operator,
    )
    assert (deal.client.email, deal.client.role, deal.client.has_usable_password()) == (
        "buyer@miners.example",
        "client",
        False,
    )
    lead.refresh_from_db()
    assert lead.status == "converted"
    assert lead.converted_at is not None
    note = Activity.objects.get()
    assert (note.lead, note.deal, note.author) == (lead, deal, operator)
    assert DealStageChange.objects.get().to_stage == "discovery"
    assert OutboxEvent.objects.get(event_type="lead.converted").payload["deal_id"] == deal.pk


@pytest.mark.django_db
def test_an_account_that_is_there_is_taken_unless_it_is_the_farms_own(operator, client_a):
    deal = convert_lead(save_lead(Lead(**LEAD)), client_email=client_a.email.upper(), by=operator)
    assert deal.client == client_a
    other = save_lead(Lead(**LEAD))
    with pytest.raises(CannotConvert, match="farm's own people"):
        convert_lead(other, client_email=operator.email, by=operator)
    with pytest.raises(CannotConvert, match="e-mail"):
        convert_lead(save_lead(Lead(name="Caller")), by=operator)
    other.refresh_from_db()
    assert other.status == "new"
    assert Deal.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["a@b.example\nBcc: c@d.example", "a@b.example, c@d.example", "a b@c.example"])
def test_what_is_not_one_address_makes_no_account(operator, address):
    """A lead keeps whatever a form brought; an account's address goes into the heads of mails."""
    people = User.objects.count()
    with pytest.raises(CannotConvert, match="not one e-mail address"):
        convert_lead(save_lead(Lead(name="Buyer", email=address)), by=operator)
    assert User.objects.count() == people


@pytest.mark.django_db(transaction=True)
def test_twice_and_by_two_people_at_once_makes_one_deal(operator, admin):
    lead = save_lead(Lead(**LEAD))
    start, made, refused = threading.Barrier(8), [], []

    def convert(person) -> None:
        mine = Lead.objects.get(pk=lead.pk)
        start.wait()
        try:
            made.append(convert_lead(mine, by=person).pk)
        except AlreadyConverted as known:
            refused.append(known.deal.pk)
        finally:
            connection.close()

    people = [threading.Thread(target=convert, args=(person,)) for person in (operator, admin) * 4]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len(made) == 1
    assert refused == made * 7
    assert Deal.objects.count() == Activity.objects.count() == DealStageChange.objects.count() == 1
    assert User.objects.filter(role="client").count() == 1
    assert OutboxEvent.objects.filter(event_type="lead.converted").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_new_client_is_told_how_to_come_in_once_and_can(client, operator, mailoutbox):
    deal = convert_lead(save_lead(Lead(**LEAD)), by=operator)
    assert mailoutbox == []  # the outbox sends it, after the commit
    for _ in range(2):
        drain()
    (welcome,) = mailoutbox
    assert welcome.to == ["buyer@miners.example"]
    assert reverse("account_reset_password") in welcome.body
    assert mail_reset_link(deal.client.email, "http://testserver")  # what that page's form asks a worker for
    (path,) = re.findall(r"http://testserver(\S+)", mailoutbox[-1].body)
    page = client.get(path, follow=True)
    chosen = "a long and unusual phrase 77"
    client.post(page.request["PATH_INFO"], {"password1": chosen, "password2": chosen})
    deal.client.refresh_from_db()
    assert deal.client.check_password(chosen)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("why", ["known", "not asked", "disabled meanwhile"])
def test_nobody_is_told_without_need(operator, client_a, mailoutbox, why):
    lead = save_lead(Lead(**LEAD))
    if why == "known":
        convert_lead(lead, client_email=client_a.email, by=operator)
    else:
        deal = convert_lead(lead, invite=why != "not asked", by=operator)
        if why == "disabled meanwhile":
            User.objects.filter(pk=deal.client.pk).update(status="DISABLED")
    drain()
    assert mailoutbox == []
