"""Which alerts a farm has: rules, readings of facts by them, and the life of alerts (tracker)."""
