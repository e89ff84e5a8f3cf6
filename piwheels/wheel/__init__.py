"""Wheel files: validation, inspection, retagging, and the targets they install on."""
