"""Mark every text of one customer's rows, whatever tables there are, so that a leak anywhere can be recognised."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import DataError, IntegrityError, connection, models, transaction
from django.db.models import Q
from django.utils import timezone

OURS = {"accounts", "events", "hosting", "analytics", "curtailment", "crm"}
# Found by searching for the word, recognised by the number: an echo of the search is no leak.
WORD = "CANARY-B"
NUMBER = "5b1f6c0e9d"
FIGURE = 4321.77
APPEND_ONLY = {
    *("impersonations", "login_records", "crm_invoices", "crm_invoice_lines", "crm_payments"),
    *("crm_usage_snapshots", "crm_usage_days", "curtailment_plan_events", "curtailment_approvals"),
    *("curtailment_settlements", "curtailment_settlement_clients", "curtailment_settlement_miners"),
    "curtailment_settlement_intervals",
}
# Where the first of the choices, or the plainest value, does not go with the other columns.
CHOSEN: dict[str, Any] = {
    "login_records.outcome": "bad_password",
    # Issued: a draft is nothing that its client could see.
    "crm_invoices.net": 1,
    "crm_invoices.status": "sent",
    "crm_invoices.issue_date": date(2026, 11, 1),
    "crm_invoices.due_date": date(2026, 11, 15),
    "crm_invoices.content_hash": "x",
    # A rule approves its own plan; a person could not.
    "curtailment_plans.plan_type": "automatic",
    "curtailment_approvals.kind": "rule",
}
# One of two owners is given.
LEFT_EMPTY = {"miner_credentials.site_id", "curtailment_tiers.miner_id", "crm_invoices.reverses_id"}
TEXTS = (models.CharField, models.TextField, models.JSONField, ArrayField)
OWNED_BY_NAME = {"client_id", "owner_id", "user_id", "customer_id"}


def owned(model: type[models.Model], person: Any) -> Q | None:
    """Which rows are the person's: by a reference to them or to a thing of theirs; None for tables of nobody's."""
    if model._meta.label == "accounts.User":
        return Q(pk=person.pk)
    # The nearest owner counts: a machine at a site that two share is its client's alone.
    for nearness in RELATED:
        found = Q()
        for field in model._meta.concrete_fields:
            if field.is_relation and field.related_model._meta.label in nearness:
                found |= Q(**{f"{field.name}{nearness[field.related_model._meta.label]}": person.pk})
            elif not field.is_relation and "accounts.User" in nearness and field.attname in OWNED_BY_NAME:
                found |= Q(**{field.attname: person.pk})
        if found:
            return found
    return None


RELATED = (
    {"accounts.User": ""},
    {
        "curtailment.CurtailmentPlan": "__created_by",
        "hosting.Miner": "__client",
        "events.EventEndpoint": "__owner_id",
        "events.OutboxEvent": "__client_id",
    },
    {"hosting.Site": "__miners__client"},
)


def our_models() -> list[type[models.Model]]:
    """Concrete, managed models of this project and of allauth's accounts; parents before children."""
    return [
        model
        for model in apps.get_models()
        if (model._meta.app_label in OURS or model._meta.label == "account.EmailAddress") and model._meta.managed
    ]


def plant(person: Any, ready: dict[type[models.Model], models.Model]) -> dict[str, int]:
    """Give the person a row in every table that can have one, and mark its texts; marked columns by table.

    `ready` are rows made by hand, which others refer to.
    """
    planted: dict[str, int] = {}
    models_owned = [model for model in our_models() if owned(model, person) is not None or model in ready]
    for model in models_owned:
        rows = _rows(model, person, ready)
        if not rows.exists():
            with written_over(model._meta.db_table):
                _make(model, person, ready)
    for model in models_owned:
        with written_over(model._meta.db_table):
            planted[model._meta.db_table] = _mark(model, _rows(model, person, ready))
    return planted


@contextmanager
def written_over(table: str) -> Iterator[None]:
    """Tables that are only ever appended to can be marked meanwhile."""
    if table in APPEND_ONLY:
        _triggers(table, "DISABLE")
    yield
    if table in APPEND_ONLY:
        _triggers(table, "ENABLE")


def _triggers(table: str, verb: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {table} {verb} TRIGGER USER")


def _rows(model: type[models.Model], person: Any, ready: dict[type[models.Model], models.Model]) -> models.QuerySet:
    theirs = owned(model, person)
    wanted = theirs if theirs is not None else Q(pk=ready[model].pk)
    if model in ready:
        wanted |= Q(pk=ready[model].pk)
    return model._base_manager.filter(pk__in=list(model._base_manager.filter(wanted).values_list("pk", flat=True)))


def _make(model: type[models.Model], person: Any, ready: dict[type[models.Model], models.Model]) -> None:
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.primary_key and field.get_internal_type().endswith("AutoField"):
            continue
        if field.get_internal_type() == "CompositePrimaryKey":
            continue
        if f"{model._meta.db_table}.{field.column}" in LEFT_EMPTY:
            continue
        named = f"{model._meta.db_table}.{field.column}"
        values[field.attname] = CHOSEN[named] if named in CHOSEN else _value(field, person, ready)
    with transaction.atomic():
        model._base_manager.create(**{key: value for key, value in values.items() if value is not ...})


def _value(field: models.Field, person: Any, ready: dict[type[models.Model], models.Model]) -> Any:
    if field.is_relation or field.attname == "site_id":
        kind = field.related_model or apps.get_model("hosting", "Site")
        row = person if kind is type(person) else ready.get(kind) or kind._base_manager.order_by("-pk").first()
        return row.pk if row else None
    if field.attname in OWNED_BY_NAME:
        return person.pk
    if field.attname == "site_id":  # of a layer below hosting: the reference is the database's alone
        return apps.get_model("hosting", "Site")._base_manager.order_by("-pk").values_list("pk", flat=True).first()
    if field.has_default() or field.has_db_default():
        return ...
    if field.choices:
        return field.choices[0][0]
    return None if field.null else _plain(field)


def _plain(field: models.Field) -> Any:
    kind = field.get_internal_type()
    if kind == "DateTimeField":
        # What ends after it starts does so here too.
        ends = field.attname in {"ends_at", "recovery_time", "off_until"}
        return timezone.now() - timedelta(hours=0 if ends else 1)
    if kind == "DateTimeRangeField":
        return (timezone.now() - timedelta(hours=1), timezone.now())
    if kind == "DateField":
        return timezone.now().date()
    if kind in {"CharField", "TextField", "EmailField"}:
        return f"{field.attname}-b"
    return {"BooleanField": False, "JSONField": {}, "GenericIPAddressField": "192.0.2.9"}.get(kind, 1)


def _mark(model: type[models.Model], rows: models.QuerySet) -> int:
    """Columns in which every row now holds the mark."""
    fields = [field for field in model._meta.concrete_fields if isinstance(field, TEXTS)]
    fields = [field for field in fields if not field.choices and not field.is_relation]
    keys = list(rows.values_list("pk", flat=True))
    return sum(all(_marked(model, field, key, number) for number, key in enumerate(keys)) for field in fields)


def _marked(model: type[models.Model], field: models.Field, key: object, number: int) -> bool:
    # The row's number first: many texts must differ between rows.
    text = f"{WORD} {NUMBER} {number} {model._meta.db_table}.{field.column}"[: field.max_length]
    value: object = text
    if isinstance(field, ArrayField):
        value = [text]
    elif isinstance(field, models.JSONField):
        value = {text: text}
    if NUMBER not in text:
        return False
    try:
        with transaction.atomic():
            return bool(model._base_manager.filter(pk=key).update(**{field.attname: value}))
    except (IntegrityError, DataError, ValueError, TypeError):
        return False  # a CHECK or the type knows what may stand there
