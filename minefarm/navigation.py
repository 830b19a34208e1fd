"""The admin's sidebar and dashboard: what the signed-in person may see of the whole platform."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NotRequired, TypedDict

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.access import actor
from hosting.models import Miner, OperationLog, Site
from hosting.summary import SiteLine, Summary, site_lines, summarise
from minefarm.lib.records import UNKNOWN, age

LOG_LINES = 8
SWEEP_LATE_AFTER = timedelta(minutes=3)


class Entry(TypedDict):
    """One line of the sidebar."""

    title: str
    icon: str
    link: str
    active: NotRequired[Callable[[HttpRequest], bool]]


# group: (title, material icon, permission or None for all staff, URL name)
SIDEBAR: dict[str, tuple[tuple[str, str, str | None, str], ...]] = {
    "Farm": (
        ("Dashboard", "dashboard", None, "admin:index"),
        ("Sites", "factory", "hosting.view_site", "admin:hosting_site_changelist"),
        ("Miners", "memory", "hosting.view_miner", "admin:hosting_miner_changelist"),
        ("Miner logins", "key", "hosting.view_minercredential", "admin:hosting_minercredential_changelist"),
        ("Discovered", "radar", "hosting.view_discoveredminer", "admin:hosting_discoveredminer_changelist"),
        ("Tickets", "build", "hosting.view_maintenanceticket", "admin:hosting_maintenanceticket_changelist"),
        ("Buildings", "warehouse", "hosting.view_building", "admin:hosting_building_changelist"),
        ("Racks", "view_module", "hosting.view_rack", "admin:hosting_rack_changelist"),
        ("Circuits", "electrical_services", "hosting.view_circuit", "admin:hosting_circuit_changelist"),
        ("Site tokens", "router", "hosting.view_sitetoken", "admin:hosting_sitetoken_changelist"),
        ("Model catalogue", "menu_book", "hosting.view_minermodel", "admin:hosting_minermodel_changelist"),
    ),
    "Curtailment": (
        ("Live plans", "power_settings_new", "curtailment.view_curtailment", "curtailment:plans"),
        ("Plans", "event_note", "curtailment.view_curtailmentplan", "admin:curtailment_curtailmentplan_changelist"),
        ("Rules", "rule", None, "rules:rules"),
        (
            "Rule records",
            "checklist",
            "curtailment.view_curtailmentrule",
            "admin:curtailment_curtailmentrule_changelist",
        ),
        ("Sources", "sensors", "curtailment.view_signalsource", "admin:curtailment_signalsource_changelist"),
        ("Signals", "campaign", "curtailment.view_signal", "admin:curtailment_signal_changelist"),
        ("Site policies", "policy", "curtailment.view_sitepolicy", "admin:curtailment_sitepolicy_changelist"),
        ("Tiers", "workspace_premium", "curtailment.view_minertier", "admin:curtailment_minertier_changelist"),
        ("Settlements", "receipt_long", "curtailment.view_settlement", "admin:curtailment_settlement_changelist"),
    ),
    "Telemetry": (
        ("Latest readings", "monitoring", "hosting.view_minerlatest", "admin:hosting_minerlatest_changelist"),
        ("Commands", "send", "hosting.view_commandbatch", "admin:hosting_commandbatch_changelist"),
        ("Operation log", "history", "hosting.view_operationlog", "admin:hosting_operationlog_changelist"),
        ("Retention holds", "lock_clock", "hosting.view_retentionhold", "admin:hosting_retentionhold_changelist"),
    ),
    "Alerts": (
        ("What is wrong now", "notifications", "hosting.view_alert", "hosting:alerts"),
        ("Alert rules", "rule", "hosting.view_alertrule", "admin:hosting_alertrule_changelist"),
        (
            "Maintenance windows",
            "event_busy",
            "hosting.view_maintenancewindow",
            "admin:hosting_maintenancewindow_changelist",
        ),
        ("Alert history", "notifications_paused", "hosting.view_alert", "admin:hosting_alert_changelist"),
    ),
    "Customers": (
        ("Leads", "person_search", "crm.view_lead", "admin:crm_lead_changelist"),
        ("Deals", "handshake", "crm.view_deal", "admin:crm_deal_changelist"),
        ("Activities", "history_edu", "crm.view_activity", "admin:crm_activity_changelist"),
        ("Board", "view_kanban", "crm.view_deal", "crm:deals"),
        ("Clients", "groups", "crm.view_deal", "crm:clients"),
    ),
    "Market": (
        ("Snapshots", "currency_bitcoin", "analytics.view_marketsnapshot", "admin:analytics_marketsnapshot_changelist"),
        (
            "Indicators",
            "candlestick_chart",
            "analytics.view_technicalindicator",
            "admin:analytics_technicalindicator_changelist",
        ),
    ),
    "Electricity": (("Contracts", "bolt", "analytics.view_powercontract", "admin:analytics_powercontract_changelist"),),
    "Money": (
        ("Billing", "request_quote", "crm.issue_invoice", "billing:billing"),
        ("Hosting contracts", "contract", "crm.view_contract", "admin:crm_contract_changelist"),
        ("Usage", "data_usage", "crm.view_usagesnapshot", "admin:crm_usagesnapshot_changelist"),
        ("Invoices", "receipt_long", "crm.view_invoice", "admin:crm_invoice_changelist"),
        ("Payments", "payments", "crm.view_payment", "admin:crm_payment_changelist"),
        ("Billing details", "contact_mail", "crm.view_billingdetails", "admin:crm_billingdetails_changelist"),
    ),
    "People": (
        ("Users", "group", "accounts.view_user", "admin:accounts_user_changelist"),
        ("Sign-ins", "login", "accounts.view_loginrecord", "admin:accounts_loginrecord_changelist"),
        ("Sessions", "devices", "usersessions.view_usersession", "admin:usersessions_usersession_changelist"),
        ("API tokens", "key", "accounts.view_apitoken", "admin:accounts_apitoken_changelist"),
        ("Invitations", "mail", "accounts.view_invitation", "admin:accounts_invitation_changelist"),
        ("Views as client", "visibility", "accounts.view_impersonation", "admin:accounts_impersonation_changelist"),
    ),
    "Events": (
        ("Events", "outbox", "events.view_outboxevent", "admin:events_outboxevent_changelist"),
        ("Endpoints", "webhook", "events.view_eventendpoint", "admin:events_eventendpoint_changelist"),
        ("Deliveries", "outgoing_mail", "events.view_eventdelivery", "admin:events_eventdelivery_changelist"),
    ),
    "System": (
        (
            "Beat schedule",
            "schedule",
            "django_celery_beat.view_periodictask",
            "admin:django_celery_beat_periodictask_changelist",
        ),
        ("Job runs", "update", "events.view_periodicrun", "admin:events_periodicrun_changelist"),
        ("Scheduler locks", "lock", "events.view_schedulerlock", "admin:events_schedulerlock_changelist"),
    ),
    "Portal": (
        ("Site pages", "solar_power", None, "hosting:sites"),
        ("Fleet", "grid_view", None, "hosting:fleet"),
        ("Machines", "dns", None, "hosting:miners"),
        ("Market", "currency_bitcoin", "analytics.view_marketsnapshot", "analytics:market"),
        ("Profit", "payments", "analytics.view_profit", "analytics:profit"),
        ("Invoices", "receipt", "crm.view_invoice", "invoices:invoices"),
        ("Webhooks", "webhook", "events.own_eventendpoint", "events:endpoints"),
    ),
}


def entry(name: str, icon: str, url: str) -> Entry:
    """A line; one that leads out of the admin is never where the person is, though unfold finds its path within others."""
    line = Entry(title=name, icon=icon, link=reverse(url))
    if not url.startswith("admin:"):
        line["active"] = lambda _request: False
    return line


def admin_sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups and links, without what the person may not open."""
    user = actor(request)
    groups: list[dict[str, Any]] = []
    for title, lines in SIDEBAR.items():
        items = [
            entry(name, icon, url)
            for name, icon, permission, url in lines
            if permission is None or user.has_perm(permission)
        ]
        if items:
            groups.append({"title": title, "separator": bool(groups), "items": items})
    return groups


@dataclass(frozen=True, slots=True)
class Card:
    """One figure of the dashboard; `tone` colours it: good, bad or none."""

    title: str
    value: str
    unit: str
    note: str
    link: str = ""
    tone: str = ""


def admin_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """A fixed number of queries, whatever the size of the farm."""
    user = actor(request)
    sites = site_lines(Site.objects.for_user(user))
    now = timezone.now()
    log = OperationLog.objects.for_user(user).select_related("miner", "performed_by")
    return {
        **context,
        "title": "Dashboard",
        "cards": cards(summarise(Miner.objects.for_user(user)), sites, now),
        "sites": [
            {**site, "active_percent": share(site["active_miners"], site["total_miners"]), "swept": swept(site, now)}
            for site in sites
        ],
        "log": [(entry, age(entry.timestamp, now)) for entry in log[:LOG_LINES]],
    }


def cards(farm: Summary, sites: list[SiteLine], now: datetime) -> list[Card]:
    miners = reverse("admin:hosting_miner_changelist")
    apart = farm["maintenance"] + farm["curtailed"]
    ths, power_kw = farm["hashrate_ths"], farm["power_kw"]
    minutes = [site["sweep"].minute for site in sites if site["sweep"]]
    oldest = min(minutes, default=None)  # the site that waits longest tells whether the collector keeps up
    late = oldest is None or now - oldest > SWEEP_LATE_AFTER
    return [
        Card("Machines", f"{farm['miners']:,}", "", f"{apart:,} in maintenance or curtailed", miners),
        Card(
            "Online",
            f"{farm['active']:,}",
            "",
            percent(farm["active"], farm["miners"]),
            f"{miners}?status__exact=active",
            "good",
        ),
        Card(
            "Offline",
            f"{farm['offline']:,}",
            "",
            percent(farm["offline"], farm["miners"]),
            f"{miners}?status__exact=offline",
            "bad" if farm["offline"] else "",
        ),
        Card("Hashrate", UNKNOWN if ths is None else f"{ths:,.0f}", "TH/s", "read in the last 5 minutes"),
        Card(
            "Power",
            UNKNOWN if power_kw is None else f"{power_kw / 1000:,.3f}",
            "MW",
            "in part estimated" if farm["power_estimated"] else "at the wall",
        ),
        Card(
            "Last sweep",
            age(oldest, now),
            "",
            "beat or the worker may be down" if late else f"{len(minutes)} of {len(sites)} sites swept",
            tone="bad" if late else "good",
        ),
    ]


def share(part: int, whole: int) -> int | None:
    return 100 * part // whole if whole else None


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % of all" if whole else "no machines yet"


def swept(site: SiteLine, now: datetime) -> str:
    sweep = site["sweep"]
    return age(sweep.minute if sweep else None, now)
