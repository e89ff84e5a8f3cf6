"""Object storage: how a bucket is reached, and whole files as objects of it."""
