"""Tests of names, flows, overlays and paths."""
