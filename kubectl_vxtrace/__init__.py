"""kubectl vxtrace: follow the same packet through every hop of a VXLAN overlay."""

__version__ = "0.1.0"
