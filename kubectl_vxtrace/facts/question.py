"""The one batch of questions that a look at a node is."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from ipaddress import ip_address

from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.cluster import NodeCommand

# The script asks one thing after the other, each bounded at 8 s, and gives up when three had no answer in time; see look.sh.
TIMEOUT_S = 30.0
# More than the sum of the bounds of what can be long at once: iptables, nft's tables, connections, sets.
MAX_BYTES = 64 * 1024 * 1024
_PORTED = ("TCP", "UDP", "SCTP")
# One script in parts: how a question is asked and answered, what is asked of each subject, and the order of it all.
_PARTS = ("look", "routes", "filters", "devices", "kernel", "pods", "everything")


def look(
    node: str,
    *,
    local: Sequence[str],
    remote: Sequence[str],
    underlay: Sequence[str],
    services: Sequence[str] = (),
    lookups: Sequence[str] = (),
    tuples: Sequence[tuple[str, int, str]] = (),
    connections_only: bool = False,
) -> NodeCommand:
    """The command that asks `node` everything in one exec.

    Args:
        node: the node's name.
        local: addresses of the flow's ends on this node.
        remote: addresses of the flow's ends elsewhere; routes are asked for each pair with a local one.
        underlay: underlay addresses of the other nodes; routes to them are asked from the VXLAN devices' own address too.
        services: addresses of Services that the flows ask; their routes are asked as the local ends' own packets ask.
        lookups: further addresses, asked as those of `underlay` are; connections that name them are listed, too.
        tuples: protocol (`UDP`), port and address of the flow's other end, asked from each local address; only TCP, UDP and SCTP.
        connections_only: ask for connections and nothing else.

    Raises:
        CannotRunError: something is not an IP address.
    """
    arguments = [
        *_arguments(node, "local", local),
        *_arguments(node, "remote", remote),
        *_arguments(node, "underlay", underlay),
        *_arguments(node, "service", services),
        *_arguments(node, "lookup", lookups),
        *dict.fromkeys(f"tuple:{word.lower()},{port},{_checked(node, to)}" for word, port, to in tuples if word in _PORTED),
        *(["only:conntrack"] if connections_only else []),
    ]
    argv = ("sh", "-c", _script(), "vxtrace-look", *arguments)
    return NodeCommand(node=node, key="look", argv=argv, timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES)


@cache
def _script() -> str:
    """The parts as one, without comments and indentation: an exec carries its command in the request's address, which proxies bound."""
    texts = (files(__package__).joinpath(f"{part}.sh").read_text(encoding="utf-8") for part in _PARTS)
    lines = (line.strip() for text in texts for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def _arguments(node: str, kind: str, addresses: Iterable[str]) -> list[str]:
    return [f"{kind}:{_checked(node, address)}" for address in dict.fromkeys(addresses)]


def _checked(node: str, address: str) -> str:
    """`address` as the ipaddress module writes it. A scope (`fe80::1%eth0`) is foreign text, and no pod or node has one."""
    try:
        if "%" not in address:
            return str(ip_address(address))
    except ValueError:
        pass
    raise CannotRunError(
        f"{address!r}, which {node} should be asked about, is not an IP address",
        "The API server named it as an address of a pod or node: look at the object's status.",
    )
