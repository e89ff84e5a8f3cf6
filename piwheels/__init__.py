"""piwheels: a wheel farm that builds Python wheels and serves them from static files."""
