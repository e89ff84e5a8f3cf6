"""`piw up`: a private farm in one folder."""
