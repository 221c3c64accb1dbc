"""Causes at the VXLAN devices and the addresses that they use."""
