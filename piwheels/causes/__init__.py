"""Why builds fail, and what the farm does about each kind of failure. Pure."""
