"""What the API sends of each resource, as plain dicts: one query each, no model objects on the way.

A list of 100 machines costs a tenth of what serializer objects would; the serializers describe the same rows to the schema,
and a test holds the two together.
"""

from typing import Any

from django.db.models import FloatField, QuerySet
from django.db.models.functions import Cast

from hosting.models import Miner, MinerModel, Site

Flat = dict[str, Any]

LATEST = (
    "hashrate_ths",
    "hashrate_avg_ths",
    "power_w",
    "power_estimated",
    "temperature_c",
    "fan_rpm",
    "uptime_s",
    "accepted",
    "rejected",
    "hardware_errors",
    "seen_at",
    "error",
)
LATEST_DECIMALS = ("hashrate_ths", "hashrate_avg_ths", "power_w", "temperature_c")
# From column of the joined query to key of the row, made once: the loop over 100 rows is the list's whole cost.
LATEST_KEYS = tuple((key, f"{key}_number" if key in LATEST_DECIMALS else f"latest__{key}") for key in LATEST)
MINER_OPEN = ("id", "serial_number", "status", "purchase_date", "warranty_expiry", "created_at", "updated_at")
MINER_STAFF = ("cgminer_ip", "cgminer_port", "cgminer_enabled")
MINER_OWNER = ("client_id", "client__email")
MINER_JOINED = (
    *("miner_model_id", "miner_model__name", "miner_model__manufacturer", "site_id", "site__name"),
    "latest__attempted_at",
    *(column for _, column in LATEST_KEYS if column.startswith("latest__")),
)


# Told of one machine and not in lists.
DETAIL = ("error_codes", "pool_url", "pool_worker", "boards")
DETAIL_DECIMALS = ("board_temperature_c", "inlet_temperature_c")


def miner_values(miners: QuerySet[Miner], *, staff: bool, details: bool = False) -> QuerySet[Miner, Flat]:
    decimals = (*LATEST_DECIMALS, *DETAIL_DECIMALS) if details else LATEST_DECIMALS
    numbers = {f"{key}_number": Cast(f"latest__{key}", FloatField()) for key in decimals}
    columns = (*MINER_OPEN, *MINER_JOINED, *((*MINER_STAFF, *MINER_OWNER) if staff else ()))
    if details:
        columns = (*columns, "latest__details_at", *(f"latest__{key}" for key in DETAIL))
    flat: QuerySet[Miner, Flat] = miners.values(*columns, **numbers)
    return flat


def miner_row(flat: Flat, *, staff: bool) -> dict[str, Any]:
    """One machine. Addresses and the owner are for staff; `latest` is null until the first sweep."""
    row = {key: flat[key] for key in MINER_OPEN}
    row["model"] = flat["miner_model_id"] and {
        "id": flat["miner_model_id"],
        "name": flat["miner_model__name"],
        "manufacturer": flat["miner_model__manufacturer"],
    }
    row["site"] = flat["site_id"] and {"id": flat["site_id"], "name": flat["site__name"]}
    row["latest"] = flat["latest__attempted_at"] and {key: flat[column] for key, column in LATEST_KEYS}
    if staff:
        row["client"] = flat["client_id"] and {"id": flat["client_id"], "email": flat["client__email"]}
        row |= {key: flat[key] for key in MINER_STAFF}
    return row


def details_row(flat: Flat) -> dict[str, Any] | None:
    if flat["latest__details_at"] is None:
        return None
    row = {"read_at": flat["latest__details_at"]} | {key: flat[f"{key}_number"] for key in DETAIL_DECIMALS}
    return row | {key: flat[f"latest__{key}"] for key in DETAIL}


SITE_OPEN = ("id", "name", "location")
SITE_STAFF = ("total_miners", "active_miners", "created_at")


def site_values(sites: QuerySet[Site], *, staff: bool) -> QuerySet[Site, Flat]:
    numbers = {"capacity_number": Cast("capacity_mw", FloatField())} if staff else {}
    flat: QuerySet[Site, Flat] = sites.values(*SITE_OPEN, *(SITE_STAFF if staff else ()), **numbers)
    return flat


def site_row(flat: Flat, *, staff: bool) -> dict[str, Any]:
    row = {key: flat[key] for key in SITE_OPEN}
    if staff:
        row["capacity_mw"] = flat["capacity_number"]
        row |= {key: flat[key] for key in SITE_STAFF}
    return row


MODEL_PLAIN = ("id", "name", "manufacturer", "release_date")
MODEL_DECIMALS = {
    "hashrate_ths": "hashrate",
    "power_w": "power_consumption",
    "efficiency_j_th": "efficiency",
    "msrp_usd": "msrp",
}


def model_values(models: QuerySet[MinerModel]) -> QuerySet[MinerModel, Flat]:
    numbers = {key: Cast(column, FloatField()) for key, column in MODEL_DECIMALS.items()}
    flat: QuerySet[MinerModel, Flat] = models.values(*MODEL_PLAIN, **numbers)
    return flat
