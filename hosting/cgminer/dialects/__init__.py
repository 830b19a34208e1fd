"""What each make's firmware means by its fields. A dialect recognises its replies and turns them into a Reading."""

from types import ModuleType

from hosting.cgminer.dialects import antminer, generic, whatsminer
from hosting.cgminer.dialects.sections import Replies

# The first that recognises the replies is taken; generic recognises everything.
DIALECTS: tuple[ModuleType, ...] = (antminer, whatsminer, generic)


def identify(replies: Replies) -> ModuleType:
    """The dialect of these replies."""
    return next(dialect for dialect in DIALECTS if dialect.recognises(replies))
