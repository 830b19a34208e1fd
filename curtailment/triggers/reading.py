"""Reading settings from JSON, with an error that names the field and says what to give."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from curtailment.triggers.wishes import BadSettings


def known_only(given: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise BadSettings(name, f"There is no setting {name}: give {', '.join(names)}.")


def number(given: Mapping[str, Any], name: str, low: str, high: str, default: str | None = None) -> Decimal:
    """A number within [low, high]; without a default it must be given."""
    told = given.get(name)
    if told is None or told == "":
        if default is None:
            raise BadSettings(name, f"Give a number from {low} to {high}.")
        return Decimal(default)
    try:
        found = Decimal(str(told))
    except InvalidOperation:
        raise BadSettings(name, f"{told} is no number: give one from {low} to {high}.") from None
    if isinstance(told, bool) or not found.is_finite() or not Decimal(low) <= found <= Decimal(high):
        raise BadSettings(name, f"{told} cannot be: give a number from {low} to {high}.")
    return found


def maybe(given: Mapping[str, Any], name: str, low: str, high: str) -> Decimal | None:
    """The same, or None where nothing is given."""
    return None if given.get(name) in (None, "") else number(given, name, low, high)


def whole(given: Mapping[str, Any], name: str, low: int, high: int, default: int) -> int:
    found = number(given, name, str(low), str(high), str(default))
    if found != int(found):
        raise BadSettings(name, f"{found} is no whole number: give one from {low} to {high}.")
    return int(found)
