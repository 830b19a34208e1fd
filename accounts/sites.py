"""What this app must know of sites to limit people to them, told by the app that has sites.

`accounts` stands below `hosting`, which registers one function in `AppConfig.ready()`.
"""

from collections.abc import Callable

SiteChoices = Callable[[], list[tuple[int, str]]]


def _none() -> list[tuple[int, str]]:
    return []


_choices: SiteChoices = _none


def register_choices(choices: SiteChoices) -> None:
    global _choices  # noqa: PLW0603  one provider, set once at start
    _choices = choices


def site_choices() -> list[tuple[int, str]]:
    """Number and name of every site, by name."""
    return _choices()
