"""The master daemon: the duties composed, and the control socket."""
