"""The package index: pages of the Simple API and the process that writes them."""
