"""What each make's firmware means by its fields. A dialect recognises its replies and turns them into a Reading.

`NEEDS` are the commands of every reading (`a|b`: whichever is answered), `ASKS_ONCE` tell the model, `DETAILS` the boards.
"""

from types import ModuleType

from hosting.cgminer.dialects import antminer, auradine, avalon, braiins, generic, luxos, whatsminer
from hosting.cgminer.dialects.sections import Replies

# The first that recognises the replies is taken, the most frequent first; generic recognises everything.
DIALECTS: tuple[ModuleType, ...] = (antminer, whatsminer, avalon, luxos, braiins, auradine, generic)


def identify(replies: Replies) -> ModuleType:
    """The dialect of these replies."""
    return next(dialect for dialect in DIALECTS if dialect.recognises(replies))
