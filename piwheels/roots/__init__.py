"""Build roots: Debian systems that builds run on, made and kept by an ordinary user."""
