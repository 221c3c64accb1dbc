"""What captures and nodes prove about a loss: frames, answers, outer headers, counters, routes, the kernel's own drops.

No cause is named here.
"""
