"""Causes in a node's kernel: routes, settings, packet filters, connection tracking, bridges."""
