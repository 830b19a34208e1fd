"""What passes did, in numbers."""

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class PassReport:
    """Rows moved in all iterations of one call; `busy` when another process was at it and nothing was done."""

    busy: bool = False
    fence: int | None = None
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
        return sum(value for name, value in asdict(self).items() if name not in {"busy", "fence"})

    def as_dict(self) -> dict[str, int | bool | None]:
        return asdict(self)
