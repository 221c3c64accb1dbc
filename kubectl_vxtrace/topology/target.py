"""A target as it is typed: `[TYPE/][NAMESPACE/]NAME[:PORT[/PROTO]]`, or an address with a port."""

import re
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeVar

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.model.request import Target
from kubectl_vxtrace.topology.pasted import read_dns, read_url

# kubectl's singular, plural and short names (`kubectl api-resources`), and the form that `kubectl get -o name` prints.
_SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "pod": ("pod", "pods", "po"),
    "service": ("service", "services", "svc"),
    "deployment": ("deployment", "deployments", "deploy", "deployment.apps", "deployments.apps"),
    "statefulset": ("statefulset", "statefulsets", "sts", "statefulset.apps", "statefulsets.apps"),
    "daemonset": ("daemonset", "daemonsets", "ds", "daemonset.apps", "daemonsets.apps"),
    "node": ("node", "nodes", "no"),
}
_KINDS: Final = {spelling: kind for kind, spellings in _SPELLINGS.items() for spelling in spellings}
_PROTOCOLS: Final = ("TCP", "UDP", "ICMP")

# RFC 1123 subdomain as Kubernetes checks names, 253 characters; a trailing dash or dot is let through: a typed prefix may end so.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}", re.ASCII)
# RFC 1123 label: namespaces.
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_PORT_MAX: Final = 65535
# IANA_SVC_NAME, as Kubernetes checks names of ports (RFC 6335, 5.1).
_PORT_NAME: Final = re.compile(r"(?=[a-z0-9-]{0,14}[a-z])[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_PORT_NAME_MAX: Final = 15

_PROTOCOL_BEHIND_COLON: Final = re.compile(r"([^:]+:[0-9]+):(tcp|udp)", re.ASCII | re.IGNORECASE)
_FORM: Final = (
    "a target is [TYPE/][NAMESPACE/]NAME[:PORT[/PROTO]], an address or a URL, for example svc/kube-system/kube-dns:53/udp or 10.96.0.10:53"
)
_BRACKETS: Final = "an IPv6 address with a port is written [fd00::1]:53"


def shown(text: str) -> str:
    """`text` in quotes as a message may repeat it: ASCII, without control characters, at most 80 characters."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def parse_kind(text: str) -> str | None:
    """The singular kubectl name of a type that `text` spells or abbreviates, or None."""
    return _KINDS.get(text.lower())


def parse_protocol(text: str) -> str:
    """`TCP`, `UDP` or `ICMP`, in any case.

    Raises:
        UsageError: it is none of them.
    """
    protocol = text.upper()
    if protocol not in _PROTOCOLS:
        raise UsageError(f"protocol {shown(text)} is not known", "use tcp, udp or icmp")
    return protocol


def parse_namespace(text: str) -> str:
    """`text`, which names a namespace.

    Raises:
        UsageError: no namespace can have that name.
    """
    if not _NAMESPACE.fullmatch(text):
        raise UsageError(f"{shown(text)} is no name of a namespace", "small letters, digits and dashes, 63 at most")
    return text


def parse_target(text: str, *, protocol: str | None = None, port: int | None = None) -> Target:
    """Read one end of a trace as it was typed.

    Args:
        text: `[TYPE/][NAMESPACE/]NAME[:PORT[/PROTO]]`, `10.96.0.10:53/udp` or `[fd00::1]:53`. A first part that spells a TYPE is one.
            Also a URL (`https://api.shop/x`), of which the host and the port count, a Service's port by its name (`api:http`), and a DNS
            name of the cluster (`api.shop.svc`).
        protocol, port: of flags of their own; they may repeat what `text` says, not contradict it.

    Raises:
        UsageError: `text` is no target; says what is wrong with it.
    """
    if not text:
        raise UsageError("the target is empty", _FORM)
    if text.startswith("-"):
        raise UsageError(f"{shown(text)} begins with a dash: it would be a flag, and no name begins so", _FORM)
    url = read_url(text)
    head, tail = _split_port(url.authority if url is not None else text)
    part = _parse_tail(tail, text)
    if url is not None:
        default = url.port if part.port is None and port is None else None
        part = replace(part, port=part.port or default, protocol=_agreed("protocol", url.protocol, part.protocol))
    ports = _with_flags(part, port, protocol)
    return replace(_parse_head(head), port=ports.port, port_name=ports.port_name, protocol=ports.protocol)


def parse_source(name: str | None, selector: str | None) -> Target:
    """The end that a trace starts at: a pod by name, or by the labels that it has.

    Raises:
        UsageError: neither is given, or both, or what is given is none.
    """
    if selector is None:
        if name is None:
            raise UsageError("no pod is named", "name the pod whose traffic to follow: [NAMESPACE/]NAME, or -l SELECTOR")
        return parse_target(name)
    if name is not None:
        raise UsageError(f"both a pod, {shown(name)}, and a selector are given", "give the pod's name, or -l SELECTOR")
    from kubectl_vxtrace.topology.selector import parse_selector  # with all records of a cluster, for which completion has no time

    parse_selector(selector)
    return Target(selector=selector)


def _with_flags(part: Target, port: int | None, protocol: str | None) -> Target:
    """Port and protocol as the target and the flags say them. Raises UsageError where they contradict each other."""
    if part.port_name is not None and port is not None:
        raise UsageError(f"the target says port {part.port_name}, the flag --port says {port}", "give it once")
    chosen = replace(
        part,
        port=_agreed("port", part.port, _checked_port(port)),
        protocol=_agreed("protocol", part.protocol, None if protocol is None else parse_protocol(protocol)),
    )
    named = chosen.port_name or chosen.port
    if chosen.protocol == "ICMP" and named is not None:
        raise UsageError(f"ICMP has no ports, but port {named} was given", "leave the port out, or choose tcp or udp")
    return chosen


def _split_port(text: str) -> tuple[str, str | None]:
    """What stands before and after the colon of the port; a bare IPv6 address has colons of its own."""
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or ":" not in inside:
            raise UsageError(f"{shown(text)} is no address in brackets", _BRACKETS)
        if _address(inside) is None:
            raise UsageError(f"{shown(inside)} is no IPv6 address", _FORM)
        return inside, rest[1:] if rest else None
    if text.count(":") > 1:
        if _address(text) is None:
            with_colon = _PROTOCOL_BEHIND_COLON.fullmatch(text)
            hint = f"write {with_colon[1]}/{with_colon[2]}" if with_colon else _BRACKETS
            raise UsageError(f"{shown(text)} is neither a target nor an IPv6 address", hint)
        return text, None
    head, colon, tail = text.partition(":")
    return head, tail if colon else None


def _parse_tail(tail: str | None, text: str) -> Target:
    """Port and protocol from `PORT[/PROTO]`, as a target that has nothing else; PORT is a number, or a name that a Service gives it."""
    if tail is None:
        return Target()
    number, slash, protocol = tail.partition("/")
    named = len(number) <= _PORT_NAME_MAX and _PORT_NAME.fullmatch(number) is not None
    if not named and not _PORT.fullmatch(number):
        raise UsageError(
            f"{shown(number)} in {shown(text)} is no port", "a port is a number from 1 to 65535, or the name of a Service's port"
        )
    return Target(
        port=None if named else _checked_port(int(number)),
        port_name=number if named else None,
        protocol=parse_protocol(protocol) if slash else None,
    )


def _checked_port(port: int | None) -> int | None:
    if port is not None and not 1 <= port <= _PORT_MAX:
        raise UsageError(f"{port} is no port", "a port is a number from 1 to 65535")
    return port


_Value = TypeVar("_Value", int, str)


def _agreed(what: str, typed: _Value | None, flag: _Value | None) -> _Value | None:
    """The one value that the target and a flag say."""
    if typed is not None and flag is not None and typed != flag:
        raise UsageError(f"the target says {what} {typed}, the flag --{what} says {flag}", "give it once")
    return typed if typed is not None else flag


def _address(text: str) -> str | None:
    """The canonical text of an IP address without a zone, or None."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise UsageError(f"{shown(text)} has a zone: link-local addresses do not cross nodes", _FORM)
    return str(address)


def _parse_head(head: str) -> Target:
    """A target without port, from an address, `[TYPE/][NAMESPACE/]NAME` or a DNS name of the cluster."""
    if (address := _address(head)) is not None:
        return Target(address=address)
    if "/" not in head and (dns := read_dns(head)) is not None:
        head = "/".join(part for part in (dns.kind, dns.namespace, dns.name) if part is not None)
        if dns.address is not None:
            return Target(address=dns.address)
    parts = head.split("/")
    kind = parse_kind(parts[0]) if len(parts) > 1 else None
    rest = parts[1:] if kind else parts
    if len(rest) > 2:
        raise UsageError(f"{shown(head)} has too many parts, or its first is no TYPE", f"types: {', '.join(_SPELLINGS)}; {_FORM}")
    namespace = rest[0] if len(rest) == 2 else None
    name = rest[-1]
    if kind == "node" and namespace is not None:
        raise UsageError(f"{shown(head)}: nodes have no namespace", f"write node/{name}")
    if namespace is not None:
        parse_namespace(namespace)
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{shown(name)} is no name that Kubernetes allows", "small letters, digits, dashes and dots; the first is no dash or dot"
        )
    if kind == "service" and namespace is None and "." in name:  # no Service's name has a dot (RFC 1035 label): it is one of DNS
        dns = read_dns(f"{name}.svc" if name.count(".") == 1 else name)
        if dns is not None and dns.kind == kind:
            namespace, name = dns.namespace, dns.name or name
    return Target(kind=kind, namespace=namespace, name=name)
