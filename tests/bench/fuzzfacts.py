"""Answers of nodes as no tool prints them: recorded ones with words, lines and JSON values changed."""

import json
import random
import re
from functools import cache
from pathlib import Path

import msgspec

from kubectl_vxtrace.bundle.plausible import implausible
from kubectl_vxtrace.facts import parse, texts
from kubectl_vxtrace.model.cluster import AnswerStatus
from kubectl_vxtrace.model.facts import NodeFacts
from tests.bench import oddities, seed
from tests.facts import test_ipvs, test_sets, test_traffic_control
from tests.facts.samples import answer, framed, recorded, said

_WORD = re.compile(rb"[^\s\"=,:\[\]{}]+")
_STATUSES = ("0", "0", "0", "0", "0", "0", "1", "2", "124", "137", "absent")
_QUESTIONS = 8
_ASKED = "-asked"
# What no node of the lab says, of the tests of its readers.
_PROGRAMS = b'[{"xdp":[{"devname":"ens4","ifindex":2,"id":7}],"tc":[{"devname":"c","kind":"tcx/ingress","name":"x","prog_id":9}]}]'
_CONNECTIONS = b"""Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
UDP 0AF4724B B41C 0A60000A 0035 0AF43881 0035 UDP             299
"""


@cache
def _base() -> dict[str, bytes]:
    """Recorded answers by question."""
    wireguard = {
        "endpoints": b"wireguard.cali\tKEY=\t10.128.0.95:51820\n",
        "allowed-ips": b"wireguard.cali\tKEY=\t10.244.56.128/26 10.244.56.130/32\n",
        "latest-handshakes": b"wireguard.cali\tKEY=\t1790000000\n",
        "transfer": b"wireguard.cali\tKEY=\t100\t200\n",
    }
    more = {
        "ipvs": test_ipvs._SERVICES,
        "ipvs-connections": _CONNECTIONS,
        "ipset": test_sets._LISTED,
        "tc-asked": test_traffic_control._ASKED,
        "tc": b"[" + test_traffic_control._HEAD + b"]\n[" + test_traffic_control._PROGRAM + b"," + test_traffic_control._DROP + b"]\n",
        "bpf": _PROGRAMS,
        "tcx": b"v0 tcx/ingress 101 first_one\nv0 tcx/egress 103 -\n",
        "nft": b"table ip nat\ntable inet x\n",
        "nft-table.1": said("nft.json"),
        "nft-proxy.1": said("nft-kube-proxy.json"),
        "nft-maps": said("nft-maps.json"),
        "nft-sets": said("nft-maps.json"),
        "xfrm-policy": said("xfrm-policy.txt"),
        "xfrm-state": said("xfrm-state.txt"),
        "nfqueue": b"    5  12345     3 2 65531     0     7        9  1\n",
        "listeners": b"LISTEN 1 4096 127.0.0.1:8080 0.0.0.0:*\nLISTEN 0 128 [::]:22 [::]:*\n",
        "exceptions": b'[{"dst":"10.128.0.95","gateway":"10.128.0.1","dev":"ens4","flags":["cache"],"expires":577,"mtu":1400}]',
        "ethtool-S.ens5": recorded("ethtool-S-ens4.txt"),
        "ip6tables": recorded("iptables-save.txt")[:4000],
        **{f"wireguard-{question}": raw for question, raw in wireguard.items()},
    }
    return {**seed.answers(), **more}


class Answers:
    """Hostile answers to a look, drawn from `number`."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)

    def draw(self) -> bytes:
        """What look.sh prints: some questions' answers, most of them changed."""
        base = _base()
        keys = self._random.sample(sorted(base), _QUESTIONS)
        keys += [key + _ASKED for key in keys if key + _ASKED in base]
        parts = {key: (self._random.choice(_STATUSES), self._changed(base[key]), self._complaint()) for key in keys}
        data = framed(parts)
        return oddities.changed_bytes(self._random, data) if self._random.random() < 0.03 else data

    def _complaint(self) -> bytes:
        return (
            b"" if self._random.random() < 0.9 else b"RTNETLINK answers: no\nCommand failed -:" + oddities.text(self._random, "1").encode()
        )

    def _changed(self, raw: bytes) -> bytes:
        for _ in range(self._random.choice((0, 1, 1, 2, 6))):
            way = self._random.random()
            if way < 0.15:
                raw = oddities.changed_bytes(self._random, raw)
            elif way < 0.3:
                raw = self._other_lines(raw)
            elif way < 0.55 and raw[:1] in (b"[", b"{"):
                raw = self._other_values(raw)
            else:
                raw = self._other_word(raw)
        return raw

    def _other_word(self, raw: bytes) -> bytes:
        words = list(_WORD.finditer(raw[:50_000]))
        if not words:
            return raw
        word = self._random.choice(words)
        new = oddities.text(self._random, word[0].decode("utf-8", "replace"))
        if word[0].isdigit() and len(word[0]) < 100 and self._random.random() < 0.5:
            new = str(oddities.value(self._random, int(word[0])))
        return raw[: word.start()] + new.encode("utf-8", "surrogatepass") + raw[word.end() :]

    def _other_lines(self, raw: bytes) -> bytes:
        lines = raw.split(b"\n")
        at, other = self._random.randrange(len(lines)), self._random.randrange(len(lines))
        way = self._random.randrange(4)
        if way == 0:
            del lines[at]
        elif way == 1:
            lines.insert(other, lines[at])
        elif way == 2:
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = b" ".join(reversed(lines[at].split(b" ")))
        return b"\n".join(lines)

    def _other_values(self, raw: bytes) -> bytes:
        try:
            document = json.loads(raw)
        except ValueError:
            return raw
        oddities.change(self._random, document)
        return json.dumps(document).encode()


def judge(folder: Path, data: bytes) -> str:
    """Read an answer; `partial` or `whole`. AssertionError where its bundle could not be read."""
    said = answer(data, status=AnswerStatus.OK)
    facts = parse(said)
    assert all(isinstance(raw, bytes) for raw in texts(said).values())
    again = msgspec.json.decode(msgspec.json.encode(facts), type=NodeFacts)
    assert again == facts
    assert (trouble := implausible(facts)) is None, trouble
    keys = texts(said)
    return "partial" if any(key in keys for key in facts.absent) else "whole"
