"""The console's terminal driver: writes what changed, with flow control."""
