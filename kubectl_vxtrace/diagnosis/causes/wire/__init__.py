"""Causes between two nodes' NICs."""
