"""Targets as people paste them: URLs, and the cluster's DNS names (kubernetes.io/docs/concepts/services-networking/dns-pod-service)."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

# Schemes whose port everybody knows; of all others but udp, only that they are TCP.
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[^/?#@]*@)?([^/?#]*)", re.ASCII | re.IGNORECASE)
_ADDRESS_LABEL: Final = re.compile(r"[0-9a-f]*(?:-[0-9a-f]*){2,}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """What a URL says: its host and port as they stand there, the protocol, and the port where none stands there."""

    authority: str
    protocol: str
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a DNS name of the cluster stands for: an object of `kind` (`service` or `pod`), or an address."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    address: str | None = None


def read_url(text: str) -> Pasted | None:
    """What a URL says, None where `text` is none. Path, query and what stands before an @ (a password, maybe) are left out."""
    found = _URL.match(text)
    if found is None:
        return None
    scheme, authority = found[1].lower(), found[2].lower()
    return Pasted(authority=authority, protocol="UDP" if scheme == "udp" else "TCP", port=_PORTS.get(scheme))


def read_dns(name: str) -> Named | None:
    """What a DNS name with `svc` or `pod` in its place stands for, in any cluster domain; None where it is no such name.

    `NAME.NAMESPACE.svc` is a Service, `POD.NAME.NAMESPACE.svc` one of its pods, and a first label that is an address with dashes
    (`10-244-1-5.NAMESPACE.pod`) that address.
    """
    labels = name.rstrip(".").split(".")
    if len(labels) > 2 and labels[2] == "svc":
        return Named(kind="service", namespace=labels[1], name=labels[0])
    if len(labels) > 2 and labels[2] == "pod":
        address = _address(labels[0])
        return Named(address=address) if address is not None else None
    if len(labels) > 3 and labels[3] == "svc":
        address = _address(labels[0])
        return Named(address=address) if address is not None else Named(kind="pod", namespace=labels[2], name=labels[0])
    return None


def _address(label: str) -> str | None:
    """The address that a label with dashes for dots or colons spells."""
    if not _ADDRESS_LABEL.fullmatch(label):
        return None
    for separator in ".:":
        try:
            return str(ip_address(label.replace("-", separator)))
        except ValueError:
            continue
    return None
