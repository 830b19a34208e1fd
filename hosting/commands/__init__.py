"""Orders to machines as rows: what was asked for, what became of it at each machine, and how far it has come.

`order_machines` writes the rows; `work_commands` carries out whatever is due, in as many processes as like to; people, the
API, commands and plans all go through these two.
"""

from hosting.commands.calling_off import call_off, free_claims
from hosting.commands.finishing import Worked
from hosting.commands.ordering import KeyReused, NoMachines, NotAllowed, WrongOrder, order_machines
from hosting.commands.working import work_commands

__all__ = [
    "KeyReused",
    "NoMachines",
    "NotAllowed",
    "Worked",
    "WrongOrder",
    "call_off",
    "free_claims",
    "order_machines",
    "work_commands",
]
