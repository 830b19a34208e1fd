"""A market whose sources are servers of the test; none is asked unless the test sets it up."""

from contextlib import ExitStack

import pytest

from analytics.providers import NETWORKS, PRICES
from analytics.providers.http import target_of
from tests.analytics.sources import Source, serving


@pytest.fixture(autouse=True)
def nobody_outside(settings) -> None:
    for provider in (*PRICES, *NETWORKS):
        setattr(settings, provider.setting, "")
    settings.MARKET_SOURCE = "live"
    settings.MARKET_TIMEOUT_S = 1.5


@pytest.fixture
def set_up(settings):
    """Serve sources by the names of their settings: `set_up(coinbase=coinbase("100"))`."""
    with ExitStack() as stack:

        def serve(**sources: Source | str) -> None:
            for name, source in sources.items():
                url = source if isinstance(source, str) else stack.enter_context(serving(source)).url
                setting = "BITCOIN_NODE_URL" if name == "node" else f"MARKET_{name.upper()}_URL"
                setattr(settings, setting, url)
                settings.MARKET_INNER_TARGETS = [*settings.MARKET_INNER_TARGETS, target_of(url)]

        yield serve
