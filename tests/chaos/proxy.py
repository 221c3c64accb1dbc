"""A TLS proxy between the plugin and an API server, which breaks what a rule says.

The client shows it a token of its own; what it passes on carries the token of the kubeconfig that it stands before.
"""

import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.chaos import taps
from tests.chaos.calls import Truth
from tests.chaos.relay import Relay, finish
from tests.chaos.rules import AFTERWARDS, ON_STREAM, Action, Away, Call, Cut, Longest, Refuse, Reply, Revoke, Rule, Slow
from tests.e2e.listing import Endpoint
from tests.kube.fake import TLS

_UPSTREAM_TIMEOUT_S = 60.0
_HEAD_BYTES = 65536
_HOPS = {"connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "content-length"}  # RFC 9110, 7.6.1
_UNAUTHORIZED = '{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}'


class Proxy:
    """The proxy of one trace; a context manager."""

    def __init__(self, endpoint: Endpoint, rule: Rule) -> None:
        self.endpoint = endpoint
        self.rule = rule
        self.truth = Truth()
        self.hits = 0
        self.doubled: list[str] = []
        self.captures: set[int] = set()
        self.tokens = 1  # what tokens were given out; the last one counts
        self._counts: Counter[str] = Counter()
        self._is_over = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = self._listening(0)
        self.port = self._server.server_port

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._leave()

    @property
    def token(self) -> str:
        """The one that is taken now."""
        return f"chaos-{self.tokens}"

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig for this proxy into `folder`."""
        token = folder / "token"
        token.write_text(self.token)
        plugin = folder / "plugin"
        answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "@"}}
        plugin.write_text(f"#!/bin/sh\n[ -s {token} ] || exit 7\nsed \"s/@/$(cat {token})/\" <<'X'\n{json.dumps(answer)}\nX\n")
        plugin.chmod(0o700)
        exec_ = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
        users: dict[str, dict[str, Any]] = {"token": {"token": self.token}, "file": {"tokenFile": str(token)}, "plugin": {"exec": exec_}}
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(TLS / "ca.pem")}
        document = {
            "current-context": "chaos",
            "clusters": [{"name": "chaos", "cluster": cluster}],
            "users": [{"name": "chaos", "user": users[self.rule.user]}],
            "contexts": [{"name": "chaos", "context": {"cluster": "chaos", "user": "chaos"}}],
        }
        self._token_file = token
        path = folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def action(self, verb: str, target: str, call: Call | None, kinds: tuple[type[Action], ...]) -> Action | None:
        """What the rule has to say to a request, if it is of these kinds; each answer counts."""
        action, match = self.rule.action, self.rule.match
        if not isinstance(action, kinds) or not match.fits(verb, target, call):
            return None
        with self._lock:
            key = target.partition("?")[0] if match.each else ""
            number = self._counts[key] = self._counts[key] + 1
            if number <= match.skip or (match.times is not None and number > match.skip + match.times):
                return None
            self.hits += 1
        return action

    def answered(self, verb: str, target: str, call: Call | None) -> None:
        """A request was answered: what begins now, begins."""
        match self.action(verb, target, call, AFTERWARDS):
            case Away() as away if self.hits == 1:
                threading.Thread(target=self._be_away, args=(away,), daemon=True).start()
            case Revoke(fails_for_s=fails_for_s) if self.hits == 1:
                self.tokens += 1
                if fails_for_s:
                    self._token_file.unlink()
                    threading.Thread(target=self._give_token, args=(fails_for_s,), daemon=True).start()
                else:
                    self._token_file.write_text(self.token)

    def note_stop_asked(self) -> None:
        """The captures that run when the first stop comes."""
        if not self.captures:
            found = taps.running()
            self.captures, self.doubled = set(found), taps.doubled(found.values())

    def note_open(self, client: socket.socket, *, is_open: bool) -> None:
        """A connection came or went."""
        with self._lock:
            (self._open.add if is_open else self._open.discard)(client)

    def _be_away(self, away: Away) -> None:
        time.sleep(away.delay_s)
        self._leave()
        if away.for_s is not None:
            time.sleep(away.for_s)
            if not self._is_over:
                self._server = self._listening(self.port)

    def _give_token(self, delay_s: float) -> None:
        time.sleep(delay_s)
        with suppress(OSError):  # the trace may be over
            self._token_file.write_text(self.token)

    def _leave(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            clients = list(self._open)
        for client in clients:
            with suppress(OSError):
                socket.socket.shutdown(client, socket.SHUT_RDWR)  # not TLS's, whose state is its own thread's

    def _listening(self, port: int) -> ThreadingHTTPServer:
        server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"proxy": self}))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "server.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_: Any) -> None:
        """A client that went away is nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    connection: ssl.SSLSocket

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def setup(self) -> None:
        super().setup()
        self.proxy.note_open(self.connection, is_open=True)

    def finish(self) -> None:
        self.proxy.note_open(self.connection, is_open=False)
        with suppress(OSError, ValueError):
            super().finish()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        action = self.proxy.action(self.command, self.path, None, (Reply, Refuse, Slow, Longest))
        match action:
            case Longest(line_bytes=limit) if len(self.requestline) > limit:
                return self._say(414, "<html><h1>414 Request-URI Too Large</h1></html>", "text/html")
            case Slow(pause_s=pause_s):
                time.sleep(pause_s)
            case Reply(done=False) | Refuse(done=False):
                return self._instead(action)
        if self.headers.get("Authorization") != f"Bearer {self.proxy.token}":
            return self._say(401, _UNAUTHORIZED, "application/json")
        if "/exec?" in self.path:
            return self._stream()
        return self._pass_on(body, action)

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def _instead(self, action: Reply | Refuse) -> None:
        if isinstance(action, Refuse):
            self.close_connection = True
            return finish(self.connection, "reset")
        return self._say(action.status, action.body, action.type, action.headers)

    def _say(self, status: int, body: str | bytes, type_: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in (("Content-Type", type_), ("Content-Length", str(len(data))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _headers(self) -> dict[str, str]:
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOPS}
        return {**kept, "Host": self.proxy.endpoint.address, "Authorization": f"Bearer {self.proxy.endpoint.token}"}

    def _pass_on(self, body: bytes, action: Action | None) -> None:
        endpoint = self.proxy.endpoint
        upstream = http.client.HTTPSConnection(endpoint.address, context=endpoint.tls, timeout=_UPSTREAM_TIMEOUT_S)
        try:
            upstream.request(self.command, self.path, body or None, self._headers())
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        if self.command == "POST" and answer.status == 201 and self.path.endswith("/pods"):
            made = json.loads(data)["metadata"]
            self.proxy.truth.pods[made["uid"]] = f"{made['namespace']}/{made['name']}"
        if isinstance(action, Reply | Refuse):
            return self._instead(action)
        cut = self.proxy.action(self.command, self.path, None, (Cut,))
        headers = tuple((name, value) for name, value in answer.getheaders() if name.lower() in ("date", "retry-after"))
        if isinstance(cut, Cut):
            self._half(data[: cut.after_bytes], len(data), cut)
        else:
            self._say(answer.status, data, answer.getheader("Content-Type") or "", headers)
        self.proxy.answered(self.command, self.path, None)
        return None

    def _half(self, data: bytes, whole_bytes: int, cut: Cut) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(whole_bytes))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True
        finish(self.connection, cut.end)

    def _stream(self) -> None:
        """An exec: its handshake as it is, then its frames."""
        self.close_connection = True
        host, _, port = self.proxy.endpoint.address.partition(":")
        with socket.create_connection((host, int(port or 443)), timeout=_UPSTREAM_TIMEOUT_S) as raw:
            upstream = self.proxy.endpoint.tls.wrap_socket(raw, server_hostname=host)
            head = {**self._headers(), "Connection": "Upgrade", "Upgrade": self.headers.get("Upgrade") or ""}
            lines = [f"{self.command} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
            upstream.sendall("\r\n".join([*lines, "", ""]).encode())
            answer = _read_head(upstream)
            self.connection.sendall(answer)
            if b" 101 " not in answer[:16]:
                return
            relay = Relay(self.path, self.connection, upstream, self._decide)
            relay.run()
            if relay.call == "stop" and relay.stdout:
                self.proxy.truth.note_stop(self.path.partition("?")[0], bytes(relay.stdout))
            upstream.close()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.proxy.answered(self.command, self.path, relay.call)

    def _decide(self, call: Call) -> Action | None:
        if call == "stop":
            self.proxy.note_stop_asked()
        return self.proxy.action(self.command, self.path, call, ON_STREAM)


def _read_head(upstream: ssl.SSLSocket) -> bytes:
    """An answer's head; where it is no handshake's, its body with it."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD_BYTES:
        byte = upstream.recv(1)
        if not byte:
            return head
        head += byte
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    left = int(length[1]) if length is not None else 0
    while left > 0 and (data := upstream.recv(left)):
        head, left = head + data, left - len(data)
    return head
