"""What beat's jobs did: one row per job and period."""

from datetime import datetime, timedelta

from django.db import connection, models
from django.db.models import Q
from django.db.models.functions import Now

ERROR_LENGTH = 2000
LOST = "lost: its process ended without a word"

CLAIM = """
INSERT INTO periodic_runs (task, due_at, started_at, outcome, hostname)
VALUES (%(task)s, %(due_at)s, clock_timestamp(), 'running', %(hostname)s)
ON CONFLICT (task, due_at) DO NOTHING
RETURNING id
"""
CLAIM_AGAIN = """
UPDATE periodic_runs
SET started_at = clock_timestamp(), finished_at = NULL, outcome = 'running', error = '', hostname = %(hostname)s
WHERE task = %(task)s AND due_at = %(due_at)s AND outcome = 'failed'
RETURNING id
"""
BEGIN = "UPDATE periodic_runs SET started_at = clock_timestamp() WHERE id = %(id)s AND outcome = 'running'"
# Under the job's lock: whoever still says "running" is not.
MARK_LOST = """
UPDATE periodic_runs SET outcome = 'failed', error = %(lost)s
WHERE task = %(task)s AND outcome = 'running' AND id <> %(id)s
"""
FINISH = """
UPDATE periodic_runs SET outcome = %(outcome)s, error = %(error)s, finished_at = clock_timestamp()
WHERE id = %(id)s AND outcome = 'running'
"""
PRUNE = "DELETE FROM periodic_runs WHERE due_at < clock_timestamp() - make_interval(days => %(days)s)"


class RunOutcome(models.TextChoices):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"  # the run before was still busy, or the tick came too late


class RunQuerySet(models.QuerySet["PeriodicRun"]):
    """Every change is one UPDATE with its legal sources; times are the database's."""

    def claim(self, task: str, due_at: datetime, *, hostname: str, failed_too: bool = False) -> int | None:
        """The id of the period's run, or None when somebody has run it; `failed_too` takes a failed one again."""
        values: dict[str, str | datetime] = {"task": task, "due_at": due_at, "hostname": hostname}
        with connection.cursor() as cursor:
            cursor.execute(CLAIM, values)
            row: tuple[int] | None = cursor.fetchone()
            if row is None and failed_too:
                cursor.execute(CLAIM_AGAIN, values)
                row = cursor.fetchone()
        return row[0] if row else None

    def begin(self, run_id: int, task: str) -> bool:
        """The job's lock is held now: earlier runs that never ended are lost, and so is this one if it was declared so."""
        with connection.cursor() as cursor:
            cursor.execute(MARK_LOST, {"task": task, "id": run_id, "lost": LOST})
            cursor.execute(BEGIN, {"id": run_id})
            return bool(cursor.rowcount)

    def finish(self, run_id: int, outcome: RunOutcome, error: str = "") -> bool:
        """False when the run was declared lost meanwhile."""
        with connection.cursor() as cursor:
            cursor.execute(FINISH, {"id": run_id, "outcome": outcome.value, "error": error[:ERROR_LENGTH]})
            return bool(cursor.rowcount)

    def last_done(self, task: str) -> datetime | None:
        """The latest period that was done."""
        done = self.filter(task=task, outcome=RunOutcome.DONE)
        return done.order_by("-due_at").values_list("due_at", flat=True).first()

    def prune(self, *, days: int) -> int:
        """Delete the records of periods older than so many days; how many."""
        with connection.cursor() as cursor:
            cursor.execute(PRUNE, {"days": days})
            return int(cursor.rowcount)


class PeriodicRun(models.Model):
    """A job's run for the period that began at `due_at`, by the database's clock. The unique pair lets it run once."""

    id = models.BigAutoField(primary_key=True)
    task = models.TextField()
    due_at = models.DateTimeField()
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(choices=RunOutcome, default=RunOutcome.RUNNING, db_default=RunOutcome.RUNNING)
    error = models.TextField(blank=True, default="", db_default="")
    hostname = models.TextField()

    objects = RunQuerySet.as_manager()

    class Meta:
        db_table = "periodic_runs"
        verbose_name = "job run"
        indexes = [models.Index(fields=["due_at"], name="periodic_runs_due")]
        constraints = [
            models.UniqueConstraint(fields=["task", "due_at"], name="periodic_runs_once"),
            models.CheckConstraint(condition=Q(outcome__in=RunOutcome.values), name="periodic_runs_outcome_known"),
        ]

    def __str__(self) -> str:
        return f"{self.task} of {self.due_at:%Y-%m-%d %H:%M:%S}: {self.outcome}"

    @property
    def duration(self) -> timedelta | None:
        """None while it runs, and for a run that was lost."""
        return self.finished_at - self.started_at if self.finished_at else None
