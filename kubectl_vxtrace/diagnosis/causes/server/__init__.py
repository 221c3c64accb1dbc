"""Causes at the server, and who answers in its place."""
