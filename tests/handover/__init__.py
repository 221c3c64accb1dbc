"""Captures as people hand them over."""
