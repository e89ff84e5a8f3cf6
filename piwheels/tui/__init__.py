"""The operator's console: `piw tui`. It speaks to the master's control socket alone."""
