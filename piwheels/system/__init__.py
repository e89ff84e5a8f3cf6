"""The machine that a daemon runs on: its metrics, its identity, its interpreters and systemd."""
