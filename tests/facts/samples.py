"""Recorded answers of a real node (Calico 3.30, a client's VTEP missing from its allow list), and answers made of parts."""

from collections.abc import Mapping
from pathlib import Path

from kubectl_vxtrace.model.cluster import AnswerStatus, NodeAnswer, NodeCommand

_DATA = Path(__file__).parent / "data"


def recorded(name: str, when: str = "before") -> bytes:
    return (_DATA / when / name).read_bytes()


def said(name: str) -> bytes:
    """What a tool printed elsewhere."""
    return (_DATA / name).read_bytes()


def nft_table() -> bytes:
    return (_DATA / "nft.json").read_bytes()


def framed(answers: Mapping[str, tuple[str, bytes, bytes]]) -> bytes:
    """What look.sh prints for these answers: key -> (status, stdout, stderr)."""
    index = "".join(f"{key} {status} {len(out)} {len(err)}\n" for key, (status, out, err) in answers.items())
    return b"vxtrace-look 1\n" + index.encode() + b"\n" + b"".join(out + err for _, out, err in answers.values())


def answer(stdout: bytes, *, status: AnswerStatus = AnswerStatus.OK, stderr: bytes = b"", reason: str | None = None) -> NodeAnswer:
    command = NodeCommand(node="ada-ec-2", key="look", argv=("sh",))
    return NodeAnswer(
        command=command, status=status, exit_code=0, stdout=stdout, stderr=stderr, reason=reason, sent_ns=1_000, received_ns=9_000
    )
