"""What a plan comes to, in kW, TH/s and money, as the person who approves it is shown. Pure reckoning over a selection."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from math import ceil
from typing import Any

from analytics.hashprice import DAY_H, TH_PER_PH, W_PER_KW
from curtailment.models import SitePolicy
from curtailment.selection import Candidate, Selection

LISTED_REASONS = 500  # machines left out that are named; all of them are counted
MW = Decimal(1_000_000)
CENT = Decimal("0.01")


def preview(
    selection: Selection,
    *,
    held: int,
    left_out: Mapping[int, str],
    serials: Mapping[int, str],
    clients: Mapping[str, str],
    hashprice: Decimal | None,
    hashprice_at: datetime | None,
    price_per_kwh: Decimal | None,
    minutes: int,
    policy: SitePolicy,
) -> dict[str, Any]:
    """As JSON: numbers of kW and TH/s, money as text of decimals, None where a price or the market is not known.

    `hashprice` in USD per PH/s and day after the pool's fee. `minutes` is how long the plan lasts.
    """
    kw = _decimal(selection.power_w / W_PER_KW)
    ths = _decimal(selection.hashrate_ths)
    saved = None if price_per_kwh is None else kw * price_per_kwh
    forgone = None if hashprice is None else hashprice * ths / TH_PER_PH / DAY_H
    ramp = _decimal(sum(one.hashrate_ths * one.warm_up_min for one in selection.chosen) / 60)
    restart = None if hashprice is None else hashprice * ramp / TH_PER_PH / DAY_H
    return {
        "machines": len(selection.chosen),
        "reserve": len(selection.reserve),
        "held": held,
        "power_kw": float(kw),
        "hashrate_ths": float(ths),
        "shortfall_kw": round(selection.shortfall_w / W_PER_KW, 3),
        "overshoot_kw": round(selection.overshoot_w / W_PER_KW, 3),
        "price_usd_per_mwh": None if price_per_kwh is None else str((price_per_kwh * 1000).quantize(CENT)),
        "hashprice_usd_per_ph_day": _money(hashprice),
        "hashprice_at": None if hashprice_at is None else hashprice_at.isoformat(),
        "saved_usd_per_h": _money(saved),
        "forgone_usd_per_h": _money(forgone),
        "restart_usd": _money(restart),
        "pays_after_minutes": pays_after(saved, forgone, restart),
        "worth_usd": _money(_worth(saved, forgone, restart, minutes)),
        "up_minutes": up_minutes(selection, policy),
        "clients": _by_client(selection.chosen, clients),
        "left_out": dict(Counter(left_out.values()).most_common()),
        "left_out_machines": [[serials[pk], why] for pk, why in sorted(left_out.items())[:LISTED_REASONS]],
    }


def pays_after(saved: Decimal | None, forgone: Decimal | None, restart: Decimal | None) -> int | None:
    """Minutes that it must last for the savings to cover the restart; None where it never does, or nobody knows."""
    if saved is None or forgone is None or restart is None or saved <= forgone:
        return None
    return ceil(restart * 60 / (saved - forgone))


def up_minutes(selection: Selection, policy: SitePolicy) -> int:
    """How long waking takes in the site's waves, the last machine's warming up included."""
    machines = len(selection.chosen)
    wave = policy.wake_wave or min(100, max(10, -(-2 * machines // 100)))
    waves_s = max(0, -(-machines // wave) - 1) * policy.wake_every_s
    limit_s = float(selection.power_w / 1e6 / float(policy.up_mw_per_min) * 60) if policy.up_mw_per_min else 0.0
    return round(max(waves_s, limit_s) / 60) + round(max((one.warm_up_min for one in selection.chosen), default=0))


def _worth(saved: Decimal | None, forgone: Decimal | None, restart: Decimal | None, minutes: int) -> Decimal | None:
    if saved is None or forgone is None or restart is None:
        return None
    return (saved - forgone) * minutes / 60 - restart


def _by_client(chosen: Iterable[Candidate], clients: Mapping[str, str]) -> list[dict[str, Any]]:
    counts: Counter[str] = Counter()
    watts: dict[str, float] = {}
    for one in chosen:
        name = clients.get(one.client_id or "", "the farm")
        counts[name] += 1
        watts[name] = watts.get(name, 0.0) + one.baseline_w
    return [
        {"client": name, "machines": counts[name], "power_kw": round(watts[name] / W_PER_KW, 3)}
        for name in sorted(watts, key=lambda name: (-watts[name], name))
    ]


def _decimal(number: float) -> Decimal:
    return Decimal(str(round(number, 3)))


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount.quantize(CENT))
