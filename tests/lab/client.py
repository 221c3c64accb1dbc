"""What the tests of the lab's API ask with: the real Kubernetes client, and an exec over websocket-client."""

import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from kubernetes import client, config
from kubernetes.client import ApiException
from websocket import ABNF, WebSocket, WebSocketConnectionClosedException

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"


def ask(kind: str, kubeconfig: str, *, token: str | None = None, context: str | None = None, as_user: str | None = None) -> Any:
    """An API of the client (`CoreV1Api`); with `token` as somebody else, "" as nobody. Any: its answers are typed as all optional."""
    configuration = _configuration(kubeconfig, context)
    if token is not None:
        configuration.refresh_api_key_hook = None
        configuration.api_key = {"BearerToken": f"Bearer {token}"} if token else {}
    found: Any = client.ApiClient(configuration)
    if as_user:
        found.set_default_header("Impersonate-User", as_user)
    return getattr(client, kind)(found)


def _configuration(kubeconfig: str, context: str | None = None) -> Any:
    configuration: Any = client.Configuration()
    load: Any = config.load_kube_config
    load(kubeconfig, context=context, client_configuration=configuration)
    configuration.retries = False
    return configuration


def refused(call: Callable[[], Any]) -> tuple[int, dict[str, Any]]:
    """HTTP status and Status object of a call that must fail."""
    try:
        answer = call()
    except ApiException as error:
        return int(error.status or 0), json.loads(error.body or "{}")
    raise AssertionError(f"was not refused: {answer}")


def debug_pod(name: str, node: str = "ada-ec-1", **spec: Any) -> dict[str, Any]:
    """A debug pod as the plugin makes it. Keys of `spec` replace those of its spec; `container` those of its container."""
    container = {
        "name": "debug",
        "image": "docker.io/nicolaka/netshoot:v0.16",
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"],
        "securityContext": {"privileged": True, "readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "capture", "mountPath": "/capture"}],
    } | spec.pop("container", {})
    whole = {
        "hostNetwork": True,
        "nodeName": node,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 120,
        "terminationGracePeriodSeconds": 5,
        "enableServiceLinks": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "capture", "emptyDir": {"sizeLimit": "64Mi"}}],
    } | spec
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "kubectl-vxtrace", "vxtrace/session": "la"}},
        "spec": whole,
    }


def wait_for(core: Any, name: str, done: Callable[[Any], bool], limit_s: float = 10.0) -> Any:
    """The pod in namespace default once `done` says so; None instead of a pod that is gone."""
    ends_s = time.monotonic() + limit_s
    while True:
        try:
            pod = core.read_namespaced_pod(name, "default")
        except ApiException as error:
            if error.status != 404:
                raise
            pod = None
        if done(pod):
            return pod
        assert time.monotonic() < ends_s, f"{name}: {pod and pod.status}"
        time.sleep(0.02)


def running(pod: Any) -> bool:
    """For `wait_for`: it runs."""
    return pod is not None and pod.status.phase == "Running"


def gone(pod: Any) -> bool:
    """For `wait_for`: it is gone."""
    return pod is None


@dataclass(kw_only=True)
class Result:
    """What came of an exec; `status` is None where the stream ended without one."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    status: dict[str, Any] | None = None
    frames: list[tuple[int, int]] = field(default_factory=list)  # channel, bytes

    @property
    def code(self) -> int | None:
        """The exit code, None without one."""
        if self.status is None:
            return None
        if self.status["status"] == "Success":
            return 0
        causes = self.status.get("details", {}).get("causes", [])
        return next((int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode"), None)


class Exec:
    """Execs in pods of namespace default."""

    def __init__(self, kubeconfig: str) -> None:
        self._configuration = _configuration(kubeconfig)

    def open(self, pod: str, *argv: str, stdin: bool = False, protocol: str = V5, namespace: str = "default") -> Any:
        """The connection after its handshake. Raises WebSocketBadStatusException."""
        flags = {"stdout": "true", "stderr": "true", "stdin": str(stdin).lower()}
        query = urlencode([("command", word) for word in argv] + list(flags.items()))
        host = self._configuration.host.replace("https", "wss")
        socket: Any = WebSocket(
            sslopt={"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": self._configuration.ssl_ca_cert}, skip_utf8_validation=True
        )
        token = self._configuration.get_api_key_with_prefix("BearerToken")
        url = f"{host}/api/v1/namespaces/{namespace}/pods/{pod}/exec?{query}"
        socket.connect(url, header=[f"Authorization: {token}"], subprotocols=[protocol], timeout=15)
        return socket

    def run(self, pod: str, *argv: str, stdin: bytes | None = None, protocol: str = V5) -> Result:
        """Run to the end."""
        socket = self.open(pod, *argv, stdin=stdin is not None, protocol=protocol)
        if stdin is not None:
            socket.send_binary(b"\x00" + stdin)
            socket.send_binary(b"\xff\x00")
        return finish(socket)


def finish(socket: Any) -> Result:
    """Read an exec to its end."""
    result = Result()
    try:
        while True:
            opcode, frame = socket.recv_data_frame(True)
            if opcode == ABNF.OPCODE_CLOSE:
                return result
            if opcode != ABNF.OPCODE_BINARY:
                continue
            channel, data = frame.data[0], frame.data[1:]
            result.frames.append((channel, len(data)))
            if channel == 1:
                result.stdout += data
            elif channel == 2:
                result.stderr += data
            elif channel == 3 and data:
                result.status = json.loads(data)
    except (OSError, WebSocketConnectionClosedException):
        return result  # cut, which is for the test to judge: there is no status
    finally:
        socket.close(timeout=1)
