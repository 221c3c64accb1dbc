"""Many copies of one frame onto an interface, and somebody who takes what is in them.

flood.py --seconds N send INTERFACE FRAME OFFSET --rate N    sends the frame (hexadecimal) at that pace or as fast as it can, each copy
                                                             with its number in the four bytes at OFFSET; says "sent N seconds N.NNN"
flood.py --seconds N sink ADDRESS PORT                       binds the UDP port, so that no ICMP error answers; says "ready"; reads nothing

On the standard library alone: it is run by path inside a namespace of the lab. It ends by itself after its seconds.
"""

import argparse
import errno
import os
import socket
import struct
import time

TICK_S = 0.001
# Both mean that a queue is full for the moment (packet(7)).
_FULL = (errno.ENOBUFS, errno.EAGAIN)


def send(interface: str, frame: bytes, offset: int, rate: float, seconds: float) -> tuple[int, float]:
    """Send `rate` copies a second for `seconds`; how many were sent and how long that took. Needs root."""
    # A wire does not wait until the node at its end has time: real-time, so that captures get what the packets leave them.
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((interface, 0))
    copy = bytearray(frame)
    sent = 0
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds:
        # What is due by now, at most ten ticks at once: after a pause a burst would be another load than the one that is meant.
        for _ in range(min(int(passed * rate) - sent, int(10 * TICK_S * rate))):
            struct.pack_into(">I", copy, offset, sent)
            try:
                sock.send(copy)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                break  # the next turn has the same number
            sent += 1
        time.sleep(TICK_S / 4)
    return sent, time.monotonic() - started


def sink(address: str, port: int, seconds: float) -> None:
    """Hold the port."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    print("ready", flush=True)
    time.sleep(seconds)


def run() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    commands = parser.add_subparsers(dest="what", required=True)
    sender = commands.add_parser("send")
    sender.add_argument("interface")
    sender.add_argument("frame", type=bytes.fromhex)
    sender.add_argument("offset", type=int)
    sender.add_argument("--rate", type=float, default=50_000.0)
    taker = commands.add_parser("sink")
    taker.add_argument("address")
    taker.add_argument("port", type=int)
    options = parser.parse_args()
    if options.what == "sink":
        sink(options.address, options.port, options.seconds)
    else:
        sent, took_s = send(options.interface, options.frame, options.offset, options.rate, options.seconds)
        print(f"sent {sent} seconds {took_s:.3f}", flush=True)


if __name__ == "__main__":
    run()
