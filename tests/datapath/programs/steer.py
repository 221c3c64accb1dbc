"""Programs that steer what pods send and get, as Cilium's do, attached while this process lives.

Usage: steer.py CONFIGURATION (root; bpf(2)). In the network namespace of a node: at each pod's interface one that translates Services,
hands packets to pods of the node and sends those for others into the tunnel with the outer header of its choice; at the VXLAN device one
that hands what comes to the pods. Both drop what somebody is denied. The configuration is a file of JSON; see steering.py, which writes it.
"""

import ctypes
import json
import os
import platform
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

SYSCALL = {"x86_64": 321, "aarch64": 280}
# linux/bpf.h
MAP_CREATE, MAP_UPDATE, PROG_LOAD, LINK_CREATE = 0, 2, 5, 28
HASH, LRU_HASH = 1, 9
SCHED_CLS = 3
TCX_INGRESS, TCX_EGRESS = 46, 47
LOOKUP, UPDATE, STORE_BYTES, L3_CSUM, L4_CSUM, SET_TUNNEL_KEY, REDIRECT, LOAD_BYTES, REDIRECT_PEER = 1, 2, 9, 10, 11, 21, 23, 26, 155
PSEUDO_HEADER, MANGLED_0, ZERO_CSUM_TX = 0x10, 0x20, 2
PASS, DROP = 0, 2
MOST_ENTRIES = 1024
# Where a packet's fields are, behind Ethernet: IPv4 without options, then ports.
TTL, IP_CSUM, SOURCE, DESTINATION, PORTS, UDP_CSUM, TCP_CSUM = 22, 24, 26, 30, 34, 40, 50
# The programs' stack: EtherType, the IPv4 header, ports, keys and values of maps.
_TYPE, _IP, _PORTS, _SERVICE, _TURN, _OLD, _NEW, _TUNNEL, _KEY = -8, -32, -40, -48, -64, -72, -68, -96, -100
_SRC, _DST, _TTL_PROTOCOL, _PROTOCOL = _IP + 12, _IP + 16, _IP + 8, _IP + 9


def bpf(command: int, attributes: bytes) -> int:
    """The system call; its result. Raises OSError where the kernel refused."""
    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes.ljust(144, b"\0"), 144)
    result = int(library.syscall(SYSCALL[platform.machine()], command, buffer, 144))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Map:
    """A map of 4-byte words."""

    def __init__(self, kind: int, key_bytes: int, value_bytes: int) -> None:
        self.fd = bpf(MAP_CREATE, struct.pack("<IIII", kind, key_bytes, value_bytes, MOST_ENTRIES))

    def put(self, key: bytes, value: bytes) -> None:
        """Write one entry."""
        key_buffer, value_buffer = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
        bpf(MAP_UPDATE, struct.pack("<IIQQQ", self.fd, 0, ctypes.addressof(key_buffer), ctypes.addressof(value_buffer), 0))


class Program:
    """Instructions in order (linux/bpf.h, struct bpf_insn), with names for places to jump to. Register 6 holds the packet."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int | str, int]] = []
        self._places: dict[str, int] = {}

    def put(self, code: int, target: int = 0, source: int = 0, offset: int | str = 0, value: int = 0) -> None:
        """One instruction; `offset` is the name of a place for a jump."""
        self._code.append((code, target, source, offset, value))

    def place(self, name: str) -> None:
        """The next instruction is called so."""
        self._places[name] = len(self._code)

    def number(self, target: int, value: int) -> None:
        """A register gets a number."""
        self.put(0xB7, target, 0, 0, value)

    def copy(self, target: int, source: int) -> None:
        """A register gets another's value."""
        self.put(0xBF, target, source)

    def address(self, target: int, at: int) -> None:
        """A register gets the address of a place of the stack."""
        self.copy(target, 10)
        self.put(0x07, target, 0, 0, at)

    def read(self, size: str, target: int, base: int, at: int) -> None:
        """A register gets 1, 2 or 4 bytes (`b`, `h`, `w`) from memory."""
        self.put({"w": 0x61, "h": 0x69, "b": 0x71}[size], target, base, at)

    def write(self, size: str, at: int, source: int) -> None:
        """A register's value goes to the stack."""
        self.put({"w": 0x63, "h": 0x6B, "b": 0x73}[size], 10, source, at)

    def move(self, size: str, at: int, origin: int) -> None:
        """From one place of the stack to another."""
        self.read(size, 1, 10, origin)
        self.write(size, at, 1)

    def call(self, helper: int) -> None:
        """Call the kernel."""
        self.put(0x85, 0, 0, 0, helper)

    def jump(self, place: str) -> None:
        """Go on elsewhere."""
        self.put(0x05, 0, 0, place)

    def jump_if(self, register: int, value: int, place: str, *, equal: bool = True) -> None:
        """Go on elsewhere if a register has that value, or another."""
        self.put(0x15 if equal else 0x55, register, 0, place, value)

    def leave(self, verdict: int) -> None:
        """End with a verdict."""
        self.number(0, verdict)
        self.put(0x95)

    def load(self, offset: int, at: int, length: int) -> None:
        """Bytes of the packet to the stack; what is shorter is passed."""
        self.copy(1, 6)
        self.number(2, offset)
        self.address(3, at)
        self.number(4, length)
        self.call(LOAD_BYTES)
        self.jump_if(0, 0, "pass", equal=False)

    def look_up(self, table: Map, at: int) -> None:
        """Register 0 gets the address of the entry whose key stands there, 0 for none."""
        self.put(0x18, 1, 1, 0, table.fd)
        self.put(0)
        self.address(2, at)
        self.call(LOOKUP)

    def translate(self, offset: int, name: str) -> None:
        """An address of the packet gets the new value for the old one, which both stand on the stack; checksums stay true."""
        for change, at, flags, protocol in (
            (L3_CSUM, IP_CSUM, 4, None),
            (L4_CSUM, UDP_CSUM, PSEUDO_HEADER | MANGLED_0 | 4, socket.IPPROTO_UDP),
            (L4_CSUM, TCP_CSUM, PSEUDO_HEADER | 4, socket.IPPROTO_TCP),
        ):
            if protocol is not None:
                self.read("b", 1, 10, _PROTOCOL)
                self.jump_if(1, protocol, f"{name}-{protocol}", equal=False)
            self.copy(1, 6)
            self.number(2, at)
            self.read("w", 3, 10, _OLD)
            self.read("w", 4, 10, _NEW)
            self.number(5, flags)
            self.call(change)
            if protocol is not None:
                self.place(f"{name}-{protocol}")
        self.store(offset, _NEW, 4)

    def store(self, offset: int, at: int, length: int) -> None:
        """Bytes of the stack to the packet."""
        self.copy(1, 6)
        self.number(2, offset)
        self.address(3, at)
        self.number(4, length)
        self.number(5, 0)
        self.call(STORE_BYTES)

    def loaded(self, name: str) -> int:
        """The program in the kernel. Raises OSError with what its verifier says."""
        raw = b""
        for index, (code, target, source, offset, value) in enumerate(self._code):
            distance = self._places[offset] - index - 1 if isinstance(offset, str) else offset
            raw += struct.pack("<BBhi", code, source << 4 | target, distance, value)
        code_buffer, licence = ctypes.create_string_buffer(raw, len(raw)), ctypes.create_string_buffer(b"Apache-2.0")
        log = ctypes.create_string_buffer(1 << 16)
        head = struct.pack("<IIQQ", SCHED_CLS, len(raw) // 8, ctypes.addressof(code_buffer), ctypes.addressof(licence))
        title = struct.pack("<II", 0, 0) + name.encode()[:15].ljust(16, b"\0")
        try:
            return bpf(PROG_LOAD, head + struct.pack("<IIQ", 0, 0, 0) + title)
        except OSError as error:
            try:
                return bpf(PROG_LOAD, head + struct.pack("<IIQ", 1, len(log), ctypes.addressof(log)) + title)
            except OSError:
                raise OSError(error.errno, log.value.decode(errors="replace")[-2000:]) from None


class Steering:
    """A node's tables and programs."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.vxlan = socket.if_nametoindex(configuration["vxlan"])
        self.hands_to_peer = bool(configuration["hands_to_peer"])
        self.pods, self.elsewhere = Map(HASH, 4, 20), Map(HASH, 4, 4)
        self.services, self.turns = Map(HASH, 8, 8), Map(LRU_HASH, 12, 4)
        self.denied = {"Ingress": Map(HASH, 4, 4), "Egress": Map(HASH, 4, 4)}
        for pod in configuration["pods"]:
            index = socket.if_nametoindex(pod["interface"])
            value = struct.pack("<II", index, pod["identity"]) + _mac(pod["mac"]) + _mac(pod["host_mac"])
            self.pods.put(socket.inet_aton(pod["address"]), value)
        for pod in configuration["elsewhere"]:
            self.elsewhere.put(socket.inet_aton(pod["address"]), socket.inet_aton(pod["node"])[::-1])
        for service in configuration["services"]:
            protocol = socket.IPPROTO_TCP if service["protocol"] == "TCP" else socket.IPPROTO_UDP
            key = socket.inet_aton(service["address"]) + struct.pack(">H", service["port"]) + struct.pack("<H", protocol)
            backends = service["backends"]
            self.services.put(key, socket.inet_aton(backends[0]) + socket.inet_aton(backends[-1]))
        for denial in configuration["denied"]:
            self.denied[denial["direction"]].put(socket.inet_aton(denial["address"]), bytes(4))

    def _begin(self) -> Program:
        made = Program()
        made.copy(6, 1)
        made.load(12, _TYPE, 2)
        made.read("h", 1, 10, _TYPE)
        made.jump_if(1, socket.htons(0x0800), "pass", equal=False)
        made.load(14, _IP, 20)
        made.read("b", 1, 10, _IP)
        made.jump_if(1, 0x45, "pass", equal=False)
        made.load(PORTS, _PORTS, 4)
        return made

    def _end(self, made: Program) -> None:
        made.place("pass")
        made.leave(PASS)
        made.place("drop")
        made.leave(DROP)

    def _refuse(self, made: Program, direction: str, at: int) -> None:
        made.move("w", _KEY, at)
        made.look_up(self.denied[direction], _KEY)
        made.jump_if(0, 0, "drop", equal=False)

    def _translate_service(self, made: Program) -> None:
        """A Service's address becomes a backend's, by whether the source port is odd; who asked is kept for the way back."""
        made.move("w", _SERVICE, _DST)
        made.move("h", _SERVICE + 4, _PORTS + 2)
        made.read("b", 1, 10, _PROTOCOL)
        made.write("h", _SERVICE + 6, 1)
        made.look_up(self.services, _SERVICE)
        made.jump_if(0, 0, "no-service")
        made.read("b", 2, 10, _PORTS + 1)
        made.put(0x57, 2, 0, 0, 1)  # r2 &= 1
        made.read("w", 3, 0, 0)
        made.jump_if(2, 0, "chosen")
        made.read("w", 3, 0, 4)
        made.place("chosen")
        made.write("w", _NEW, 3)
        made.move("w", _OLD, _DST)
        made.move("w", _TURN, _SRC)
        made.move("w", _TURN + 4, _NEW)
        made.move("h", _TURN + 8, _PORTS)
        made.move("h", _TURN + 10, _SERVICE + 6)
        made.put(0x18, 1, 1, 0, self.turns.fd)
        made.put(0)
        made.address(2, _TURN)
        made.address(3, _OLD)
        made.number(4, 0)
        made.call(UPDATE)
        made.translate(DESTINATION, "service")
        made.move("w", _DST, _NEW)
        made.place("no-service")

    def _deliver(self, made: Program, *, to_peer: bool) -> None:
        """To a pod of this node: translated back, one hop older, with the MAC addresses of its link; on at `not-here` for others."""
        made.move("w", _KEY, _DST)
        made.look_up(self.pods, _KEY)
        made.jump_if(0, 0, "not-here")
        made.copy(9, 0)
        self._refuse(made, "Ingress", _DST)
        made.move("w", _TURN, _DST)
        made.move("w", _TURN + 4, _SRC)
        made.move("h", _TURN + 8, _PORTS + 2)
        made.read("b", 1, 10, _PROTOCOL)
        made.write("h", _TURN + 10, 1)
        made.look_up(self.turns, _TURN)
        made.jump_if(0, 0, "no-turn")
        made.read("w", 1, 0, 0)
        made.write("w", _NEW, 1)
        made.move("w", _OLD, _SRC)
        made.translate(SOURCE, "turn")
        made.place("no-turn")
        made.read("h", 7, 10, _TTL_PROTOCOL)
        made.read("b", 1, 10, _TTL_PROTOCOL)
        made.put(0x07, 1, 0, 0, -1)  # r1 -= 1
        made.jump_if(1, 0, "drop")
        made.write("b", _TTL_PROTOCOL, 1)
        made.copy(1, 6)
        made.number(2, IP_CSUM)
        made.copy(3, 7)
        made.read("h", 4, 10, _TTL_PROTOCOL)
        made.number(5, 2)
        made.call(L3_CSUM)
        made.store(TTL, _TTL_PROTOCOL, 1)
        made.copy(1, 6)
        made.number(2, 0)
        made.copy(3, 9)
        made.put(0x07, 3, 0, 0, 8)
        made.number(4, 12)
        made.number(5, 0)
        made.call(STORE_BYTES)
        made.read("w", 1, 9, 0)
        made.number(2, 0)
        made.call(REDIRECT_PEER if to_peer else REDIRECT)
        made.put(0x95)
        made.place("not-here")

    def _encapsulate(self, made: Program) -> None:
        """To a pod of another node: into the tunnel, with the sender's identity as the VNI."""
        made.move("w", _KEY, _DST)
        made.look_up(self.elsewhere, _KEY)
        made.jump_if(0, 0, "pass")
        made.read("w", 1, 0, 0)
        made.write("w", _TUNNEL + 4, 1)
        made.number(7, 1)  # that of the node itself
        made.move("w", _KEY, _SRC)
        made.look_up(self.pods, _KEY)
        made.jump_if(0, 0, "node")
        made.read("w", 7, 0, 4)
        made.place("node")
        made.write("w", _TUNNEL, 7)
        made.copy(1, 6)
        made.address(2, _TUNNEL)
        made.number(3, 8)  # tunnel_id and remote_ipv4 (struct bpf_tunnel_key)
        made.number(4, ZERO_CSUM_TX)
        made.call(SET_TUNNEL_KEY)
        made.number(1, self.vxlan)
        made.number(2, 0)
        made.call(REDIRECT)
        made.put(0x95)

    def from_pod(self, name: str, *, to_peer: bool) -> int:
        """What a pod sends, and what the node sends to pods."""
        made = self._begin()
        self._refuse(made, "Egress", _SRC)
        self._translate_service(made)
        self._deliver(made, to_peer=to_peer)
        self._encapsulate(made)
        self._end(made)
        return made.loaded(name)

    def from_tunnel(self) -> int:
        """What comes out of the tunnel."""
        made = self._begin()
        self._deliver(made, to_peer=self.hands_to_peer)
        made.jump("pass")
        self._end(made)
        return made.loaded("cil_from_overlay")


def passing(name: str) -> int:
    """A program that lets everything pass, as Cilium's at the NIC does with VXLAN."""
    made = Program()
    made.leave(PASS)
    return made.loaded(name)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _attach(program: int, interface: str, side: int) -> None:
    bpf(LINK_CREATE, struct.pack("<IIIIIIQ", program, socket.if_nametoindex(interface), side, 0, 0, 0, 0))


def main() -> None:
    """Load, attach, wait for the end."""
    configuration = json.loads(Path(sys.argv[1]).read_text())
    steering = Steering(configuration)
    from_pod = steering.from_pod("cil_from_container", to_peer=steering.hands_to_peer)
    for pod in configuration["pods"]:
        _attach(from_pod, pod["interface"], TCX_INGRESS)
    _attach(steering.from_tunnel(), configuration["vxlan"], TCX_INGRESS)
    _attach(passing("cil_from_netdev"), configuration["nic"], TCX_INGRESS)
    _attach(passing("cil_to_netdev"), configuration["nic"], TCX_EGRESS)
    # bpf_redirect_peer works at ingress alone.
    _attach(steering.from_pod("cil_from_host", to_peer=False), configuration["host"], TCX_EGRESS)
    print("attached", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
