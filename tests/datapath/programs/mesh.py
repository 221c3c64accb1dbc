"""A mesh VPN: a tun device of one name in each of several network namespaces, joined by this process (root).

mesh.py DEVICE [--drop-udp-to ADDRESS] NETNS=ADDRESS...

Each device has its address /32 and a route to the /16 around it, without Ethernet, as WireGuard's and Tailscale's have. They are gone when
this process ends (tun(4)).
"""

import argparse
import ctypes
import fcntl
import ipaddress
import os
import select
import struct
import subprocess
from pathlib import Path

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MTU_BYTES = 1280  # Tailscale's
UDP = 17


def device(netns: str, name: str, address: str) -> int:
    """Make a device and its address and route in a namespace; returns its descriptor. This thread stays in that namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/run/netns", netns).open() as place:
        if libc.setns(place.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), f"setns {netns}")
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    network = ipaddress.ip_network(f"{address}/16", strict=False)
    for command in (
        f"link set {name} mtu {MTU_BYTES} up",
        f"addr add {address}/32 dev {name}",
        f"route add {network} dev {name} src {address}",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    return descriptor


def main() -> None:
    """Join them until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device")
    parser.add_argument("members", nargs="+", metavar="NETNS=ADDRESS")
    parser.add_argument("--drop-udp-to", metavar="ADDRESS")
    options = parser.parse_args()
    members = [member.partition("=") for member in options.members]
    by_address = {ipaddress.IPv4Address(address).packed: device(netns, options.device, address) for netns, _, address in members}
    dropped = ipaddress.IPv4Address(options.drop_udp_to).packed if options.drop_udp_to else None
    print("joined", flush=True)
    while True:
        for descriptor in select.select(list(by_address.values()), [], [])[0]:
            packet = os.read(descriptor, 65535)
            target = packet[16:20]
            if packet[0] >> 4 == 4 and target in by_address and not (target == dropped and packet[9] == UDP):
                os.write(by_address[target], packet)


if __name__ == "__main__":
    main()
