"""The logins that machines leave their makers' factories with."""

from hosting.control.drivers import antminer, braiins, vnish, whatsminer
from hosting.control.makes import by_words
from hosting.control.orders import Login, Machine

# Makes that take orders without a login (Avalon, LuxOS) are not among them.
FACTORY_LOGINS: dict[str, Login] = {driver.MAKE: driver.FACTORY for driver in (antminer, whatsminer, braiins, vnish)}
MAKES = ("Antminer", "Whatsminer", "Avalon", "LuxOS", "Braiins OS", "VNish")


def make_of(*, make: str | None, model: str | None = None, firmware: str | None = None) -> str | None:
    """The name under which a machine's orders and logins are kept, firmware before maker; None for a make that we do not know."""
    driver = by_words(Machine("0.0.0.0", make=make, model=model, firmware=firmware))  # noqa: S104  no address is used
    return None if driver is None else str(driver.MAKE)
