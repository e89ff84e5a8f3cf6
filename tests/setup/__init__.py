"""`piw setup`: its steps, and what becomes of a machine."""
