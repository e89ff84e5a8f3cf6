"""A farm that runs for long, at ten times the real rate, with restarts: does anything grow?"""
