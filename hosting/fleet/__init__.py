"""The fleet page: find machines among thousands, keep the search, and act on many of them."""
