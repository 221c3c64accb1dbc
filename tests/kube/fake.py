"""A small API server for the tests of this room: JSON over HTTP(S), pods that come and go, exec over WebSocket with every way to fail."""

import base64
import hashlib
import json
import ssl
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from kubectl_vxtrace.kube.config import connect
from kubectl_vxtrace.kube.connection import Connection
from kubectl_vxtrace.model.request import Access

TLS = Path(__file__).parent / "tls"
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class Stream:
    """The server's end of an exec stream."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.handler = handler
        self.wants_input = "stdin=true" in handler.path

    def frame(self, opcode: int, data: bytes) -> None:
        size = len(data)
        head = (
            bytes([0x80 | opcode, size])
            if size < 126
            else struct.pack("!BBH" if size < 65536 else "!BBQ", 0x80 | opcode, 126 if size < 65536 else 127, size)
        )
        self.handler.wfile.write(head + data)

    def send(self, channel: int, data: bytes) -> None:
        self.frame(2, bytes([channel]) + data)

    def receive(self) -> bytes:
        """What the client sends next on standard input (RFC 6455, 5.2: masked)."""
        size = self.handler.rfile.read(2)[1] & 0x7F
        size = struct.unpack("!H", self.handler.rfile.read(2))[0] if size == 126 else size
        mask = self.handler.rfile.read(4)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.handler.rfile.read(size)))
        assert data[0] == 0
        return data[1:]

    def status(self, code: int = 0) -> None:
        causes = {"details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}, "status": "Failure", "reason": "NonZeroExitCode"}
        self.send(3, json.dumps({"status": "Success"} if code == 0 else causes).encode())

    def close(self) -> None:
        self.frame(8, struct.pack("!H", 1000))

    def exit(self, code: int = 0) -> None:
        self.status(code)
        self.close()


Exec = Callable[[list[str], Stream], None]


def run_locally(argv: list[str], stream: Stream) -> None:
    """Run the command as a process of this machine, as a kubelet would in a container."""
    done = subprocess.run(argv, input=stream.receive() if stream.wants_input else None, capture_output=True, check=False)
    for channel, data in ((1, done.stdout), (2, done.stderr)):
        for at in range(0, len(data), 32768):
            stream.send(channel, data[at : at + 32768])
    stream.exit(done.returncode)


class Fake:
    """The server. `replies[(method, path)]` is a list of (status, body, headers) used up first; `lists[path]` are items,
    `namespaces` the names of those that exist."""

    def __init__(self, *, tls: bool = False) -> None:
        self.replies: dict[tuple[str, str], list[tuple[int, Any, dict[str, str]]]] = {}
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.forbidden: set[str] = set()
        self.namespaces = {"default", "shop"}
        self.denied: set[tuple[str, str]] = set()
        self.pods: dict[str, dict[str, Any]] = {}
        self.born: dict[str, float] = {}
        self.start_s = 0.0
        self.create_delay_s = 0.0
        self.broken: dict[str, dict[str, Any]] = {}
        self.undying: set[str] = set()
        self.exec: Exec = run_locally
        self.longest_line: int | None = None  # of a front end: bytes of a request line
        self.upgrade_refusal: tuple[int, bytes] | None = None  # what a front end answers that passes on no upgrade
        self.seen: list[tuple[str, str, dict[str, str], list[tuple[str, str]]]] = []
        self.bodies: list[Any] = []
        self.lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                fake.handle(self, "GET")

            def do_POST(self) -> None:
                fake.handle(self, "POST")

            def do_DELETE(self) -> None:
                fake.handle(self, "DELETE")

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / "server.pem")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def __enter__(self) -> "Fake":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def handle(self, http: BaseHTTPRequestHandler, method: str) -> None:
        url = urlsplit(http.path)
        body = http.rfile.read(int(http.headers.get("Content-Length", 0)))
        with self.lock:
            self.seen.append((method, url.path, {name.lower(): value for name, value in http.headers.items()}, parse_qsl(url.query)))
            queued = self.replies.get((method, url.path))
            canned = queued.pop(0) if queued else None
        if canned is not None:
            status, answer, headers = canned
            if status == 0:  # cut the connection without a word
                http.close_connection = True
            else:
                self.reply(http, status, answer, headers)
        elif self.longest_line is not None and len(http.requestline) > self.longest_line:
            self.reply(http, 414, b"<html><h1>414 Request-URI Too Large</h1></html>", {"Content-Type": "text/html"})
        elif self.upgrade_refusal is not None and "Upgrade" in http.headers:
            self.reply(http, *self.upgrade_refusal, {"Content-Type": "text/html"})
        elif url.path.endswith("/exec"):
            self.stream(http, parse_qs(url.query)["command"])
        else:
            self.rest(http, method, url.path, dict(parse_qsl(url.query)), json.loads(body) if body else {})

    def rest(self, http: BaseHTTPRequestHandler, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> None:
        name = path.rsplit("/", 1)[-1]
        if method == "POST":
            self.bodies.append(body)
        if path in self.forbidden:
            return self.refuse(http, 403, "Forbidden", f"{method} {path} is forbidden: User cannot do it")
        if path.endswith("/selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            resource = asked["resource"] + (f"/{asked['subresource']}" if asked["subresource"] else "")
            return self.reply(http, 201, {**body, "status": {"allowed": (asked["verb"], resource) not in self.denied}})
        if method == "POST" and name == "pods":
            return self.create(http, body, query)
        if "/pods/" in path:
            return self.one_pod(http, method, name, body)
        if name == "pods" and (pods := self.selected(query.get("labelSelector"))):
            return self.reply(http, 200, {"kind": "PodList", "items": pods, "metadata": {}})
        if path in self.lists:
            start, size = int(query.get("continue", 0)), int(query.get("limit", 500))
            items = self.lists[path]
            more = {"continue": str(start + size)} if start + size < len(items) else {}
            return self.reply(http, 200, {"kind": "List", "items": items[start : start + size] or None, "metadata": more})
        if path.endswith(
            ("pods", "services", "nodes", "endpointslices", "deployments", "replicasets", "statefulsets", "daemonsets", "events")
        ):
            return self.reply(http, 200, {"kind": "List", "items": [], "metadata": {}})
        if path.startswith("/api/v1/namespaces/"):
            if name in self.namespaces:
                return self.reply(http, 200, {"metadata": {"name": name}})
            return self.refuse(http, 404, "NotFound", f'namespaces "{name}" not found', name)
        return self.refuse(http, 404, "NotFound", f"{path} not found")

    def create(self, http: BaseHTTPRequestHandler, body: dict[str, Any], query: dict[str, str]) -> None:
        time.sleep(self.create_delay_s)
        name = body["metadata"]["name"]
        if name in self.pods:
            return self.refuse(http, 409, "AlreadyExists", f'pods "{name}" already exists', name)
        made = {**body, "metadata": {**body["metadata"], "uid": str(uuid.uuid4())}, "status": {"phase": "Pending"}}
        if "dryRun" not in query:
            with self.lock:
                self.pods[name] = made
                self.born[name] = time.monotonic()
        return self.reply(http, 201, made)

    def selected(self, selector: str | None) -> list[dict[str, Any]]:
        with self.lock:
            found = [self.with_status(name) for name in self.pods]
        key, _, value = (selector or "").partition("=")
        return [pod for pod in found if not key or pod["metadata"].get("labels", {}).get(key) == value]

    def with_status(self, name: str) -> dict[str, Any]:
        pod = self.pods[name]
        node = pod["spec"]["nodeName"]
        if node in self.broken:
            pod["status"] = self.broken[node]
        elif time.monotonic() - self.born[name] >= self.start_s and pod["status"]["phase"] == "Pending":
            pod["status"] = {"phase": "Running", "containerStatuses": [{"name": "vxtrace", "state": {"running": {"startedAt": "x"}}}]}
        return pod

    def one_pod(self, http: BaseHTTPRequestHandler, method: str, name: str, body: dict[str, Any]) -> None:
        wanted = body.get("preconditions", {}).get("uid")
        with self.lock:
            pod = self.pods.get(name)
            is_another = pod is not None and wanted is not None and wanted != pod["metadata"].get("uid")
            if pod and method == "DELETE" and name not in self.undying and not is_another:
                del self.pods[name]
        if pod is None:
            return self.refuse(http, 404, "NotFound", f'pods "{name}" not found', name)
        if is_another:
            return self.refuse(http, 409, "Conflict", "Precondition failed: UID in precondition", name)
        return self.reply(http, 200, pod)

    def refuse(self, http: BaseHTTPRequestHandler, status: int, reason: str, message: str, name: str | None = None) -> None:
        details = {"details": {"name": name, "kind": "pods"}} if name is not None else {}
        said = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status}
        self.reply(http, status, {**said, **details})

    def reply(self, http: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        http.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}.items():
            http.send_header(name, value)
        http.end_headers()
        http.wfile.write(data)

    def stream(self, http: BaseHTTPRequestHandler, argv: list[str]) -> None:
        key = http.headers["Sec-WebSocket-Key"].encode()
        http.send_response(101)
        http.send_header("Upgrade", "websocket")
        http.send_header("Connection", "Upgrade")
        http.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + MAGIC).digest()).decode())
        http.send_header("Sec-WebSocket-Protocol", http.headers["Sec-WebSocket-Protocol"].split(",")[0])
        http.end_headers()
        http.close_connection = True
        self.exec(argv, Stream(http))

    def kubeconfig(
        self, folder: Path, *, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, namespace: str | None = None
    ) -> Path:
        """A kubeconfig for this server; JSON is YAML."""
        tls = {"certificate-authority": str(TLS / "ca.pem")} if self.url.startswith("https") else {}
        document = {
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url, **tls, **(cluster or {})}}],
            "users": [{"name": "me", "user": {"token": "sesame"} if user is None else user}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me", **({"namespace": namespace} if namespace else {})}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def connection(self, folder: Path, **access: Any) -> Connection:
        return connect(Access(kubeconfig=str(self.kubeconfig(folder)), **access), environ={})
