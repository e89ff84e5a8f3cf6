"""Metrics in the text format of Prometheus; imported only where they are on."""
