"""HTTP/1.1 over TLS: who asks, what for, and the answer; watches, logs and exec as streams."""

import io
import json
import os
import select
import socket
import ssl
import time
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.lab import access, resources, routes, tables, websocket
from tests.lab.access import Access, Identity
from tests.lab.api import Api, selector
from tests.lab.cluster import Cluster
from tests.lab.connection import TlsStream
from tests.lab.execute import V4, V5, ExecSession, options
from tests.lab.kubelet import PodRunner
from tests.lab.resources import PODS
from tests.lab.routes import Route
from tests.lab.status import ApiError, JsonObject, bad_request, gone, internal, no_such_resource
from tests.lab.store import Change
from tests.lab.websocket import WebSocket

_HANDSHAKE_S = 10.0
_WATCH_S = 1800.0  # kube-apiserver's --min-request-timeout
_MAX_BODY_BYTES = 3 * 1024 * 1024  # kube-apiserver's limit


class ApiServer(ThreadingHTTPServer):
    """The listening socket. TLS is set up in each connection's own thread, so that a slow client holds up nobody."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, cluster: Cluster, token: str, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cluster = cluster
        self.access = Access(cluster.control, token)
        self.api = Api(cluster)
        self.context = context

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Failed handshakes and lost connections are said in one line."""
        print(f"{client_address}: {traceback.format_exc(limit=0).strip().splitlines()[-1]}", flush=True)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "vxtrace-lab"
    server: ApiServer

    def setup(self) -> None:
        # As Go's net/http does: else the first answer waits 40 ms for the client to acknowledge TLS's session tickets (tcp(7)).
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = TlsStream(self.request, self.server.context, _HANDSHAKE_S)
        self.connection = self.stream.tls
        self.rfile = io.BufferedReader(self.stream, 64 * 1024)
        self.wfile = io.BufferedWriter(self.stream, 64 * 1024)

    def finish(self) -> None:
        try:
            self.wfile.flush()
        except OSError:
            self.close_connection = True
        finally:
            self.stream.tls.close()

    def log_message(self, format: str, *args: Any) -> None:
        print(f"{time.strftime('%H:%M:%S')} {format % args}", flush=True)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    # --- requests ---

    def _serve(self) -> None:
        try:
            body = self._body()
            self._handle(body)
        except ApiError as error:
            self._send_json(error.code, error.status)
        except OSError as error:
            self.log_message("connection lost: %s", error)
            self.close_connection = True
        except Exception as error:
            traceback.print_exc()
            self._send_json(500, internal(f"{type(error).__name__}: {error}").status)

    def _handle(self, body: JsonObject) -> None:
        faults = self.server.cluster.control.faults()
        time.sleep(faults.slow_ms / 1000)
        if faults.unavailable:
            raise ApiError(503, "ServiceUnavailable", "the server is currently unable to handle the request")
        self.server.cluster.refresh()
        groups = self.headers.get_all("Impersonate-Group") or []
        who = self.server.access.identify(self.headers, groups, self.connection.getpeercert())
        path, query = routes.split(self.path)
        if self._discover(who, path):
            return
        route = routes.parse(self.command, path, query)
        access.require(who, route.verb, route.kind, route.subresource, route.namespace, route.name or None)
        if route.subresource == "exec":
            # Since Kubernetes 1.35 the upgrade, a GET, needs the right to create as well.
            access.require(who, "create", route.kind, "exec", route.namespace, route.name)
            self._exec(route)
        elif route.subresource == "log":
            self._log(route)
        elif route.verb == "watch":
            self._watch(route)
        else:
            code, answer = self.server.api.answer(route, who, body)
            if "as=Table" in (self.headers.get("Accept") or "") and route.verb in ("get", "list"):
                answer = tables.table(route.kind, answer) or answer
            self._send_json(code, answer)

    def _body(self) -> JsonObject:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY_BYTES:
            self.close_connection = True
            raise ApiError(413, "RequestEntityTooLarge", "Request entity too large")
        data = self.rfile.read(length)
        if not data:
            return {}
        if "protobuf" in (self.headers.get("Content-Type") or ""):
            known = "accepted media types include: application/json"
            raise ApiError(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - {known}")
        try:
            body = json.loads(data)
        except ValueError as error:
            raise bad_request(f"the request body is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise bad_request("the request body is no object")
        return body

    def _discover(self, who: Identity, path: str) -> bool:
        """Answer what is not about objects; False if the path is about objects."""
        path = path.rstrip("/")
        words = path.strip("/").split("/")
        documents: dict[str, Callable[[], JsonObject]] = {
            "/version": lambda: resources.VERSION,
            "/api": resources.core_versions,
            "/apis": resources.group_list,
        }
        if words[0] in ("api", "apis") and len(words) > (2 if words[0] == "api" else 3):
            return False
        access.require_discovery(who, path)
        if path in ("/healthz", "/livez", "/readyz"):
            self._send(200, b"ok", "text/plain")
        elif make := documents.get(path):
            self._send_json(200, make())
        elif words[0] == "apis" and len(words) == 2 and words[1] in resources.groups():
            self._send_json(200, resources.group_document(words[1]))
        elif found := resources.resource_list("" if words[0] == "api" else words[1] if len(words) > 1 else "?", words[-1]):
            self._send_json(200, found)
        else:
            raise no_such_resource()
        return True

    # --- answers ---

    def _send_json(self, code: int, value: JsonObject) -> None:
        self._send(code, json.dumps(value, separators=(",", ":")).encode() + b"\n", "application/json")

    def _send(self, code: int, data: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _log(self, route: Route) -> None:
        runner = self.server.cluster.kubelets.runner(self.server.cluster.store.get(PODS, route.namespace, route.name))
        data = b"" if runner is None else os.pread(runner.log, 1 << 20, 0)
        self._send(200, data, "text/plain")

    def _watch(self, route: Route) -> None:
        store = self.server.cluster.store
        selects, since = selector(route), route.value("resourceVersion")
        ends_s = time.monotonic() + (float(route.value("timeoutSeconds") or 0) or _WATCH_S)
        items, version = store.select(route.kind, route.namespace)
        initial = [obj for obj in items if selects(obj)] if since in ("", "0") else []
        version = version if since in ("", "0") else int(since)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        self._events([("ADDED", obj) for obj in initial])
        while (left_s := ends_s - time.monotonic()) > 0 and not self._client_gone():
            try:
                if self.server.cluster.control.faults().expire_watch:
                    raise gone(f"too old resource version: {version} ({version + 1})")
                changes, version = store.changes_after(version, min(left_s, 1.0))
            except ApiError as error:
                self._events([("ERROR", error.status)])
                break
            self._events([event for change in changes if (event := _event(change, route, selects))])
            self.server.cluster.refresh()
        self._chunk(b"")

    def _events(self, events: list[tuple[str, JsonObject]]) -> None:
        for kind, obj in events:
            self._chunk(json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n")

    def _client_gone(self) -> bool:
        """A client that watches has nothing to say: what is readable is its end."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))

    # --- exec ---

    def _exec(self, route: Route) -> None:
        cluster = self.server.cluster
        pod = cluster.store.get(PODS, route.namespace, route.name)
        wanted = options(route)
        node = pod["spec"].get("nodeName")
        containers = [container["name"] for container in pod["spec"]["containers"]]
        if not wanted.command:
            raise bad_request("you must specify at least one command for the container")
        if wanted.container and wanted.container not in containers:
            raise bad_request(f"container {wanted.container} is not valid for pod {route.name}")
        if not node:
            raise bad_request(f"pod {route.name} does not have a host assigned")
        if not websocket.is_upgrade(self.headers):
            raise bad_request("Upgrade request required")
        protocol = next((name for name in websocket.offered_protocols(self.headers) if name in (V5, V4)), None)
        if protocol is None:
            raise bad_request(
                f"unable to negotiate protocol: client supports {self.headers.get('Sec-WebSocket-Protocol')}, server {V5}, {V4}"
            )
        runner = cluster.kubelets.runner(pod)
        refusal = self._refusal(pod, runner, wanted.container or containers[0])
        if refusal is not None and protocol == V4:
            raise refusal
        socket = self._upgrade(protocol)
        session = ExecSession(socket, wanted, self.stream.cut, cluster.control.cut_after_bytes())
        if refusal is not None:
            # v5 is translated by the API server, which upgrades before it asks the kubelet (apiserver, streamtranslator.go).
            session.refuse(refusal.status)
        elif node in cluster.control.faults().hang_exec:
            session.hang()
        else:
            self._run(session, route, runner)

    def _refusal(self, pod: JsonObject, runner: PodRunner | None, container: str) -> ApiError | None:
        faults, name = self.server.cluster.control.faults(), pod["spec"]["nodeName"]
        node = self.server.cluster.kubelets.node(name)
        if node is None or name in faults.refuse_exec or name in faults.node_not_ready:
            why = "connection refused" if name in faults.refuse_exec else "no route to host"
            return internal(f"error dialing backend: dial tcp {node.address if node else name}:10250: connect: {why}")
        if runner is not None and runner.container is not None:
            return None
        if runner is None and pod["status"]["phase"] == "Running":
            return None  # a pod of the lab itself
        return internal(f'unable to upgrade connection: container not found ("{container}")')

    def _upgrade(self, protocol: str) -> WebSocket:
        try:
            accept = websocket.answer(self.headers)
        except websocket.HandshakeError as error:
            raise bad_request(str(error)) from error
        self.send_response(101)
        for key, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(key, value)
        self.send_header("Sec-WebSocket-Protocol", protocol)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        return WebSocket(self.rfile, self.stream.write)

    def _run(self, session: ExecSession, route: Route, runner: PodRunner | None) -> None:
        wanted = options(route)
        argv = [*(("/usr/bin/setsid", "--ctty") if wanted.tty else ()), *wanted.command]
        container = runner.container if runner else None
        if runner is None or container is None:
            session.run(*self._lab_command(route, argv), lambda process: None)
            return
        if not container.has_program(wanted.command[0]):
            missing = f'exec: "{wanted.command[0]}": executable file not found in $PATH'
            why = f"OCI runtime exec failed: exec failed: unable to start container process: {missing}: unknown"
            session.refuse(internal(f"error executing command in container: failed to exec in container: {why}").status)
            return
        environment = dict(container.spec.environment) | ({"TERM": "xterm"} if wanted.tty else {})
        session.run(container.enter(argv), environment, runner.exec_started)

    def _lab_command(self, route: Route, argv: list[str]) -> tuple[list[str], dict[str, str]]:
        """In a pod of the lab: its network, its own processes; they end with this connection's thread, which waits for them."""
        pods = self.server.cluster.lab.pods
        netns = next((pod.netns for pod in pods if (pod.namespace, pod.name) == (route.namespace, route.name)), None)
        enter = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "/usr/bin/nsenter", f"--net=/run/netns/{netns}"]
        spaces = ["/usr/bin/unshare", "--mount", "--pid", "--kill-child", "--mount-proc", "--"]
        return [*enter, *spaces, *argv], {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "HOSTNAME": route.name}


def _event(change: Change, route: Route, selects: Callable[[JsonObject], bool]) -> tuple[str, JsonObject] | None:
    """The watch event of a change as a client with these selectors sees it."""
    if change.kind is not route.kind:
        return None

    def seen(obj: JsonObject | None) -> bool:
        return obj is not None and route.namespace in ("", obj["metadata"].get("namespace")) and selects(obj)

    before, after = seen(change.old), seen(change.new)
    if change.new is not None and after:
        return ("MODIFIED" if before else "ADDED", change.new)
    if change.old is not None and before:
        version = {"resourceVersion": str(change.version)}
        return "DELETED", change.old | {"metadata": change.old["metadata"] | version}
    return None
