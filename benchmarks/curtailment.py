"""How long a plan of thousands takes until every machine that can be reached was measured to be off.

6,000 simulated machines, 5 % dead, 2 % that say yes and go on; nine in ten selected, the rest in reserve. Goal: 120 s.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from _farm import ROOT, report, setup_django, throwaway_database

GOAL_S, PATIENCE_S = 120.0, 300.0
MAKES = ("Whatsminer=5", "Braiins OS=2", "LuxOS=2")
HOST = "127.111.0.1"
MANAGE = [sys.executable, str(ROOT / "manage.py")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--miners", type=int, default=6000)
    parser.add_argument("--dead", type=float, default=0.05)
    parser.add_argument("--liars", type=float, default=0.02)
    parser.add_argument("--speed", type=float, default=1.0, help="of the machines' own time")
    options = parser.parse_args()
    os.environ["MINEFARM_FACTORY_LOGINS"] = "1"
    setup_django()
    with throwaway_database():
        met = measure(options)
    return 0 if met else 1


def measure(options: argparse.Namespace) -> bool:
    from django.db import connection

    from hosting.cgminer.simulator import build_farm, parse_make
    from hosting.models import Miner, Site
    from hosting.simulation import register_simulated
    from tests.curtailment.plans_at_hand import approved_plan, hash_now

    faults = {"refuse": options.dead, "ignores": options.liars}
    makes = dict(map(parse_make, MAKES))
    built = build_farm(options.miners, host=HOST, faults=faults, makes=makes, web_port=0)
    site = Site.objects.create(name="bench")
    register_simulated(built, site=site)
    order = {one.serial: one for one in built}
    miners = list(Miner.objects.select_related("miner_model").order_by("pk"))
    hash_now(miners)
    selected = miners[: options.miners * 9 // 10]
    reserves = miners[options.miners * 9 // 10 :]
    reachable = {one.pk for one in selected if order[one.serial_number].fault is None}
    url = os.environ["DATABASE_URL"].rpartition("/")[0] + "/" + str(connection.settings_dict["NAME"])
    flags = [word for name, share in faults.items() for word in ("--fault", f"{name}={share}")]
    flags += [word for make in MAKES for word in ("--make", make)]
    fleet = [*MANAGE, "simulate_fleet", "--json", "--miners", str(options.miners), "--host", HOST, "--web-port", "0"]
    with subprocess.Popen([*fleet, "--speed", str(options.speed), *flags], stdout=subprocess.PIPE, cwd=ROOT) as farm:
        try:
            assert farm.stdout.readline(), "the simulator did not start"
            target = sum(one.miner_model.power_consumption for one in selected) / 1_000_000
            plan = approved_plan(site, selected, reserves=reserves, target_mw=target, seconds=3600)
            runner = subprocess.Popen(
                [*MANAGE, "run_curtailment", "--loop"],
                env=os.environ | {"DATABASE_URL": url, "LOG_LEVEL": "ERROR"},
                cwd=ROOT,
            )
            try:
                return watch(plan, reachable, options)
            finally:
                runner.kill()
                runner.wait()
        finally:
            farm.kill()
            farm.wait()


def watch(plan: object, reachable: set[int], options: argparse.Namespace) -> bool:
    from curtailment.models import CurtailmentPlan, PlanMiner
    from curtailment.verify import breaches
    from tests.curtailment.plans_at_hand import states

    started = time.monotonic()
    rows = PlanMiner.objects.filter(plan=plan)
    took_s, settled_s, told = None, None, 0.0
    while time.monotonic() < started + PATIENCE_S and settled_s is None:
        time.sleep(1)
        waited_s = time.monotonic() - started
        missing = len(reachable) - rows.filter(miner__in=reachable, state="confirmed").count()
        if missing == 0 and took_s is None:
            took_s = waited_s
        fresh = CurtailmentPlan.objects.get(pk=plan.pk)
        if took_s is not None and fresh.status == "executed":
            settled_s = waited_s
        if waited_s > told + 10:
            told = waited_s
            print(json.dumps({"s": round(waited_s), "missing": missing, **states(plan)}), file=sys.stderr, flush=True)
    fresh, equal = between_passes(plan)
    facts = {
        "miners": options.miners,
        "reachable": len(reachable),
        "states": states(plan),
        "replaced": rows.filter(role="selected").count() - options.miners * 9 // 10,
        "executed_s": settled_s and round(settled_s, 1),
        "power_reduced_mw": float(fresh.power_reduced or 0),
        "power_estimated_mw": float(fresh.power_estimated or 0),
        "shortfall_mw": float(fresh.shortfall or 0),
        "target_mw": float(fresh.target_power_reduction),
        "sum_equal": equal,
        "breaches": len(breaches()),
    }
    met = report("s_to_all_confirmed", value=took_s or PATIENCE_S, goal=GOAL_S, **facts)
    return met and facts["sum_equal"] and not facts["breaches"]


def between_passes(plan: object) -> tuple[object, bool]:
    """The plan, and whether its measured reduction is the sum over its machines; a pass writes machines first, then the plan."""
    from django.db.models import F, OuterRef, Subquery, Sum

    from curtailment.models import CurtailmentPlan, PlanMiner

    off = PlanMiner.objects.filter(plan=OuterRef("pk"), role="selected", state="confirmed", observed_w__isnull=False)
    summed = off.order_by().values("plan").annotate(w=Sum(F("baseline_w") - F("observed_w"))).values("w")
    until = time.monotonic() + 30
    while True:
        fresh = CurtailmentPlan.objects.annotate(summed_w=Subquery(summed)).get(pk=plan.pk)
        equal = abs(float(fresh.summed_w or 0) / 1e6 - float(fresh.power_reduced or 0)) < 1e-5
        if equal or time.monotonic() > until:
            return fresh, equal
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
