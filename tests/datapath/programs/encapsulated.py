"""Datagrams that a pod has encapsulated itself: VXLAN (RFC 7348, 5) without a UDP checksum. encapsulated.py ADDRESS:PORT [VNI]."""

import contextlib
import socket
import struct
import sys
import time

SO_NO_CHECK = 11  # asm-generic/socket.h
VALID_VNI = 0x08000000  # the flag I; the other 31 bits are reserved
FRAME = bytes.fromhex("020000000001 020000000002 0800") + bytes(46)
PAUSE_S = 0.2


def main() -> None:
    """Send until it is ended; what the own kernel refuses is tried again."""
    address, _, port = sys.argv[1].rpartition(":")
    vni = int(sys.argv[2]) if len(sys.argv) > 2 else 42
    header = struct.pack(">II", VALID_VNI, vni << 8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        while True:
            with contextlib.suppress(OSError):  # an ICMP error for an earlier one
                sock.sendto(header + FRAME, (address, int(port)))
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
