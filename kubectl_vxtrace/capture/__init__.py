"""Captures: what to capture where (plan, filters, tcpdump's command), and carrying it out through nodes that can be asked."""
