"""Names: of interfaces that may stand in a command, and of the pcaps in a bundle."""

import re
from collections.abc import Container

from kubectl_vxtrace.model.path import Role, Tap

# Linux forbids only slashes, colons and blanks, so that `-w` or `a;id` is a legal name; these are the ones that people use.
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}")
_UNSAFE = re.compile(r"[^A-Za-z0-9.@_-]")


def usable_interface(name: str) -> bool:
    """Whether an interface of this name may stand in a command."""
    return _INTERFACE.fullmatch(name) is not None


def file_name(tap: Tap, role: Role, taken: Container[str]) -> str:
    """The pcap's name, as the by-hand procedure names it, with the interface added where the plain name is `taken`.

    `<node>-pod.pcap`, `<node>-bridge.pcap`, `<node>-vxlan-<device>.pcap` (dots as dashes, no second `vxlan-`),
    `<node>-primary-interface.pcap`.
    """
    interface = _UNSAFE.sub("_", tap.interface)
    device = interface.replace(".", "-")
    kinds = {
        Role.POD: "pod",
        Role.BRIDGE: "bridge",
        Role.VXLAN: f"vxlan-{device.removeprefix('vxlan-')}" if device else "vxlan",
        Role.UNDERLAY: "primary-interface",
    }
    stem = f"{_UNSAFE.sub('_', tap.node).lstrip('.-') or 'node'}-{kinds[role]}"
    candidates = [stem, f"{stem}-{interface}" if interface else stem]
    candidates += [f"{candidates[1]}-{number}" for number in range(2, 1000)]
    return next(name for each in candidates if (name := f"{each}.pcap") not in taken)
