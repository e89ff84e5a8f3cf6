"""The rows of each table, built from the state of the farm."""
