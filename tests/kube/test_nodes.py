import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubectl_vxtrace.errors import CannotRunError, UsageError, VxtraceError
from kubectl_vxtrace.kube import exec as exec_module
from kubectl_vxtrace.kube import nodes as nodes_module
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.kube.debugpod import DebugPods
from kubectl_vxtrace.kube.nodes import DebugNodes
from kubectl_vxtrace.model.cluster import AnswerStatus, Node, NodeCommand
from kubectl_vxtrace.model.request import PodOptions
from tests.kube.fake import Fake, Stream

TWO = tuple(Node(name=name, annotations={}) for name in ("a", "b"))


@pytest.fixture
def nodes(connection: Connection) -> Iterator[DebugNodes]:
    pods = DebugPods(connection, session="s", options=PodOptions(), lifetime_s=60)
    dark = Node(name="dark", ready=False, not_ready_reason="gone", annotations={})
    pods.start((*TWO, dark))
    with DebugNodes(connection, pods) as found:
        yield found
    pods.delete()


def command(node: str, *argv: str, key: str = "k", timeout_s: float = 5, max_bytes: int = 1000) -> NodeCommand:
    return NodeCommand(node=node, key=key, argv=argv, timeout_s=timeout_s, max_bytes=max_bytes)


def test_answers_stand_in_the_order_of_the_questions(nodes: DebugNodes) -> None:
    commands = [command(node, "echo", f"{node}{number}") for number in range(3) for node in ("a", "b")]
    before = time.time_ns()
    answers = nodes.ask(commands)
    assert [answer.stdout.decode().strip() for answer in answers] == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert all(answer.status is AnswerStatus.OK and answer.exit_code == 0 for answer in answers)
    assert all(before <= answer.sent_ns < answer.received_ns <= time.time_ns() for answer in answers)
    assert nodes.ask([]) == ()


def test_nodes_are_asked_in_parallel_and_one_in_order(fake: Fake, nodes: DebugNodes) -> None:
    log: list[str] = []
    lock = threading.Lock()

    def slow(argv: list[str], stream: Stream) -> None:
        with lock:
            log.append(argv[-1])
        time.sleep(0.2)
        stream.exit(0)

    fake.exec = slow
    started = time.monotonic()
    nodes.ask([command("a", "a1"), command("b", "b1"), command("a", "a2"), command("b", "b2")])
    assert time.monotonic() - started < 0.7
    assert set(log[:2]) == {"a1", "b1"}


def test_every_kind_of_answer(fake: Fake, nodes: DebugNodes) -> None:
    failed, cut, absent, unknown = nodes.ask(
        [
            command("a", "sh", "-c", "echo no >&2; exit 4"),
            command("b", "head", "-c", "5000", "/dev/zero"),
            command("dark", "true"),
            command("who", "true"),
        ]
    )
    assert (failed.status, failed.exit_code, failed.stderr) == (AnswerStatus.FAILED, 4, b"no\n")
    assert (cut.status, len(cut.stdout), cut.reason) == (AnswerStatus.TRUNCATED, 1000, "more output than allowed")
    assert (absent.status, absent.reason) == (AnswerStatus.ABSENT, "the node is not ready: gone")
    assert (unknown.status, unknown.reason) == (AnswerStatus.ABSENT, "no debug pod was asked for on this node")
    fake.exec = lambda argv, stream: time.sleep(1)
    assert nodes.ask([command("a", "x", timeout_s=0.2)])[0].status is AnswerStatus.TIMEOUT
    fake.replies["GET", "/api/v1/namespaces/default/pods/vxtrace-s-a/exec"] = [(403, {"kind": "Status", "message": "no exec for you"}, {})]
    refused = nodes.ask([command("a", "true")])[0]
    assert (refused.status, refused.reason) == (AnswerStatus.ABSENT, "the API refuses exec (403: no exec for you)")


def test_an_api_that_went_away_is_an_answer(tmp_path: Path) -> None:
    with Fake() as fake:
        connection = fake.connection(tmp_path)
        pods = DebugPods(connection, session="s", options=PodOptions(), lifetime_s=60)
        pods.start(TWO)
    with DebugNodes(connection, pods) as nodes:
        [answer] = nodes.ask([command("a", "true")])
    assert (answer.status, "refused" in (answer.reason or "")) == (AnswerStatus.ABSENT, True)


def test_every_call_renews_the_lease(fake: Fake, nodes: DebugNodes) -> None:
    asked: list[list[str]] = []

    def note(argv: list[str], stream: Stream) -> None:
        asked.append(argv)
        stream.exit(0)

    fake.exec = note
    nodes.ask([command("a", "ip", "-j", "link")])
    assert asked == [["sh", "-c", 'true 2>/dev/null >/capture/.lease; exec "$@"', "vxtrace", "ip", "-j", "link"]]


def test_pods_are_kept_while_one_of_them_is_waited_for_and_no_longer(
    fake: Fake, nodes: DebugNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes_module, "_RENEW_S", 0.1)
    asked: list[tuple[str, str]] = []

    def slow(argv: list[str], stream: Stream) -> None:
        pod = stream.handler.path.partition("/pods/")[2].partition("/")[0]
        asked.append((pod, argv[-1]))
        time.sleep(0.35 if argv[-1] == "long" else 0)
        stream.exit(0)

    fake.exec = slow
    with nodes:
        nodes.ask([command("a", "long"), command("b", "short")])
        renewals = [asked.count((f"vxtrace-s-{node}", "true")) for node in ("a", "b")]
    assert min(renewals) >= 2
    time.sleep(0.3)
    assert asked.count(("vxtrace-s-b", "true")) <= renewals[1] + 1


def test_fetch(nodes: DebugNodes, tmp_path: Path) -> None:
    content = b"pcap" * 1000
    (tmp_path / "remote").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    result = nodes.fetch("a", str(tmp_path / "remote"), size_bytes=4000, sha256=digest, max_bytes=10_000)
    assert (result.reason, bytes(result.content), result.sha256) == (None, content, digest)
    result = nodes.fetch("dark", "/capture/x", size_bytes=1, sha256="", max_bytes=1)
    assert result.reason == "the node is not ready: gone"


DENIED = 'admission webhook "validate.kyverno.svc-fail" denied the request: no exec'
API: dict[str, Any] = {"kind": "Status", "reason": "Forbidden"}


@pytest.mark.parametrize(
    ("answer", "error", "said", "hint"),
    [
        pytest.param((403, API | {"message": "no"}, {}), UsageError, "the API refuses exec (403: no)", "pods/exec", id="rights"),
        pytest.param((400, API | {"message": DENIED}, {}), UsageError, "a policy of this cluster refuses exec", "exception", id="policy"),
        pytest.param((401, API | {"message": "no"}, {}), CannotRunError, "does not accept the credentials", "log in", id="credentials"),
        pytest.param((404, API | {"message": "gone"}, {}), CannotRunError, "knows no such pod any more (404: gone)", "again", id="no pod"),
        pytest.param((404, b"<h1>default\nbackend</h1>", {}), CannotRunError, "(404: default backend)", "WebSocket", id="no route"),
        pytest.param((403, b"<script>x</script>denied", {}), CannotRunError, "(403: denied)", "WebSocket", id="firewall"),
        pytest.param(
            (302, b"", {"Location": "https://login/"}), CannotRunError, "(302: a redirect to https://login/)", "log in", id="login"
        ),
        pytest.param((200, b"<title>Log in</title>", {}), CannotRunError, "(200: Log in)", "log in", id="login page"),
        pytest.param(
            (400, API | {"message": "no upgrade"}, {}), CannotRunError, "the API refuses the WebSocket", "upgrades", id="no upgrade"
        ),
        pytest.param((414, b"", {}), CannotRunError, "takes no request line as long as", "large_client_header_buffers", id="line"),
    ],
)
def test_why_no_command_can_be_run_is_named(
    fake: Fake,
    nodes: DebugNodes,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, Any, dict[str, str]],
    error: type[VxtraceError],
    said: str,
    hint: str,
) -> None:
    monkeypatch.setattr(exec_module, "_HURRY_S", 0.5)
    for pod in ("vxtrace-s-a", "vxtrace-s-b"):
        fake.replies["GET", f"/api/v1/namespaces/default/pods/{pod}/exec"] = [answer] * 9
    nodes.ask([command("a", "true"), command("b", "true")])
    with pytest.raises(error) as caught:
        nodes.require_reached()
    assert said in caught.value.message
    assert caught.value.message.count("\n") == 1
    assert "  a, b: " in caught.value.message
    assert hint in caught.value.hint


def test_one_node_that_can_be_asked_is_enough(fake: Fake, nodes: DebugNodes) -> None:
    fake.replies["GET", "/api/v1/namespaces/default/pods/vxtrace-s-a/exec"] = [(403, API, {})]
    refused, reached = nodes.ask([command("a", "true"), command("b", "true")])
    assert (refused.status, reached.status) == (AnswerStatus.ABSENT, AnswerStatus.OK)
    nodes.require_reached()
