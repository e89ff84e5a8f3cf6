"""A master, builders and consoles in network namespaces, with bad links between them."""
