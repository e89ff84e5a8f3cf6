"""The audit of a farm: compares the database with the web root, and repairs what differs."""
