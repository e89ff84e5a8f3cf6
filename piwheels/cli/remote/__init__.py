"""Operator commands over the control socket."""
