"""Where captures were made, as the user says: `--node NAME=ADDRESS` and `--hop NODE:ROLE=FILE`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.path import Role
from kubectl_vxtrace.model.recording import LooseFile

FABRIC: Final = "tor"
"""The top-of-rack switch, or any other one between nodes."""

_ROLES: Final = {role.value: role for role in Role}


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenHop:
    """A capture file, its node and its role; `fabric`: it was made at a switch, and its role is that of a NIC."""

    node: str
    role: Role
    file: str
    fabric: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the user says of files: hops, and nodes' underlay addresses by name."""

    hops: tuple[GivenHop, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)

    @property
    def only_switches(self) -> bool:
        """Whether nothing is said but which files were made at switches."""
        return bool(self.hops) and not self.addresses and all(hop.fabric for hop in self.hops)


def read_given(nodes: Sequence[str], hops: Sequence[str]) -> Given:
    """The values of `--node` and `--hop`; `tor=FILE` is a switch that is called tor.

    Raises:
        UsageError: one is malformed, or a node has two addresses, or two nodes one.
    """
    addresses: dict[str, str] = {}
    for text in nodes:
        name, address = _node(text)
        if addresses.get(name, address) != address or any(other != name and known == address for other, known in addresses.items()):
            raise UsageError(f"--node {text} contradicts another --node", "each node has one underlay address, and no two have the same")
        addresses[name] = address
    return Given(hops=tuple(map(_hop, hops)), addresses=addresses)


def placed(files: Sequence[LooseFile], given: Given) -> tuple[LooseFile, ...]:
    """The files with what was given for them.

    Raises:
        UsageError: a `--hop` names none of the files, or several.
    """
    found = list(files)
    for hop in given.hops:
        at = [number for number, file in enumerate(files) if _is_named(file, hop.file)]
        if len(at) != 1:
            among = "none of the files that were given" if not at else f"{len(at)} files: {', '.join(files[number].name for number in at)}"
            raise UsageError(
                f"--hop {hop.node}:...={hop.file} names {among}", "name the file by its path, with as many folders as tell it apart"
            )
        found[at[0]] = replace(found[at[0]], node=hop.node, role=hop.role, fabric=hop.fabric)
    return tuple(found)


def _node(text: str) -> tuple[str, str]:
    name, _, address = text.partition("=")
    try:
        return _name(name), str(IPv4Address(address))
    except ValueError as error:
        raise UsageError(f"--node {text} is not NAME=ADDRESS", "for example: --node ada-ec-1=10.128.0.72") from error


def _hop(text: str) -> GivenHop:
    place, _, file = text.partition("=")
    node, _, role = place.rpartition(":")
    if place == FABRIC:  # a switch needs no name where it is the only one
        node = FABRIC
    if not file or role not in (*_ROLES, FABRIC):
        raise UsageError(
            f"--hop {text} is not NODE:ROLE=FILE", f"ROLE is one of {', '.join((*_ROLES, FABRIC))}; for example: --hop ada-ec-1:pod=a.pcap"
        )
    try:
        return GivenHop(node=_name(node), role=_ROLES.get(role, Role.UNDERLAY), file=file, fabric=role == FABRIC)
    except ValueError as error:
        raise UsageError(f"--hop {text} names no node", "for example: --hop ada-ec-1:pod=a.pcap") from error


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


def _is_named(file: LooseFile, text: str) -> bool:
    """Whether a file is meant by its path, or by the last parts of the name by which it was handed over."""
    if file.path and Path(text).exists():
        return Path(text).resolve() == Path(file.path).resolve()
    wanted = text.removeprefix("./").split("/")
    return file.name.split("/")[-len(wanted) :] == wanted
