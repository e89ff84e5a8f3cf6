"""Web servers' access logs read into the database, each line once."""
