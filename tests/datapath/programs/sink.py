"""A device without an other end: what is routed into it is read and thrown away. Usage: sink.py NAME (root).

The device is there, and has its carrier, while this process lives (tun(4)).
"""

import fcntl
import os
import signal
import struct
import sys

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


def main() -> int:
    """Make it, read, until a signal comes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", sys.argv[1].encode(), IFF_TUN | IFF_NO_PI))
    print("attached", flush=True)
    while True:
        os.read(descriptor, 65535)


if __name__ == "__main__":
    sys.exit(main())
