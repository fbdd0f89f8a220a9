"""Shared by the benchmarks: the webhook, the processes, and their measurements.

Uses the standard library only. Everything listens on 127.0.0.1. Each script stops the processes that it started.
"""

import base64
import hashlib
import hmac
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "0123456789abcdef0123456789abcdef"
HOST = "hooks.example.com"
ORIGIN = f"https://{HOST}"
ANSWER = b"<Response><Say>Sunny</Say></Response>"

VOICE = (ROOT / "benches/voice.form").read_text(encoding="utf-8")
FORGED = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


# --- requests ------------------------------------------------------------------------------------


def sign(target, body, token=TOKEN):
    """Returns the X-Twilio-Signature of a form POST."""
    parameters = sorted(parse_qsl(body, keep_blank_values=True))
    message = ORIGIN + target + "".join(name + value for name, value in parameters)
    mac = hmac.new(token.encode(), message.encode(), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode()


def headers(body, signature):
    """Returns the header fields of a webhook as Twilio sends it, in order."""
    fields = [
        ("Host", HOST),
        ("User-Agent", "TwilioProxy/1.1"),
        ("Accept", "*/*"),
        ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"),
        ("I-Twilio-Idempotency-Token", "0e4e6d7c-8a43-4d45-9b64-2e1a5c1f1a11"),
        ("X-Home-Region", "us1"),
        ("Content-Length", str(len(body))),
    ]
    return fields + ([("X-Twilio-Signature", signature)] if signature else [])


class Webhook:
    """One request, and the expected status of its response."""

    def __init__(self, body=VOICE, target="/voice?tenant=7", signature=None, status=200, token=TOKEN):
        self.target, self.body, self.status = target, body, status
        self.signature = sign(target, body, token) if signature is None else signature
        head = [f"POST {target} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in headers(body, self.signature)]
        self.bytes = ("\r\n".join(head) + "\r\n\r\n" + body).encode()

    def lua(self):
        """Returns the same request as a script for wrk."""
        lines = ['wrk.method = "POST"', f'wrk.path = "{self.target}"', f"wrk.body = [[{self.body}]]"]
        for name, value in headers(self.body, self.signature):
            if name != "Content-Length":
                lines.append(f'wrk.headers["{name}"] = "{value}"')
        return "\n".join(lines) + "\n"


def signed(**kind):
    return Webhook(**kind)


def forged(**kind):
    return Webhook(signature=FORGED, status=403, **kind)


def unsigned(**kind):
    return Webhook(signature="", status=418, **kind)


def form_of(size):
    """Returns a form of about `size` bytes, nearly all of it one message."""
    line = "All+work+and+no+play+makes+Jack+a+dull+boy.+"
    body = "From=%2B14155550123&Body="
    return body + (line * (size // len(line) + 1))[: size - len(body)]


# --- a client over one persistent connection -----------------------------------------------------


class Client:
    """Sends requests one after the other and waits for each response."""

    def __init__(self, port, source=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, webhook):
        """Returns the status; raises if the response is truncated."""
        self.socket.sendall(webhook.bytes)
        return self.answer()

    def answer(self):
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.more()
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        while length and len(body) < int(length.group(1)):
            body += self.more()
        return int(head.split(b" ", 2)[1])

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed before the response was complete")
        return data

    def close(self):
        self.socket.close()


# --- an upstream that counts ---------------------------------------------------------------------


class Upstream:
    """Answers every request with the same bytes and counts requests. Built for counting, not for speed."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.count = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s"
        answer %= (len(ANSWER), ANSWER)
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = connection.recv(1 << 20)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            left = int(length.group(1)) if length else 0
            while len(data) < left:
                data += connection.recv(1 << 20)
            data = data[left:]
            with self.lock:
                self.count += 1
            connection.sendall(answer)

    def close(self):
        self.listener.close()


# --- processes -----------------------------------------------------------------------------------


def raise_limits(descriptors=65536):
    """Raises the limit of open files for 10,000 connections: HAProxy needs two for each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(hard, descriptors)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port():
    """Returns a free port below the range of ephemeral ports."""
    for _ in range(100):
        port = random.randrange(12000, 32000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise SystemExit("no free port from 12000 to 32000")


def find(command):
    """Finds a command, also in /usr/sbin, where Debian keeps servers and which is not in every PATH."""
    path = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise SystemExit(f"{command} is missing (Debian: apt-get install nginx-light haproxy wrk valgrind strace)")
    return path


class Process:
    """A server process, pinned to a core. It is listening once the constructor returns."""

    def __init__(self, command, port, core=None, log=None, wrapper=(), patience=60):
        pin = [find("taskset"), "-c", str(core)] if core is not None else []
        self.log = open(log or os.devnull, "ab")
        self.port = port
        self.started = subprocess.Popen(
            [*pin, *wrapper, *map(str, command)], stdout=self.log, stderr=self.log
        )
        self.pid = self.started.pid
        deadline = time.monotonic() + patience
        while True:
            if self.started.poll() is not None:
                raise SystemExit(f"{command[0]} ended at once: {Path(self.log.name).read_text()[-500:]}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise SystemExit(f"{command[0]} does not listen on {port}")
                time.sleep(0.05)

    def cpu(self):
        """Returns CPU seconds, user and system, of all threads."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def settle(self):
        """Returns once the work of its start is done."""
        used = self.cpu()
        for _ in range(600):
            time.sleep(0.2)
            before, used = used, self.cpu()
            if used - before < 0.004:
                return

    def rss(self):
        """Returns resident KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def inner(self):
        """Returns the pid of the server itself, under a wrapper (strace) that does not forward signals."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0]) if children else self.pid

    def stop(self):
        """Sends SIGTERM more than once: nginx may miss a signal that arrives just before it waits."""
        for _ in range(4):
            if self.started.poll() is not None:
                break
            os.kill(self.inner(), signal.SIGTERM)
            try:
                self.started.wait(8)
            except subprocess.TimeoutExpired:
                continue
        if self.started.poll() is None:
            os.kill(self.inner(), signal.SIGKILL)
            self.started.wait()
            print(f"{self.pid} did not stop on SIGTERM", file=sys.stderr)
        self.log.close()


@contextmanager
def workshop():
    """Yields a temporary directory and a list of processes; removes and stops them at the end."""
    started = []
    with tempfile.TemporaryDirectory(prefix="gatekeeper-bench-") as name:
        try:
            yield Path(name), started
        finally:
            for process in reversed(started):
                process.stop()


# --- configurations ------------------------------------------------------------------------------


def gate_config(directory, port, upstream, extra="", tokens=f'auth_tokens = ["{TOKEN}"]'):
    # Explanations of refusals are off the path of a request, and their thread would be counted too.
    path = directory / "gate.toml"
    path.write_text(
        f"""listen = "127.0.0.1:{port}"
explain = false
public_url = "{ORIGIN}"
upstream = "http://127.0.0.1:{upstream}"
{tokens}
{extra}
"""
    )
    return path


NGINX = """daemon off; master_process off; worker_processes 1; 
pid {directory}/{name}.pid; error_log {directory}/{name}.err;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {directory}/{name}.body; proxy_temp_path {directory}/{name}.proxy;
  fastcgi_temp_path {directory}/{name}.f; uwsgi_temp_path {directory}/{name}.u; scgi_temp_path {directory}/{name}.s;
  client_body_buffer_size 512k; client_max_body_size 1m; client_header_timeout 300s;
  {inside}
}}
"""

NGINX_PROXY = """upstream app {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location = /teapot {{ return 418; }}
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_buffering off;
    }}
  }}"""

NGINX_UPSTREAM = """server {{
    listen 127.0.0.1:{port};
    location = /counted {{ stub_status; }}
    location / {{ default_type application/xml; return 200 "{answer}"; }}
  }}"""

HAPROXY = """global
  nbthread 1
  maxconn {maxconn}
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 60s
  timeout http-request 300s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  http-reuse always
  server s 127.0.0.1:{upstream}
"""


def nginx_command(directory, name, inside):
    path = directory / f"{name}.conf"
    path.write_text(NGINX.format(directory=directory, name=name, inside=inside))
    return [find("nginx"), "-p", directory, "-c", path]


def nginx_proxy(directory, port, upstream):
    return nginx_command(directory, "pass", NGINX_PROXY.format(port=port, upstream=upstream))


def nginx_upstream(directory, port):
    inside = NGINX_UPSTREAM.format(port=port, answer=ANSWER.decode())
    return nginx_command(directory, "upstream", inside)


def haproxy(directory, port, upstream):
    path = directory / "haproxy.cfg"
    path.write_text(HAPROXY.format(port=port, upstream=upstream, maxconn=haproxy_connections()))
    return [find("haproxy"), "-f", path]


def haproxy_connections():
    """Returns the number of connections that the descriptors allow: HAProxy needs two for each."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(20000, (descriptors - 100) // 2)
