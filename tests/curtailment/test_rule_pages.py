"""Pages of rules and sources, and the API of rules: who sees what, what forms tell, how arming is guarded."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from accounts.tokens import make_token
from curtailment import arming
from curtailment.models import CurtailmentRule, SignalSource
from curtailment.sources import make_source, secret_of
from hosting.models import ElectricityPrice

pytestmark = pytest.mark.django_db


@pytest.fixture
def rule(site, operator):
    return arming.make_rule(CurtailmentRule(site=site, name="dear power", kind="price"), by=operator)


@pytest.fixture
def farm(running, worth, site, now):
    ElectricityPrice.objects.all().delete()
    ElectricityPrice.objects.create(site=site, price_per_kwh=Decimal("0.1"), valid_from=now - timedelta(days=60))
    return [running(f"A-{number}") for number in range(3)]


def test_an_operator_makes_a_rule_of_every_kind(client, operator, site):
    client.force_login(operator)
    client.get(reverse("rules:add"))
    make_source(site=site, name="utility", by=None)
    source = SignalSource.objects.get()
    common = {
        "priority": "normal",
        "strategy": "tiers",
        "max_minutes": 120,
        "min_on_minutes": 10,
        "min_off_minutes": 20,
        "cool_down_minutes": 30,
    }
    own = {
        "price": {"set_strike": "80", "set_windows_above": "2"},
        "schedule": {"set_days": ["mon", "tue"], "set_from": "16:00", "set_to": "19:00"},
        "power_cap": {"set_cap_kw": "2000"},
        "temperature": {"set_above_c": "35.5"},
        "signal": {"source": str(source.pk)},
    }
    for kind, fields in own.items():
        url = f"{reverse('rules:add')}?kind={kind}&site={site.pk}"
        assert client.get(url).status_code == 200
        answer = client.post(url, common | fields | {"name": kind})
        assert answer.status_code == 302, answer.content.decode()
        made = CurtailmentRule.objects.get(name=kind)
        assert client.get(answer["Location"]).status_code == 200
        assert client.get(reverse("rules:edit", args=[made.pk])).status_code == 200
    assert CurtailmentRule.objects.get(kind="price").settings == {"strike": 80, "windows_above": 2}
    assert CurtailmentRule.objects.get(kind="schedule").settings["days"] == ["mon", "tue"]
    page = client.get(reverse("rules:rules")).content.decode()
    assert all(kind in page for kind in own)
    assert "utility" in page


def test_wrong_settings_are_told_at_their_field(client, operator, site):
    client.force_login(operator)
    url = f"{reverse('rules:add')}?kind=power_cap&site={site.pk}"
    answer = client.post(url, {"name": "x", "max_minutes": 10, "min_on_minutes": 5, "set_cap_kw": "-3"})
    assert answer.status_code == 422
    assert answer.context["form"].errors["set_cap_kw"]
    assert "set_cap_kw" in answer.context["form"].errors


def test_the_back_test_is_shown_and_then_the_rule_can_be_armed(client, admin, rule, farm, now):
    client.force_login(admin)
    page = client.get(reverse("rules:rule", args=[rule.pk])).content.decode()
    assert "look at a back-test first" in page
    days = {"since": f"{now - timedelta(days=2):%Y-%m-%d}", "until": f"{now:%Y-%m-%d}"}
    answer = client.post(reverse("rules:try", args=[rule.pk]), days)
    assert answer.status_code == 200
    assert answer.context["found"].events >= 1
    assert b"backtest-data" in answer.content
    assert "Arm it" in answer.content.decode()
    client.post(reverse("rules:arm", args=[rule.pk]), {"content_hash": rule.content_hash})
    rule.refresh_from_db()
    assert (rule.armed, rule.armed_by) == (True, admin)
    client.post(reverse("rules:disarm", args=[rule.pk]))
    rule.refresh_from_db()
    assert not rule.armed


@pytest.mark.stale_sign_in
def test_arming_and_secrets_ask_for_a_fresh_proof(client, admin, rule, site, now):
    arming.was_tried(rule, content_hash=rule.content_hash, now=now)
    source = make_source(site=site, name="utility", by=None)
    client.force_login(admin)
    asked = [
        client.post(reverse("rules:arm", args=[rule.pk]), {"content_hash": rule.content_hash}),
        client.post(reverse("rules:source_token", args=[source.pk])),
        client.post(reverse("rules:source_secret", args=[source.pk])),
        client.post(f"/api/v1/curtailment/rules/{rule.pk}/arm/", {"content_hash": rule.content_hash}),
    ]
    assert [one.status_code for one in asked] == [302, 302, 302, 403]
    rule.refresh_from_db()
    source.refresh_from_db()
    assert (rule.armed, source.token_digest, source.sealed_secret) == (False, None, None)


def test_an_old_page_does_not_change_a_newer_rule(client, operator, rule):
    client.force_login(operator)
    arming.edit_rule(arming.changed(rule, max_minutes=100), version=1, by=operator)
    fields = {
        "name": "mine",
        "priority": "normal",
        "strategy": "tiers",
        "max_minutes": 60,
        "min_on_minutes": 5,
        "min_off_minutes": 5,
        "cool_down_minutes": 5,
        "version": 1,
    }
    answer = client.post(reverse("rules:edit", args=[rule.pk]), fields)
    assert "changed by somebody else" in answer.content.decode()
    assert client.post(reverse("rules:edit", args=[rule.pk]), fields | {"version": 2}).status_code == 302


def test_customers_and_guests_find_nothing(client, client_a, guest, rule, site):
    source = make_source(site=site, name="utility", by=None)
    for person in (client_a, guest):
        client.force_login(person)
        for page in (
            reverse("rules:rules"),
            reverse("rules:rule", args=[rule.pk]),
            reverse("rules:source", args=[source.pk]),
        ):
            assert client.get(page).status_code == 404
        assert client.get(f"/api/v1/curtailment/rules/{rule.pk}/").status_code == 403


def test_staff_of_another_site_find_no_rule_there(client, operator, rule):
    from accounts.models import SiteLimit
    from hosting.models import Site

    elsewhere = Site.objects.create(name="South", location="x")
    SiteLimit.objects.create(user=operator, site_id=elsewhere.pk)
    client.force_login(operator)
    assert client.get(reverse("rules:rule", args=[rule.pk])).status_code == 404
    assert client.get(f"/api/v1/curtailment/rules/{rule.pk}/").status_code == 404
    assert client.get(f"{reverse('rules:add')}?kind=price&site={rule.site_id}").status_code == 404


def test_a_secret_is_shown_once_and_kept_sealed(client, admin, site):
    source = make_source(site=site, name="utility", by=admin)
    client.force_login(admin)
    page = client.post(reverse("rules:source_secret", args=[source.pk]))
    source.refresh_from_db()
    secret = secret_of(source)
    assert secret in page.content.decode()
    assert page["Cache-Control"] == "no-store"
    assert secret not in source.sealed_secret
    assert secret not in client.get(reverse("rules:source", args=[source.pk])).content.decode()


def test_no_token_arms_a_rule_and_one_may_disarm(client, admin, rule, now, django_user_model):
    arming.was_tried(rule, content_hash=rule.content_hash, now=now)
    _, secret = make_token(name="x", scopes=["read", "write"], expires_at=now + timedelta(days=1), by=admin)
    headers = {"Authorization": f"Bearer {secret}"}
    url = f"/api/v1/curtailment/rules/{rule.pk}/"
    body = {"content_hash": rule.content_hash}
    refused = client.post(f"{url}arm/", body, content_type="application/json", headers=headers)
    assert (refused.status_code, "No token" in refused.json()["error"]["message"]) == (403, True)
    client.force_login(admin)
    assert client.post(f"{url}arm/", body, content_type="application/json").json()["armed"] is True
    again = client.post(f"{url}arm/", body, content_type="application/json")
    assert again.status_code == 409
    client.logout()
    gone = client.post(f"{url}disarm/", {}, content_type="application/json", headers=headers)
    assert gone.json()["armed"] is False
    assert client.get("/api/v1/curtailment/rules/?armed=true", headers=headers).json()["results"] == []


def test_the_admin_shows_rules_and_sources_without_secrets_and_disarms(client, admin, operator, rule, site, now):
    source = make_source(site=site, name="utility", by=admin)
    client.force_login(admin)
    client.post(reverse("rules:source_secret", args=[source.pk]))
    client.post(reverse("rules:source_token", args=[source.pk]))
    source.refresh_from_db()
    arming.was_tried(rule, content_hash=rule.content_hash, now=now)
    arming.arm(rule, content_hash=rule.content_hash, by=admin)
    client.force_login(operator)
    pages = [
        client.get(reverse("admin:curtailment_signalsource_changelist")),
        client.get(reverse("admin:curtailment_signalsource_change", args=[source.pk])),
        client.get(reverse("admin:curtailment_curtailmentrule_change", args=[rule.pk])),
        client.get(reverse("admin:curtailment_signal_changelist")),
    ]
    assert [page.status_code for page in pages] == [200] * 4
    shown = "".join(page.content.decode() for page in pages)
    assert not [hidden for hidden in (source.sealed_secret, source.token_digest, secret_of(source)) if hidden in shown]
    rules = reverse("admin:curtailment_curtailmentrule_changelist")
    assert "armed" in client.get(rules).content.decode()
    told = client.post(rules, {"action": "disarm", ACTION_CHECKBOX_NAME: [rule.pk]}, follow=True)
    assert "1 rule disarmed" in told.content.decode()
    rule.refresh_from_db()
    assert not rule.armed
