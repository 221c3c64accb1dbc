"""Causes in NICs, drivers and queues."""
