"""Causes at a pod's own interface."""
