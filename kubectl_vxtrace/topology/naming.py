"""What a capture file's name says, in the habits that people and tools have.

The by-hand procedure's `NODE-pod.pcap`, `NODE-vxlan-calico.pcap`, `NODE-primary-interface.pcap`; `NODE_INTERFACE.pcap` and
`NODE-INTERFACE.pcap`; `NODE/pod.pcap` and `NODE/INTERFACE.pcap` in folders, as Troubleshoot's copyFromHost and `oc adm must-gather` make
them; Retina's `CAPTURE-NODE-20240131101530UTC.pcap`; and the numbers and times that tcpdump (`-C`, `-W`, `-G`), dumpcap and editcap add.
"""

import re
from dataclasses import dataclass
from typing import Final

from kubectl_vxtrace.model.address import unique
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.topology.cni import BRIDGES, CNIS, is_known_device


@dataclass(frozen=True, slots=True, kw_only=True)
class NameHint:
    """What a name says; a hint and no more.

    node: None where nothing in the name can be one. certain: a role or an interface stands beside the node; without, it is a guess. role,
    interface: None and empty where nothing says so. everywhere: it says `any`. series: the name without what tells parts of one capture
    apart. rotated: such a mark was there that only tools make; `numbered`: a number was there that may as well be the node's.
    """

    node: str | None
    certain: bool
    role: Role | None
    interface: str
    everywhere: bool
    fabric: bool
    series: str
    rotated: bool
    numbered: bool


_BETWEEN: Final = r"[-_./@+ ]"
_ENDS: Final = "-_./@+ "
_PACKED = re.compile(r"\.(?:gz|zst|xz|bz2)$", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(?:tar|tgz|zip)$", re.IGNORECASE)
# `-C` appends a number to the whole name, with `-W` in a fixed width (tcpdump(1)); log rotation appends `.1`.
_EXTENSION = re.compile(r"\.(?:pcapng|pcap|cap|dmp|ntar)(?P<number>\d*|[.-]\d+)$", re.IGNORECASE)
# What `-G` writes where strftime(3) stands in the name: a day, with or without a time, or seconds since 1970.
_TIME: Final = (
    r"(?:\d{4}-\d\d-\d\d|\d{8})(?:[-_T. ]?(?:\d\d[-:_.]\d\d(?:[-:_.]\d\d)?|\d{6}|\d{4}))?(?:\.\d{1,9})?(?:Z|UTC|[+-]\d{4})?"
    r"|\d{14}(?:Z|UTC)?|1\d{9}(?:\.\d{1,9})?"
)
# dumpcap's ring buffer and editcap -c: `_00001_20240131101530`.
_RING: Final = r"\d{5}_\d{14}"
_STAMP = re.compile(rf"(?:^|{_BETWEEN})(?:{_RING}|{_TIME})(?=$|{_BETWEEN})")
_NUMBER = re.compile(rf"{_BETWEEN}?(?<!\d)\d{{1,4}}$")

_WORDS: Final = {
    "pod": Role.POD,
    "bridge": Role.BRIDGE,
    "vxlan": Role.VXLAN,
    "vtep": Role.VXLAN,
    "overlay": Role.VXLAN,
    "primary-interface": Role.UNDERLAY,
    "underlay": Role.UNDERLAY,
    "nic": Role.UNDERLAY,
    "uplink": Role.UNDERLAY,
}
_FABRIC: Final = "tor"
# Signs that stand in devices' names and that names of files change into one another.
_SIGN: Final = re.compile(r"[._-]")


def _spelled(glob: str) -> str:
    """The pattern of a device's name in the names of files: with any sign between its parts, a number for a `*`, or for IPv6 (`-v6`)."""
    first, *rest = _SIGN.split(glob)
    return r"[._-]".join([f"{re.escape(first)}(?:-v6)?", *(r"\d+" if part == "*" else re.escape(part) for part in rest)])


# What networks call their devices, what the kernel and clouds call those of pods and bridges, and what udev calls NICs (systemd's
# predictable names: en, then o, p, s or x), with a VLAN's number behind.
_POD_PREFIXES: Final = (*(cni.pod_interfaces.prefix for cni in CNIS if cni.pod_interfaces is not None), "azv", "eni", "gke", "tap")
_DEVICES: Final = {
    Role.POD: rf"(?:{'|'.join(unique(_POD_PREFIXES))})[0-9a-f_]{{4,}}|veth[0-9a-z]{{2,}}",
    Role.BRIDGE: rf"{'|'.join(map(re.escape, BRIDGES))}|cbr0|docker0|kube-bridge|br\d+|br-[0-9a-z]+|virbr\d+",
    Role.VXLAN: rf"{'|'.join(unique(_spelled(cni.device) for cni in CNIS))}|vxlan[._]?\d+|vxlan_sys_\d+",
    Role.UNDERLAY: r"(?:eth\d+|en[opsx][0-9a-z]+|bond\d+|team\d+|wlan\d+|em\d+|p\d+p\d+|ib\d+|tailscale\d+|wg\d+)(?:[.@]\d+)?",
}
_WORD = re.compile(rf"(?:^|(?<={_BETWEEN}))(?P<word>{'|'.join((*_WORDS, _FABRIC))})(?=$|{_BETWEEN})", re.IGNORECASE)
_ANY_DEVICE: Final = "|".join(f"(?P<{role.name}>{pattern})" for role, pattern in _DEVICES.items())
_DEVICE = re.compile(rf"(?:^|(?<={_BETWEEN}))(?:{_ANY_DEVICE}|(?P<any>any))(?=$|{_BETWEEN})", re.IGNORECASE)
# What says that a file is a capture, and nothing else; and what folders and archives of captures are called that are named after no node.
_FILLER: Final = r"(?:tcpdump|tshark|dumpcap|pcaps?|captures?|dumps?|traces?|packets?)"
_FILLED = re.compile(rf"^(?:{_FILLER}(?:{_BETWEEN}+|$))+|(?:(?:^|{_BETWEEN}+){_FILLER})+$", re.IGNORECASE)
_PLAIN_FOLDERS: Final = frozenset(
    {"archive", "data", "files", "host-collectors", "logs", "network", "out", "output", "run-host", "system", "tmp"}
)


def hint_of(name: str) -> NameHint:
    """What the name of a file says, given with its folders and archives (`captures/ada-ec-1/pod.pcap`)."""
    *folders, base = name.split("/")
    stem, number = _without_extension(base)
    stem, stamped = _without(_STAMP, stem)
    word, device = _last(_WORD, stem), _last(_DEVICE, stem)
    told = word or device
    before, after = (stem[: told.start()], stem[told.end() :]) if told is not None else (stem, "")
    if word is not None and (beside := _last(_DEVICE, before)) is not None and not before[beside.end() :].strip(_ENDS):
        before, device = before[: beside.start()], beside
    node = _node_in(before) or (_node_in(after) if device is None or device is told else "")
    series, numbered = _without(_NUMBER, stem)
    # A number that ends a device's name, or the name of a node that comes last, is none of a part.
    numbered = numbered and not (device is not None and device.end() == len(stem)) and bool(not node or _node_in(before))
    device = device or _in_folders(folders)
    return NameHint(
        node=node or _folder(folders) or None,
        certain=told is not None,
        role=_role(word, device),
        interface=_interface(device),
        everywhere=device is not None and device["any"] is not None,
        fabric=word is not None and word["word"].lower() == _FABRIC,
        series="/".join((*folders, series if numbered else stem)),
        rotated=stamped or bool(number),
        numbered=numbered,
    )


def _without_extension(base: str) -> tuple[str, str]:
    """The name without the capture's ending, and the number behind that."""
    base = _PACKED.sub("", base)
    match = _EXTENSION.search(base)
    return (base[: match.start()], match["number"]) if match is not None else (base, "")


def _without(pattern: re.Pattern[str], text: str) -> tuple[str, bool]:
    shorter, count = pattern.subn("", text)
    return shorter.strip(_ENDS), count > 0


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last match, as the node's name comes first and may hold anything."""
    return max(pattern.finditer(text), key=lambda match: match.start(), default=None)


def _node_in(text: str) -> str:
    """What can be a node's name in a part of a file's: more than a number, and more than that it is a capture."""
    bare = _FILLED.sub("", text.strip(_ENDS)).strip(_ENDS)
    return "" if bare.isdecimal() else bare


def _folder(folders: list[str]) -> str:
    """The nearest folder, archive or capture file around that can be called after a node."""
    for folder in reversed(folders):
        if _EXTENSION.search(_PACKED.sub("", folder)) is not None:
            name = hint_of(folder).node or ""
        else:
            name = _node_in(_without(_STAMP, _ARCHIVE.sub("", _PACKED.sub("", folder)))[0])
        if name and name.lower() not in _PLAIN_FOLDERS and _DEVICE.fullmatch(name) is None:
            return name
    return ""


def _in_folders(folders: list[str]) -> re.Match[str] | None:
    """A device's name, where the innermost folder is called after one."""
    return _DEVICE.fullmatch(folders[-1]) if folders else None


def _role(word: re.Match[str] | None, device: re.Match[str] | None) -> Role | None:
    if word is not None:
        return _WORDS.get(word["word"].lower(), Role.UNDERLAY)
    return next((role for role in _DEVICES if device is not None and device[role.name] is not None), None)


def _interface(device: re.Match[str] | None) -> str:
    """The device's name as the kernel has it; not known where the file's name writes a network's device with other signs."""
    if device is None or device["any"] is not None:
        return ""
    respelled = any(re.fullmatch(_spelled(cni.device), device[0], re.IGNORECASE) for cni in CNIS)
    return device[0] if not respelled or is_known_device(device[0]) else ""
