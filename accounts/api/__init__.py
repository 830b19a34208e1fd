"""The API's own accounts: tokens, and how much each caller may ask."""
