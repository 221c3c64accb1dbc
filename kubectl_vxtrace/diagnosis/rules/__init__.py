"""Packet filter rules: which drop, how their counters grew, which packets they can match, what they are made for.

No cause is named here.
"""
