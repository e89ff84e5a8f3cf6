"""The package index: pages of the Simple API, and the service that writes them."""
