"""Telling machines what to do: sleep, wake, reboot, power limit, light. Without Django.

A machine's "yes" means accepted, not done: `look` reads it again and `proves` judges. Whether a machine may be commanded, and
at which address, is the caller's to check before.
"""

from hosting.control.evidence import look
from hosting.control.orders import Answer, Login, Machine, Order, Result
from hosting.control.proof import Evidence, proves
from hosting.control.send import identify, send, send_many

__all__ = [
    "Answer",
    "Evidence",
    "Login",
    "Machine",
    "Order",
    "Result",
    "identify",
    "look",
    "proves",
    "send",
    "send_many",
]
