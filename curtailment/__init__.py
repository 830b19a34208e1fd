"""Plans that stop machines, prove it and bring them back."""
