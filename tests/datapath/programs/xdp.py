"""An XDP program that drops UDP to a port, attached while this process lives. Usage: xdp.py INTERFACE PORT (root; bpf(2))."""

import ctypes
import os
import platform
import signal
import socket
import struct
import sys

SYSCALL = {"x86_64": 321, "aarch64": 280}
# linux/bpf.h
PROG_LOAD, LINK_CREATE = 5, 28
PROG_TYPE_XDP, ATTACH_XDP = 6, 37
SKB_MODE = 1 << 1  # linux/if_link.h, XDP_FLAGS_SKB_MODE: runs on every driver
DROP, PASS = 1, 2
PORT_OFFSET = 14 + 20 + 2  # of the destination port, behind Ethernet and IPv4 without options


def instruction(code: int, target: int, source: int, offset: int, value: int) -> bytes:
    """One instruction (linux/bpf.h, struct bpf_insn)."""
    return struct.pack("<BBhi", code, source << 4 | target, offset, value)


def program(port: int) -> bytes:
    """if (data + PORT_OFFSET + 2 <= data_end and the port is the one) DROP, else PASS."""
    return b"".join(
        [
            instruction(0x61, 2, 1, 0, 0),  # r2 = ctx->data
            instruction(0x61, 3, 1, 4, 0),  # r3 = ctx->data_end
            instruction(0xBF, 4, 2, 0, 0),  # r4 = r2
            instruction(0x07, 4, 0, 0, PORT_OFFSET + 2),  # r4 += ...
            instruction(0x2D, 4, 3, 4, 0),  # if r4 > r3 goto pass
            instruction(0x69, 5, 2, PORT_OFFSET, 0),  # r5 = *(u16 *)(r2 + ...)
            instruction(0x55, 5, 0, 2, socket.htons(port)),  # if r5 != port goto pass
            instruction(0xB7, 0, 0, 0, DROP),
            instruction(0x95, 0, 0, 0, 0),
            instruction(0xB7, 0, 0, 0, PASS),  # pass:
            instruction(0x95, 0, 0, 0, 0),
        ]
    )


def bpf(command: int, attributes: bytes) -> int:
    """The system call; a file descriptor.

    Raises:
        OSError: the kernel refused.
    """
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = int(library.syscall(SYSCALL[platform.machine()], command, buffer, 128))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def main() -> None:
    """Load, attach, wait for the end."""
    interface, port = sys.argv[1], int(sys.argv[2])
    code, licence = ctypes.create_string_buffer(program(port)), ctypes.create_string_buffer(b"Apache-2.0")
    size = (len(code) - 1) // 8
    loaded = bpf(PROG_LOAD, struct.pack("<IIQQ", PROG_TYPE_XDP, size, ctypes.addressof(code), ctypes.addressof(licence)))
    bpf(LINK_CREATE, struct.pack("<IIII", loaded, socket.if_nametoindex(interface), ATTACH_XDP, SKB_MODE))
    print("attached", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
