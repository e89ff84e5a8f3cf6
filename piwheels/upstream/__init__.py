"""Which releases there are: asked of the upstream index, chosen, and followed."""
