"""What a machine can be told, what it can answer, and the machine itself as a driver needs to know it."""

from dataclasses import dataclass, field
from enum import StrEnum


class Order(StrEnum):
    SLEEP = "sleep"
    WAKE = "wake"
    REBOOT = "reboot"
    POWER_LIMIT = "set_power_limit"
    LOCATE = "locate"


class Answer(StrEnum):
    """What became of an order. ACCEPTED is the machine's word, not its deed: see hosting.control.proof."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    UNREACHABLE = "unreachable"
    UNAUTHORISED = "unauthorised"


@dataclass(frozen=True, slots=True)
class Login:
    """Name and password of a machine's own account; makes without names for accounts ignore `user`."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a machine is and what it is said to be. `key` is the caller's name for it, `login` None when none is known.

    `port` is that of the CGMiner API, `web_port` that of the web interface (None: the make's usual one).
    """

    host: str
    port: int = 4028
    make: str | None = None
    model: str | None = None
    firmware: str | None = None
    key: int = 0
    login: Login | None = None
    web_port: int | None = None
    serial: str | None = None
    mac: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One machine's answer to one order. `detail` is a sentence for people and never contains a secret."""

    key: int
    answer: Answer
    detail: str
    wall_s: float


class NotDone(Exception):
    """An order was not taken; `answer` says how and `detail` why, as a sentence with the next step."""

    def __init__(self, answer: Answer, detail: str) -> None:
        super().__init__(detail)
        self.answer, self.detail = answer, detail


@dataclass(frozen=True, slots=True)
class Task:
    """One order to one machine. `deadline` is by the event loop's clock and holds for everything that the order takes."""

    machine: Machine
    order: Order
    deadline: float
    watts: int | None = None
    light: bool = True  # what LOCATE switches the light to

    @property
    def login(self) -> Login:
        """Raises NotDone when none is known."""
        if self.machine.login is None:
            raise NotDone(
                Answer.UNAUTHORISED,
                "no login is known for it: add one for the machine, its make or its site (Credentials)",
            )
        return self.machine.login


def unsupported(make: str, what: str) -> NotDone:
    return NotDone(Answer.UNSUPPORTED, f"{make}: {what}")
