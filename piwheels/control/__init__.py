"""The operator side of the master: server, handlers, authorization, audit, status."""
