"""Whatever identifies somebody in a text: found by its form (addresses, MACs, hashes, identifiers) or because it is a known name."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address

from kubectl_vxtrace.model.address import mac_number, mac_text
from kubectl_vxtrace.pseudonyms.addresses import Addresses
from kubectl_vxtrace.pseudonyms.names import Names
from kubectl_vxtrace.pseudonyms.words import KEPT_NAMES, KEPT_WORDS

_FORMS = {
    # RFC 9562: of pods, of the cluster
    "uuid": r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:[-_][0-9a-fA-F]{4}){3}[-_][0-9a-fA-F]{12}(?![0-9A-Za-z])",
    # wg(8): a public key in base64
    "key": r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])",
    "mac": r"(?<![0-9A-Za-z:])[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}(?![0-9A-Za-z:])",
    "ipv6": r"(?<![0-9A-Za-z:.])(?=[0-9A-Fa-f:.]*:[0-9A-Fa-f]*:)[0-9A-Fa-f:]+(?:\d+(?:\.\d+){3})?(?:/\d{1,3})?(?![0-9A-Za-z:])",
    "ipv4": r"(?<![0-9A-Za-z.])\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?(?![0-9A-Za-z]|\.\d)",
    # systemd.net-naming-scheme(7): of a MAC
    "macname": r"(?<![0-9A-Za-z])enx[0-9a-f]{12}(?![0-9A-Za-z])",
    # what container runtimes and networks call pods' interfaces: a hash of the pod's name, or at random
    "interface": r"(?<![0-9A-Za-z])(?:cali|veth|lxc|azv|eni|gke|cilium|br-|vethwepl|nic)[0-9a-f]{7,}(?![0-9A-Za-z])",
    # kube-proxy's iptables and nftables, Felix, kube-router: hashes of Services, endpoints, policies
    "hash": r"(?<![0-9A-Za-z])(?:KUBE-[A-Z]+-(?:FW-|CHAIN-|DEFAULT-)?[A-Z2-7]{16}|[a-z-]+-[A-Z2-7]{8}(?=-)|cali:[\w-]{16}"
    r"|cali-(?:pi|po|pri|pro|gi|go)-[\w-]{16,}|cali[46]0[a-z]:[\w-]{16,})(?![0-9A-Za-z])",
}
_SEGMENT = r"[A-Za-z0-9]+"
_TOKEN = re.compile(rf"{_SEGMENT}(?:[-._]+{_SEGMENT})*")
_FORM = re.compile("|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items()))
_SEGMENTS = re.compile(_SEGMENT)
_HASH_BEGIN = re.compile(
    r"KUBE-[A-Z]+-(?:FW-|CHAIN-|DEFAULT-)?(?=[A-Z2-7]{16})|[a-z-]+-(?=[A-Z2-7]{8}$)|cali-[a-z]+-|cali[46]0[a-z]:|cali:"
)
_BASE32 = re.compile(r"[A-Z2-7]+")
_INTERFACE_BEGIN = re.compile(r"cali|veth(?:wepl)?|lxc|azv|eni|gke|cilium|br-|nic")


class Text:
    """Texts under one key's pseudonyms. `learn` names first; the same name is found wherever it stands between other characters than
    letters and digits, the longest first."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.addresses = Addresses(key)
        self.names = Names(key)
        self._names: dict[str, str] = {}
        self._most_segments = 1
        self._tokens: dict[str, str] = {}
        self._forms: dict[str, str] = {}

    @property
    def known(self) -> dict[str, str]:
        """The learned names that have a pseudonym, and it."""
        return dict(self._names)

    @property
    def replaced(self) -> dict[str, str]:
        """What was found by its form, and what took its place."""
        return {old: new for old, new in self._forms.items() if old != new}

    def learn(self, names: Iterable[str | None]) -> None:
        """Look for these names as well; what every cluster has is left out (see words), and mere numbers, which names are not told from."""
        for name in names:
            if name and name not in self._names and any(map(str.isalpha, name)) and name.lower() not in KEPT_NAMES | KEPT_WORDS:
                pseudonym = self.names.name(name)
                if pseudonym != name:
                    self._names[name] = pseudonym
                    self._most_segments = max(self._most_segments, len(_SEGMENTS.findall(name)))
        self._tokens.clear()

    def __call__(self, text: str) -> str:
        """`text` with a pseudonym for everything that has one."""
        if len(text) < 1:
            return text
        made, at = [], 0
        for match in _FORM.finditer(text):
            made.append(self._words(text[at : match.start()]))
            made.append(self._form(match))
            at = match.end()
        made.append(self._words(text[at:]))
        return "".join(made)

    def _form(self, match: re.Match[str]) -> str:
        text = match[0]
        found = self._forms.get(text)
        if found is None:
            self._forms[text] = found = self._changed(text, match.lastgroup or "")
        return found

    def _changed(self, text: str, form: str) -> str:
        changes: dict[str, Callable[[str], str | None]] = {
            "uuid": self.names.hexadecimal,
            "key": self._public_key,
            "mac": self._mac,
            "ipv6": self._address,
            "ipv4": self._address,
            "macname": lambda name: "enx" + f"{self.addresses.mac(int(name[3:], 16)):012x}",
            "interface": lambda name: self._behind(_INTERFACE_BEGIN, name, self.names.hexadecimal),
            "hash": lambda name: self._behind(_HASH_BEGIN, name, self._hash),
        }
        changed = changes[form](text)
        return self._words(text) if changed is None else changed

    def _address(self, text: str) -> str | None:
        """An address, alone or before a prefix length; None where it is none."""
        plain, slash, length = text.partition("/")
        try:
            address: IPv4Address | IPv6Address = ip_address(plain)
        except ValueError:
            return None
        width = address.max_prefixlen
        if slash and int(length) > width:
            return None
        number = self.addresses.network(int(address), int(length) if slash else width, width)
        return f"{IPv4Address(number) if width == 32 else IPv6Address(number)}{slash}{length}"

    def _mac(self, text: str) -> str | None:
        number = mac_number(text)
        return None if number is None else mac_text(self.addresses.mac(number))

    def _public_key(self, text: str) -> str:
        return b64encode(blake2b(text.encode(), digest_size=32, key=self._key, person=b"public key").digest()).decode()

    def _hash(self, text: str) -> str:
        if _BASE32.fullmatch(text):
            return self.names.base32(text)
        return "".join(part if not part[:1].isalnum() else self.names.whole(part) for part in re.split(r"([^A-Za-z0-9]+)", text))

    @staticmethod
    def _behind(begin: re.Pattern[str], text: str, change: Callable[[str], str]) -> str:
        match = begin.match(text)
        end = match.end() if match is not None else 0
        return text[:end] + change(text[end:])

    def _words(self, text: str) -> str:
        return _TOKEN.sub(lambda match: self._token(match[0]), text) if self._names else text

    def _token(self, token: str) -> str:
        found = self._tokens.get(token)
        if found is None:
            self._tokens[token] = found = self._replaced(token)
        return found

    def _replaced(self, token: str) -> str:
        """The longest known names of a token, from its beginning on; a name begins and ends where a run of letters and digits does."""
        segments = [(match.start(), match.end()) for match in _SEGMENTS.finditer(token)]
        made, at, first = [], 0, 0
        while first < len(segments):
            last = min(first + self._most_segments, len(segments)) - 1
            while last >= first and token[segments[first][0] : segments[last][1]] not in self._names:
                last -= 1
            if last >= first:
                begin, end = segments[first][0], segments[last][1]
                made += [token[at:begin], self._names[token[begin:end]]]
                at, first = end, last
            first += 1
        return "".join([*made, token[at:]])


def forms(text: str) -> Iterator[str]:
    """Whatever stands in a text and has the form of something that identifies somebody."""
    return (match[0] for match in _FORM.finditer(text))
