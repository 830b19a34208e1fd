"""Sources of market data, one file each. Order matters for the network: what comes first is believed first."""

from analytics.providers import binance, bitstamp, blockchain, coinbase, gemini, kraken, mempool, node

PRICES = (coinbase.PROVIDER, kraken.PROVIDER, bitstamp.PROVIDER, gemini.PROVIDER, binance.PROVIDER)
NETWORKS = (node.PROVIDER, mempool.PROVIDER, blockchain.PROVIDER)
