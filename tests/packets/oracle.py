"""What tshark says of the same file: the oracle that every column must agree with."""

import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

import pytest

FIELDS = (
    "frame.number",
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "eth.src",
    "eth.dst",
    "ip.src",
    "ip.dst",
    "ip.id",
    "ip.ttl",
    "ip.proto",
    "ip.flags",
    "ip.frag_offset",
    "ip.len",
    "ip.hdr_len",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.hlim",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.flags",
    "tcp.len",
    "icmp.type",
    "icmp.code",
    "icmp.ident",
    "icmp.seq",
    "arp.opcode",
    "arp.src.proto_ipv4",
    "arp.dst.proto_ipv4",
    "vxlan.vni",
)

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark, the oracle")


def command(path: Path, fields: Collection[str] = FIELDS, ports: Collection[int] = (4789, 8472)) -> list[str]:
    """tshark's arguments: no reassembly, no name resolution, all occurrences of each field, outermost first."""
    arguments = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "separator=/t", "-E", "aggregator=,"]
    for preference in (
        "ip.defragment:FALSE",
        "ipv6.defragment:FALSE",
        "tcp.desegment_tcp_streams:FALSE",
        "tcp.analyze_sequence_numbers:FALSE",
    ):
        arguments += ["-o", preference]
    for port in ports:
        arguments += ["-d", f"udp.port=={port},vxlan"]
    for field in fields:
        arguments += ["-e", field]
    return arguments


def read(path: Path, fields: Collection[str] = FIELDS, ports: Collection[int] = (4789, 8472)) -> list[dict[str, list[str]]]:
    """For each frame the occurrences of each field."""
    done = subprocess.run(command(path, fields, ports), check=True, capture_output=True, text=True)
    found = []
    for line in done.stdout.splitlines():
        values = line.split("\t")
        found.append({name: value.split(",") if value else [] for name, value in zip(fields, values, strict=True)})
    return found
