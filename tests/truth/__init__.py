"""Every fault of the lab and as many healthy paths, traced and judged: `python -m tests.truth` writes docs/truth.md.

It calls the plugin as a user does and shares no code with it, so that it can contradict it.
"""
