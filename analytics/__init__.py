"""Bitcoin market data, indicators, hashprice and profit."""
