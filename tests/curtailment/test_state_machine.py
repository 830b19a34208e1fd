"""Whatever people, passes, crashes and time do to plans, in whatever order: what must hold holds, and all machines come back.

Real machines of the simulator over TCP, the real passes, and a clock that jumps.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase as Phase_, settings as configuration, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from curtailment.drafting import WrongPlan
from curtailment.lifecycle import approve_plan, cancel_plan, extend_plan
from curtailment.models import CurtailmentPlan, PlanMiner, SitePolicy
from curtailment.overrides import freeze_site, hand_over, release_miner, restore_now, restore_site, unfreeze_site
from curtailment.passes import faults, measuring, run_pass, running
from curtailment.planning import edit_plan
from curtailment.refusals import REFUSED
from curtailment.states import UNRECOVERED, PlanStatus
from curtailment.verify import breaches
from hosting.cgminer.simulator import Phase, SimulatedFarm, build_farm
from hosting.models import MaintenanceTicket, Miner, MinerLatest
from hosting.simulation import register_simulated
from hosting.states import TicketStatus
from hosting.tickets import move_ticket
from minefarm.lib.clock import database_now
from tests.curtailment.raw_plans import a_plan
from tests.curtailment.virtual_time import VirtualClock
from tests.farm import network

pytestmark = pytest.mark.django_db(transaction=True)

# Six machines: four that plans stop, one that sleeps by somebody's wish before any plan, one that no plan names.
STOPPED, SLEEPER, OUTSIDER = slice(0, 4), 4, 5
POINTS = (
    "after start",
    "after pre-write",
    "after packet",
    "before confirm",
    "after recovery began",
    "after wake pre-write",
)
EMPTIED = (
    "curtailment_plan_events, curtailment_approvals, curtailment_plan_miners, curtailment_plans, curtailment_site_policies,"
    " maintenance_tickets, miner_commands, miner_command_batches, miner_operation_log,"
    " outbox_events, outbox_aggregates, scheduler_locks"
)
LONG_ENOUGH = 60  # passes, half a minute apart


class Crash(BaseException):
    """The process dies here, as far as the pass can tell."""


class World:
    """A site with machines that answer, and the people of it."""

    def __init__(self, site, maker, approver, owner) -> None:
        self.site, self.maker, self.approver, self.owner = site, maker, approver, owner
        self.clock = VirtualClock()
        self.machines = build_farm(6, host=network(93), makes={"Whatsminer": 1}, speed=50)
        for one in self.machines:
            one.clock = self.clock
            one.hears = lambda machine, order: self.heard.append((machine.serial, order))
        self.heard: list[tuple[str, str]] = []
        register_simulated(self.machines, site=site)
        rows = {miner.serial_number: miner for miner in Miner.objects.select_related("miner_model")}
        self.miners = [rows[one.serial] for one in self.machines]
        self._began, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._began.wait(20)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)

    def _serve(self) -> None:
        farm = SimulatedFarm(self.machines)
        self._loop.run_until_complete(farm.start())
        self._began.set()
        self._loop.run_forever()
        self._loop.run_until_complete(farm.stop())
        self._loop.close()

    def begin(self) -> None:
        """As on the first day: no plans, every machine on but the sleeper."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # the trail refuses TRUNCATE
            cursor.execute(f"TRUNCATE {EMPTIED} CASCADE")
        Miner.objects.update(status="active")
        SitePolicy.objects.create(site=self.site, wake_wave=5000, wake_every_s=1, cool_down_minutes=0)
        for one in self.machines:
            one.asleep_by_configuration = False
            one.wake()
        self.machines[SLEEPER].was_asleep()
        self.clock.ahead_s += 600
        assert [one.phase for one in self.machines].count(Phase.HASHING) == 5
        self.heard.clear()

    def sweep(self) -> None:
        """Telemetry tells the truth of this moment."""
        now = database_now()
        MinerLatest.objects.bulk_create(
            [
                MinerLatest(
                    miner=miner,
                    attempted_at=now,
                    seen_at=now,
                    hashrate_ths=round(one.hashrate_ths, 2),
                    hashrate_avg_ths=round(one.hashrate_avg_ths, 2),
                    power_w=round(one.power_w, 2),
                )
                for miner, one in zip(self.miners, self.machines, strict=True)
                if one.answers
            ],
            update_conflicts=True,
            unique_fields=["miner"],
            update_fields=["attempted_at", "seen_at", "hashrate_ths", "hashrate_avg_ths", "power_w"],
        )

    def pass_once(self) -> None:
        self.sweep()
        run_pass()


class Curtailment(RuleBasedStateMachine):
    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.begin()

    # --- people ---------------------------------------------------------------------------------------------------------

    @initialize()
    def first_plan(self):
        self.approve(self.plan(machines={0, 1, 2}, begins_in_min=0, minutes=20))

    @rule(
        machines=st.sets(st.integers(0, 4), min_size=1),
        begins_in_min=st.sampled_from([0, 0, 1, 10]),
        minutes=st.sampled_from([5, 20, 60]),
    )
    def plans(self, machines, begins_in_min, minutes):
        self.plan(machines, begins_in_min, minutes)

    def plan(self, machines, begins_in_min, minutes):
        chosen = [self.world.miners[number] for number in sorted(machines)]
        return a_plan(
            self.world.site,
            chosen,
            by=self.world.maker,
            starts_in_min=begins_in_min,
            minutes=minutes,
            strategy="listed",
            target_power_reduction=None,
        )

    @rule(pick=st.randoms(use_true_random=False))
    def approves(self, pick):
        if plan := self.any(pick, status=PlanStatus.PENDING):
            self.approve(plan)

    def approve(self, plan):
        seen = {"version": plan.version, "content_hash": plan.content_hash}
        self.unless_refused(lambda: approve_plan(plan, by=self.world.approver, **seen))

    @rule(pick=st.randoms(use_true_random=False))
    def edits(self, pick):
        if plan := self.any(pick, status__in=(PlanStatus.PENDING, PlanStatus.APPROVED)):
            end = plan.recovery_time + timedelta(minutes=5)
            self.unless_refused(lambda: edit_plan(plan, version=plan.version, by=self.world.maker, ends_at=end))

    @rule(pick=st.randoms(use_true_random=False))
    def cancels(self, pick):
        if plan := self.any(pick):
            self.unless_refused(lambda: cancel_plan(plan, reason="not needed", by=self.world.maker))

    @rule(pick=st.randoms(use_true_random=False))
    def extends(self, pick):
        if plan := self.any(pick, recovery_state__in=UNRECOVERED):
            until = plan.recovery_time + timedelta(minutes=15)
            self.unless_refused(lambda: extend_plan(plan, until=until, reason="more", by=self.world.approver))

    @rule(pick=st.randoms(use_true_random=False))
    def restores(self, pick):
        if plan := self.any(pick, recovery_state__in=UNRECOVERED):
            self.unless_refused(lambda: restore_now(plan, reason="alarm over", by=self.world.approver))

    @rule(pick=st.randoms(use_true_random=False))
    def releases(self, pick):
        rows = list(PlanMiner.objects.open().select_related("plan", "miner").order_by("pk"))
        if rows:
            self.unless_refused(lambda: release_miner(pick.choice(rows), reason="must run", by=self.world.maker))

    @rule(pick=st.randoms(use_true_random=False))
    def hands_over(self, pick):
        rows = list(PlanMiner.objects.filter(state="restoring").select_related("plan", "miner").order_by("pk"))
        if rows:
            self.unless_refused(lambda: hand_over(pick.choice(rows), reason="dead", by=self.world.approver))

    @rule()
    def people_mend(self):
        """Whoever took machines over sees to it that they run, and says so."""
        for ticket in MaintenanceTicket.objects.unfinished():
            for one in self.world.machines:
                if one.serial == ticket.serial_number:
                    one.wake()
            move_ticket(ticket, TicketStatus.CLOSED, by=self.world.maker)

    @rule()
    def freezes(self):
        freeze_site(self.world.site, reason="work at the switchgear", minutes=10, by=self.world.approver)

    @precondition(lambda _self: SitePolicy.objects.filter(frozen_until__isnull=False).exists())
    @rule()
    def thaws(self):
        unfreeze_site(self.world.site, by=self.world.approver)

    @rule()
    def restores_the_site(self):
        restore_site(self.world.site, reason="storm over", by=self.world.owner)

    # --- the world ------------------------------------------------------------------------------------------------------

    @rule(times=st.integers(1, 3), wait_s=st.sampled_from([5, 20]))
    def passes(self, times, wait_s):
        for _ in range(times):
            self.world.pass_once()
            self.world.clock.pass_time(wait_s)

    @rule(point=st.sampled_from(POINTS))
    def crashes(self, point):
        def die(name):
            if name == point:
                raise Crash

        faults.install(die)
        try:
            self.world.pass_once()
        except Crash:
            connection.close()
        finally:
            faults.install(None)

    @rule(seconds=st.sampled_from([15, 60, 300, 1300, 4000]))
    def time_passes(self, seconds):
        self.world.clock.pass_time(seconds)

    @rule(number=st.integers(0, 3))
    def reboots(self, number):
        self.world.machines[number].reboot()

    # --- what must hold -------------------------------------------------------------------------------------------------

    @invariant()
    def no_rule_is_broken(self):
        assert breaches() == []

    @invariant()
    def nothing_but_sleep_and_wake_to_machines_of_plans(self):
        left_alone = {self.world.machines[number].serial for number in (SLEEPER, OUTSIDER)}
        assert [one for one in self.world.heard if one[0] in left_alone] == []
        assert {order for _, order in self.world.heard} <= {"sleep", "wake", "reboot"}

    @invariant()
    def what_sleeps_has_a_plan_that_brings_it_back(self):
        """Of the machines themselves, not of the rows that tell of them; or people took it over."""
        bound = set(
            PlanMiner.objects.open()
            .filter(live=True, plan__recovery_state__in=UNRECOVERED)
            .values_list("miner__serial_number", flat=True)
        )
        asleep = {one.serial for one in self.world.machines[STOPPED] if one.phase in {Phase.STOPPING, Phase.SLEEPING}}
        assert asleep <= bound | set(MaintenanceTicket.objects.unfinished().values_list("serial_number", flat=True))

    def teardown(self):
        """Nobody does anything any more, plans end, and every machine that ran is on again."""
        self.people_mend()
        unfreeze_site(self.world.site, by=self.world.approver)
        restore_site(self.world.site, reason="the end", by=self.world.owner)
        for _ in range(LONG_ENOUGH):
            if not PlanMiner.objects.filter(live=True).exists() and not CurtailmentPlan.objects.live().exists():
                break
            self.world.clock.pass_time(30)
            self.world.pass_once()
        self.world.clock.ahead_s += 600
        assert not CurtailmentPlan.objects.live().exists()
        assert [one.phase for one in self.world.machines[STOPPED]] == [Phase.HASHING] * 4
        assert self.world.machines[SLEEPER].phase is Phase.SLEEPING
        assert set(Miner.objects.values_list("status", flat=True)) == {"active"}
        assert breaches() == []

    # --- what they share ------------------------------------------------------------------------------------------------

    def any(self, pick, **wanted):
        found = list(CurtailmentPlan.objects.filter(**wanted).select_related("site").order_by("pk"))
        return pick.choice(found) if found else None

    def unless_refused(self, step) -> None:
        try:
            step()
        except (*REFUSED, WrongPlan):
            return


@pytest.fixture
def world(site, catalogue, operator, admin, owner, settings, monkeypatch) -> Iterator[World]:
    settings.MINEFARM_FACTORY_LOGINS = True
    monkeypatch.setattr(running, "WORK_S", 0.0)  # time passes by the clock above
    monkeypatch.setattr(measuring, "SETTLED_AFTER", timedelta(seconds=1))
    with World(site, operator, admin, owner) as farm:
        yield farm


def run_it(world, examples: int, steps: int, **options) -> None:
    class Machine(Curtailment):
        pass

    Machine.world = world
    run_state_machine_as_test(
        Machine,
        settings=configuration(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            report_multiple_bugs=False,
            phases=[Phase_.explicit, Phase_.generate],
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )


def test_what_must_hold_holds_in_any_order(world):
    run_it(world, 6, 15, derandomize=True, database=None)


@pytest.mark.storm
def test_it_holds_for_long_and_by_chance(world):
    """STATES=60 and more on a day with time: each example takes seconds."""
    run_it(world, int(os.environ.get("STATES", "15")), 30)
