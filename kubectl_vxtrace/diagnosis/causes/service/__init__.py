"""Causes on the way from a Service to its backends."""
