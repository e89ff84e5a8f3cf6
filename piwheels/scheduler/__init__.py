"""Scheduling: builders' sessions, assignment of jobs, uploads, publication of wheels."""
