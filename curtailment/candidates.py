"""What could be stopped at a site in a stretch of time, and why the rest could not. A few queries, however many machines."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

from django.db import connection

from curtailment.models import SitePolicy
from curtailment.selection import Candidate
from curtailment.states import Priority
from curtailment.worth import Worth
from hosting.commands.barred import barred
from hosting.control.factory import make_of
from hosting.credentials import login_for
from hosting.models import Site
from hosting.states import MinerStatus

GOOD_READINGS = 10
READ_WITHIN = timedelta(minutes=15)  # ten readings and some that went missing
STALE_AFTER = timedelta(minutes=5)
CGMINER_PORT = 4028
NEED_LOGIN = {"Antminer", "Whatsminer", "VNish"}  # to be stopped; Avalon, LuxOS and Braiins OS take it without
RANKS = {Priority.NORMAL: 0, Priority.HIGH: 1, Priority.EMERGENCY: 2}
WARM_UP_MIN = {"Whatsminer": 26}  # "Hash Stable Cost Seconds" of a real one; most others take five to ten minutes

# One row per machine. The baseline is the median of its newest good readings; where a sweep began only lately, of fewer.
MACHINES = """
WITH readings AS (
    SELECT t.miner_id, t.power_consumption AS power_w, t.hashrate,
        row_number() OVER (PARTITION BY t.miner_id ORDER BY t.recorded_at DESC) AS newest
    FROM miner_telemetry t JOIN hosting_miners m ON m.id = t.miner_id
    WHERE t.recorded_at > %(since)s AND t.recorded_at <= %(now)s AND m.site_id = %(site)s
        AND t.power_consumption > 0 AND t.hashrate > 0
), baselines AS (
    SELECT miner_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY power_w)::numeric(10, 2) AS power_w,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY hashrate)::numeric(10, 2) AS hashrate_ths
    FROM readings WHERE newest <= %(good)s GROUP BY miner_id
), claims AS (
    SELECT DISTINCT ON (target.miner_id) target.miner_id, plan.id AS plan_id, plan.priority, upper(target.window) AS until,
        target.baseline_w, target.hashrate_ths
    FROM curtailment_plan_miners target JOIN curtailment_plans plan ON plan.id = target.plan_id
    WHERE plan.site_id = %(site)s AND target.live AND target.role = 'selected' AND plan.id IS DISTINCT FROM %(but)s
        AND target.window && tstzrange(%(starts_at)s, %(ends_at)s)
    ORDER BY target.miner_id, upper(target.window) DESC
), asleep AS (
    SELECT DISTINCT ON (target.miner_id) target.miner_id, target.baseline_w, target.hashrate_ths
    FROM curtailment_plan_miners target JOIN curtailment_plans plan ON plan.id = target.plan_id
    WHERE plan.site_id = %(site)s AND target.live AND target.role <> 'reserve' AND target.state NOT IN ('done', 'released')
        AND upper(target.window) <= %(starts_at)s
    ORDER BY target.miner_id, upper(target.window) DESC
), rests AS (
    SELECT target.miner_id, max(target.ended_at) AS back_at
    FROM curtailment_plan_miners target JOIN curtailment_plans plan ON plan.id = target.plan_id
    WHERE plan.site_id = %(site)s AND target.restoring_at IS NOT NULL AND target.ended_at > %(rested)s
    GROUP BY 1
)
SELECT m.id, m.serial_number, m.status, m.client_id, COALESCE(own.tier, theirs.tier, 'standard'), m.rack_id, feed.circuit_id,
    latest.seen_at, latest.power_w, latest.hashrate_ths, b.power_w, b.hashrate_ths,
    identity.make, identity.model, identity.firmware, model.manufacturer, model.name, host(m.cgminer_ip::inet), m.cgminer_port,
    claims.plan_id, claims.priority, claims.until, claims.baseline_w, claims.hashrate_ths,
    asleep.baseline_w, asleep.hashrate_ths, rests.back_at,
    EXISTS (SELECT FROM miner_commands c WHERE c.miner_id = m.id AND c.status IN ('queued', 'sent', 'accepted'))
FROM hosting_miners m
LEFT JOIN miner_latest latest ON latest.miner_id = m.id
LEFT JOIN miner_identity identity ON identity.miner_id = m.id
LEFT JOIN miner_models model ON model.id = m.miner_model_id
LEFT JOIN baselines b ON b.miner_id = m.id
LEFT JOIN curtailment_tiers own ON own.miner_id = m.id
LEFT JOIN curtailment_tiers theirs ON theirs.client_id = m.client_id
LEFT JOIN LATERAL (SELECT min(circuit_id) AS circuit_id FROM hosting_rack_circuits WHERE rack_id = m.rack_id) feed ON true
LEFT JOIN claims ON claims.miner_id = m.id
LEFT JOIN asleep ON asleep.miner_id = m.id AND m.status = 'curtailed'
LEFT JOIN rests ON rests.miner_id = m.id
WHERE m.site_id = %(site)s AND m.retired_at IS NULL
ORDER BY m.id
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A machine that another plan keeps off at first, and this one after it; its kilowatts count for the other."""

    candidate: Candidate
    plan_id: int


@dataclass(frozen=True, slots=True)
class Field:
    """The site's machines as a plan finds them; `serials` of all, `left_out` with the reason for people."""

    candidates: list[Candidate]
    held: list[Held]
    left_out: dict[int, str]
    serials: dict[int, str]
    baselines: dict[int, Decimal]
    hashrates: dict[int, Decimal]
    hashprice: Decimal | None
    hashprice_at: datetime | None
    price_per_kwh: Decimal | None


def field_of(
    site: Site,
    starts_at: datetime,
    ends_at: datetime,
    *,
    now: datetime,
    priority: str = Priority.NORMAL,
    but_plan: int | None = None,
) -> Field:
    """Machines that could be stopped from `starts_at` to `ends_at` as they are `now`; `but_plan`'s own claims do not count."""
    policy = SitePolicy.of(site)
    with connection.cursor() as cursor:
        cursor.execute(
            MACHINES,
            {
                "site": site.pk,
                "now": now,
                "since": now - READ_WITHIN,
                "good": GOOD_READINGS,
                "starts_at": starts_at,
                "ends_at": ends_at,
                "but": but_plan,
                "rested": starts_at - timedelta(minutes=policy.cool_down_minutes),
            },
        )
        rows = [Row(*row) for row in cursor.fetchall()]
    worth = Worth.at(site, now)
    found = Field(
        candidates=[],
        held=[],
        left_out={},
        serials={row.pk: row.serial for row in rows},
        baselines={},
        hashrates={},
        hashprice=worth.hashprice,
        hashprice_at=worth.hashprice_at,
        price_per_kwh=worth.price_per_kwh,
    )
    ids = [row.pk for row in rows]
    kept_out, logins = barred(ids), login_for(ids)
    for row in rows:
        holder = row.held_by(starts_at, ends_at, priority)
        why = None if holder else row.why_not(now, kept_out, has_login=row.pk in logins)
        if why:
            found.left_out[row.pk] = why
            continue
        candidate = row.candidate(worth, held=holder is not None)
        found.baselines[row.pk], found.hashrates[row.pk] = row.measured(held=holder is not None)
        if holder:
            found.held.append(Held(candidate, holder))
        else:
            found.candidates.append(candidate)
    return found


@dataclass(frozen=True, slots=True)
class Row:
    """A row of MACHINES."""

    pk: int
    serial: str
    status: str
    client_id: UUID | None
    tier: str
    rack_id: int | None
    circuit_id: int | None
    seen_at: datetime | None
    power_w: Decimal | None
    hashrate_ths: Decimal | None
    baseline_w: Decimal | None
    baseline_ths: Decimal | None
    make: str | None
    model: str | None
    firmware: str | None
    manufacturer: str | None
    model_name: str | None
    host: str | None
    port: int
    claimed_by: int | None
    claim_priority: str | None
    claimed_until: datetime | None
    claim_w: Decimal | None
    claim_ths: Decimal | None
    asleep_w: Decimal | None
    asleep_ths: Decimal | None
    back_at: datetime | None
    commanded: bool

    def held_by(self, starts_at: datetime, ends_at: datetime, priority: str) -> int | None:
        """The plan that keeps it off at first, where this one is of higher priority and lasts longer."""
        if self.claimed_by is None or self.claimed_until is None or self.claimed_until >= ends_at:
            return None
        higher = RANKS[Priority(priority)] > RANKS[Priority(self.claim_priority or Priority.NORMAL)]
        return self.claimed_by if higher and starts_at < self.claimed_until else None

    def why_not(self, now: datetime, kept_out: Mapping[int, str], *, has_login: bool) -> str | None:
        """The first reason for which it cannot be stopped."""
        told = kept_out.get(self.pk)
        reasons = (
            (self.claimed_by is not None, f"plan {self.claimed_by} stops it in that time"),
            (told is not None, told),
            (self.commanded, "another command to it is under way"),
            (True, self.not_measured(now)),
            (self.back_at is not None, "it rests after the last plan"),
            (True, self.not_commanded(has_login=has_login)),
        )
        return next((why for is_so, why in reasons if is_so and why), None)

    def not_measured(self, now: datetime) -> str | None:
        """Why its baseline is not known; that of a machine which wakes before this plan begins is its plan's."""
        if self.status == MinerStatus.CURTAILED:
            return None if self.asleep_w else "it is curtailed already"
        if self.seen_at is None:
            return "it has never answered"
        if now - self.seen_at > STALE_AFTER:
            return "it does not answer"
        if self.hashrate_ths is not None and self.hashrate_ths <= 0:
            return "it does not hash: stopping it saves nothing that counts"
        return None if self.power_w and self.hashrate_ths and self.baseline_w else "its power is not known"

    def not_commanded(self, *, has_login: bool) -> str | None:
        """Why no order would reach it; who tells nothing of its make is asked when it is stopped."""
        make = self.made_by()
        if make is None:
            told = self.make or self.manufacturer or self.model or self.model_name or self.firmware
            return "MineFarm cannot command its firmware" if told and self.port == CGMINER_PORT else None
        return "no login is known for it: add one (Miner logins)" if make in NEED_LOGIN and not has_login else None

    def made_by(self) -> str | None:
        return make_of(make=self.make or self.manufacturer, model=self.model or self.model_name, firmware=self.firmware)

    def measured(self, *, held: bool) -> tuple[Decimal, Decimal]:
        """Baseline in W and TH/s: of the plan that keeps it off, or its own."""
        own = (self.asleep_w, self.asleep_ths) if self.asleep_w else (self.baseline_w, self.baseline_ths)
        pair = (self.claim_w, self.claim_ths) if held else own
        return pair[0] or Decimal(), pair[1] or Decimal()

    def candidate(self, worth: Worth, *, held: bool) -> Candidate:
        power_w, hashrate_ths = self.measured(held=held)
        return Candidate(
            miner_id=self.pk,
            baseline_w=float(power_w),
            hashrate_ths=float(hashrate_ths),
            client_id=str(self.client_id) if self.client_id else None,
            margin_usd_per_h=worth.margin_usd_per_h(power_w, hashrate_ths),
            tier=self.tier,
            rack_id=self.rack_id,
            circuit_id=self.circuit_id,
            warm_up_min=WARM_UP_MIN.get(self.made_by() or "", 10),
        )


@lru_cache(maxsize=1024)
def _make_of(make: str | None, model: str | None, firmware: str | None) -> str | None:
    """A farm has few makes, and names of them are searched word by word."""
    return make_of(make=make, model=model, firmware=firmware)


# What was borne: measured by settlements, and of plans that are not settled yet what they planned.
BORNE = """
SELECT client_id, sum(kwh)::float8 FROM (
    SELECT client_id, kwh_avoided AS kwh FROM miner_excused_stretches
    WHERE site_id = %(site)s AND starts_at > %(since)s AND kwh_avoided IS NOT NULL
    UNION ALL
    SELECT target.client_id,
        target.baseline_w / 1000 * extract(epoch FROM COALESCE(target.ended_at, %(now)s) - target.confirmed_at) / 3600
    FROM curtailment_plan_miners target JOIN curtailment_plans plan ON plan.id = target.plan_id
    WHERE plan.site_id = %(site)s AND target.confirmed_at > %(since)s AND plan.recovery_state <> 'recovered'
) AS parts GROUP BY client_id
"""


def borne_kwh(site: Site, now: datetime, *, days: int = 30) -> dict[str | None, float]:
    """kWh that each client's machines at the site were kept from drawing in the last days; None is the farm itself."""
    with connection.cursor() as cursor:
        cursor.execute(BORNE, {"site": site.pk, "now": now, "since": now - timedelta(days=days)})
        return {str(client) if client else None: kwh for client, kwh in cursor.fetchall()}


def unknown(listed: Collection[int], found: Field) -> list[int]:
    """Ids that are no machines of the site."""
    return sorted(set(listed) - set(found.serials))
