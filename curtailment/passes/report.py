"""What passes did, in numbers, and faults that are kept apart from the rest."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from events.alerts import alert
from events.locks import DATABASE_AWAY
from events.models import LockLost

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PassReport:
    """Rows moved in all iterations of one call; `busy` when another process was at it and nothing was done.

    `faults` counts parts of passes that failed while the rest went on.
    """

    busy: bool = False
    fence: int | None = None
    faults: int = 0
    started: int = 0
    missed: int = 0
    ordered_off: int = 0
    confirmed: int = 0
    unreachable: int = 0
    drifted: int = 0
    replaced: int = 0
    executed: int = 0
    recovering: int = 0
    ordered_on: int = 0
    done: int = 0
    released: int = 0
    late: int = 0
    recovered: int = 0

    @property
    def moved(self) -> int:
        """Rows moved in all; 0 when there was nothing to do."""
        return sum(value for name, value in asdict(self).items() if name not in {"busy", "fence", "faults"})

    def as_dict(self) -> dict[str, int | bool | None]:
        return asdict(self)

    @contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """What fails inside holds up nothing else, above all no machine's way back; people are told, and the next pass tries
        it again. A lost lock or database ends the pass all the same.
        """
        try:
            yield
        except (LockLost, *DATABASE_AWAY):
            raise
        except Exception as fault:
            self.faults += 1
            log.exception("%s failed, the rest of the pass goes on", what)
            alert("curtailment passes", f"{what} failed", f"{type(fault).__name__}: {fault}\nThe log has the rest.")
