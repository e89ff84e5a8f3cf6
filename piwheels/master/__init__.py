"""The master daemon, which composes all services in one process."""
