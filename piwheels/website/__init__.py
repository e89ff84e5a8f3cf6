"""The public tree: pages from the model, written only when they changed."""
