"""Signed statements of how wheels were built: written by the master, checked by anybody.

A statement is an in-toto Statement v1 with a SLSA provenance v1 predicate, in a DSSE envelope that
is signed with an Ed25519 key of the farm; docs/provenance.md describes every field.
"""
