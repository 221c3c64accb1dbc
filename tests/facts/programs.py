"""BPF programs at tcx, made by bpf(2) itself: no tool of Debian 12 attaches them there."""

import ctypes
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# include/uapi/linux/bpf.h; the number of bpf(2) is that of x86_64.
_BPF, _PROG_LOAD, _LINK_CREATE, _SCHED_CLS = 321, 5, 28, 3
_ATTACH = {"tcx/ingress": 46, "tcx/egress": 47}
# r0 = TCX_NEXT (-1); exit
_NEXT = struct.pack("<BBhi", 0xB7, 0, 0, -1) + struct.pack("<BBhi", 0x95, 0, 0, 0)
_LIBC = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = int(_LIBC.syscall(_BPF, command, buffer, 128))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _load(name: str) -> int:
    code, licence = ctypes.create_string_buffer(_NEXT), ctypes.create_string_buffer(b"GPL")
    fields = (_SCHED_CLS, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0, name.encode())
    return _bpf(_PROG_LOAD, struct.pack("<IIQQIIQII16s", *fields))


@contextmanager
def attached(netns: str, programs: Sequence[tuple[str, str, str]]) -> Iterator[None]:
    """Programs that let everything pass, each by (device, hook, name), in the network namespace of that name while the context lasts."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(Path("/run/netns") / netns, os.O_RDONLY)
    held = [own, there]
    try:
        _LIBC.setns(there, 0)
        for device, hook, name in programs:
            held.append(_load(name))
            held.append(_bpf(_LINK_CREATE, struct.pack("<IIII", held[-1], socket.if_nametoindex(device), _ATTACH[hook], 0)))
        _LIBC.setns(own, 0)
        yield
    finally:
        _LIBC.setns(own, 0)
        for descriptor in held:
            os.close(descriptor)
