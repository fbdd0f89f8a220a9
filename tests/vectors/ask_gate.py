"""Reads vectors from stdin, asks the gate that GATEKEEPER names each of them, prints {id: status}.

As the suite's own test does it, which also looks at what the app receives.
"""

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

KEY_ID = "webhooks_sharedkey_01h00000000000000000000000"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def origin_and_target(v):
    scheme, rest = v["url"].split("://", 1)
    end = min([at for at in map(rest.find, "/?") if at >= 0], default=len(rest))
    target = rest[end:].split("#")[0]
    origin = f"{scheme.replace('ws', 'http', 1) if scheme.startswith('ws') else scheme}://{rest[:end]}"
    return v.get("public_url", origin), v.get("target", target if target.startswith("/") else "/" + target)


def configuration(v):
    origin, _ = origin_and_target(v)
    token = json.dumps(v["token"])
    if "algorithm" in v:
        token = f'{{ value = {token}, key_id = "{KEY_ID}", algorithm = "{v["algorithm"]}" }}'
    empty = str(v.get("allow_empty_form", False)).lower()
    return f'public_url = "{origin}"\nauth_tokens = [{token}]\nallow_empty_form = {empty}\n'


def request(v):
    origin, target = origin_and_target(v)
    headers = dict(v.get("headers", {}))
    host = origin.split("://", 1)[1].split("/")[0].split("?")[0].split("#")[0].rsplit("@")[-1]
    headers = {"Host": headers.pop("Host", host), **headers}
    if "Upgrade" in headers:
        headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    if "content_type" in v:
        headers["Content-Type"] = v["content_type"]
    if v["signature"]:
        headers["X-Twilio-Signature"] = v["signature"]
    body = base64.b64decode(v["body_b64"]) if "body_b64" in v else v["body"].encode()
    if v["method"] != "GET" or body:
        headers["Content-Length"] = str(len(body))
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{v['method']} {target} HTTP/1.1\r\n{fields}\r\n".encode() + body


def app():
    """Answers whatever comes; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve():
        while True:
            peer, _ = listener.accept()
            head = b""
            while b"\r\n\r\n" not in head and (more := peer.recv(65536)):
                head += more
            peer.sendall(SWITCHING if b"\r\nupgrade:" in head.lower() else OK)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
            peer.close()

    threading.Thread(target=serve, daemon=True).start()
    return "http://127.0.0.1:%d" % listener.getsockname()[1]


def ask(address, v):
    with socket.create_connection(address, 10) as stream:
        stream.sendall(request(v))
        answer = b""
        while answer.count(b" ") < 2:
            more = stream.recv(4096)
            assert more, f"{v['id']}: no answer"
            answer += more
        return int(answer.split()[1])


def answers(config, vectors, upstream):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "gatekeeper.toml")
        file.write_text(f'listen = "127.0.0.1:0"\nupstream = "{upstream}"\n{config}')
        gate = subprocess.Popen([os.environ["GATEKEEPER"], "run", "-c", file], stderr=subprocess.PIPE, text=True)
        try:
            said = (json.loads(line) for line in gate.stderr)
            host, port = next(line["address"] for line in said if line["message"] == "listening").rsplit(":", 1)
            threading.Thread(target=gate.stderr.read, daemon=True).start()
            return {v["id"]: ask((host, int(port)), v) for v in vectors}
        finally:
            gate.terminate()
            gate.wait()


groups = defaultdict(list)
for vector in json.load(sys.stdin):
    groups[configuration(vector)].append(vector)
upstream = app()
statuses = {}
for config, vectors in groups.items():
    statuses |= answers(config, vectors, upstream)
json.dump(statuses, sys.stdout)
