"""Places where a test may let a pass die. In production `point` does nothing."""

from collections.abc import Callable

_installed: Callable[[str], None] | None = None


def install(fault: Callable[[str], None] | None) -> None:
    """Call this at every point, with its name; None takes it away again. For tests."""
    global _installed  # noqa: PLW0603 one switch for the process
    _installed = fault


def point(name: str) -> None:
    """`after start`, `after pre-write`, `after packet`, `before confirm`, `after recovery began`, `after wake pre-write`."""
    if _installed is not None:
        _installed(name)
