"""Sites, machines, and a reading of each every minute."""
