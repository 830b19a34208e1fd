"""What is wrong on the farm: rules, what fits them, one alert for many machines, and who is told.

docs/why/decisions/0023-alerts.md says how an alert opens and closes, and when many become one.
"""
