"""Counters and settings of the kernel: /proc/net, sysctls, ethtool."""

from collections.abc import Iterable

from kubectl_vxtrace.facts.reading import MOST_NUMBER


def read_tables(raw: bytes) -> dict[str, int]:
    """/proc/net/snmp and /proc/net/netstat: pairs of lines, `Udp: InDatagrams NoPorts` then `Udp: 12 0`."""
    lines = raw.decode("ascii", "replace").splitlines()
    counters = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        group, _, rest = names.partition(":")
        same, _, numbers = values.partition(":")
        if group == same:
            counters.update(_counted(f"{group}.", rest.split(), numbers.split()))
    return counters


def read_list(raw: bytes) -> dict[str, int]:
    """/proc/net/snmp6: `Ip6InReceives 12`, one a line."""
    words = (line.split() for line in raw.decode("ascii", "replace").splitlines())
    pairs = [pair for pair in words if len(pair) == 2]
    return _counted("", [name for name, _ in pairs], [value for _, value in pairs])


def _counted(prefix: str, names: Iterable[str], values: Iterable[str]) -> dict[str, int]:
    return {prefix + name: number for name, value in zip(names, values, strict=False) if (number := _number(value)) is not None}


def _number(word: str, base: int = 10) -> int | None:
    try:
        value = int(word, base) if len(word) < 21 else MOST_NUMBER + 1
    except ValueError:
        return None
    return value if abs(value) <= MOST_NUMBER else None


def _add(sums: dict[str, int], name: str, value: int) -> None:
    """Add to a sum over CPUs."""
    sums[name] = min(sums.get(name, 0) + value, MOST_NUMBER)


# The fourth to the eighth column are always zero, and the ninth has not been counted since Linux 4.7.
_SOFTNET = ("processed", "dropped", "time_squeeze", "", "", "", "", "", "", "received_rps", "flow_limit")


def read_softnet(raw: bytes) -> dict[str, int]:
    """/proc/net/softnet_stat: a line of hexadecimal columns for each CPU (softnet_seq_show in net/core/net-procfs.c)."""
    sums: dict[str, int] = {}
    for line in raw.decode("ascii", "replace").splitlines():
        for name, word in zip(_SOFTNET, line.split(), strict=False):
            if not name:
                continue
            _add(sums, f"softnet.{name}", _number(word, 16) or 0)
    return sums


def read_statistics(prefix: str, raw: bytes) -> dict[str, int]:
    """A file of /proc/net/stat: names, then a line of hexadecimal numbers for each CPU; each of them has all `entries`.

    Args:
        prefix: what the names begin with, without the dot: `conntrack`, `arp_cache`.
        raw: the file.
    """
    header, *rows = raw.decode("ascii", "replace").splitlines() or [""]
    sums: dict[str, int] = {}
    for row in rows:
        for name, word in zip(header.split(), row.split(), strict=False):
            value = _number(word, 16) or 0
            key = f"{prefix}.{name}"
            if name == "entries":
                sums[key] = value
            else:
                _add(sums, key, value)
    return sums


def read_conntrack_statistics(raw: bytes) -> dict[str, int]:
    """/proc/net/stat/nf_conntrack, or `conntrack -S`: a line of `cpu=0 found=0 invalid=3 ... drop=0` for each CPU."""
    if not raw.startswith(b"cpu="):
        return read_statistics("conntrack", raw)
    sums: dict[str, int] = {}
    for word in raw.decode("ascii", "replace").split():
        name, _, number = word.partition("=")
        value = _number(number)
        if value is not None and name != "cpu":
            _add(sums, f"conntrack.{name}", value)
    return sums


def read_ethtool_counters(device: str, raw: bytes) -> dict[str, int]:
    """`ethtool -S`: `     rx_dropped: 0`, as `ethtool.<device>.<name>`. Drivers choose the names, spaces included."""
    return {f"ethtool.{device}.{name}": value for name, words in _colon_lines(raw) if (value := _number(words)) is not None}


def read_ethtool_features(device: str, raw: bytes) -> dict[str, str]:
    """`ethtool -k`: `tx-checksum-ip-generic: on [fixed]` as `<device>.tx-checksum-ip-generic`: `on`."""
    return {
        f"{device}.{name}": words.split()[0] for name, words in _colon_lines(raw) if words.split() and words.split()[0] in ("on", "off")
    }


def read_ethtool_driver(device: str, raw: bytes) -> dict[str, str]:
    """`ethtool -i`: `driver: vmxnet3` as `<device>.driver`; names without a value are left out."""
    return {f"{device}.{name}": words for name, words in _colon_lines(raw) if words and not name.startswith("supports-")}


def read_ethtool_rings(device: str, raw: bytes) -> dict[str, str]:
    """`ethtool -g`: `RX:\t\t4096` under "Pre-set maximums:" as `<device>.ring.rx-max`, under the current settings as `<device>.ring.rx`."""
    found = {}
    ending = "-max"
    for name, words in _colon_lines(raw):
        if name.startswith("Current"):
            ending = ""
        elif name in ("RX", "TX") and words.isdecimal():
            found[f"{device}.ring.{name.lower()}{ending}"] = words
    return found


def _colon_lines(raw: bytes) -> list[tuple[str, str]]:
    lines = (line.partition(":") for line in raw.decode("utf-8", "replace").splitlines())
    return [(name.strip(), value.strip()) for name, sign, value in lines if sign]


def read_sysctls(raw: bytes) -> dict[str, str]:
    """Settings as sysctl(8) spells them.

    look.sh prints `net/ipv4/conf/vxlan.calico/rp_filter:0`, a path below /proc/sys; sysctl(8) swaps dots and slashes.
    """
    lines = (line.partition(":") for line in raw.decode("utf-8", "replace").splitlines())
    return {path.translate(str.maketrans("./", "/.")): value.strip() for path, sign, value in lines if sign}
