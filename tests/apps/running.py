"""Processes that tests start and stop, and requests over connections of their own."""

import http.client
import json
import os
import random
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
BIN = CACHE / "python" / "bin"
TOKEN = "7d3c9f1e5a2b48060c1d9e8f7a6b5c40"
HOST = "abcd-1234.ngrok.app"
EVERY_HOST = "*.ngrok.app"
PATIENCE = 20
FORM = "application/x-www-form-urlencoded; charset=UTF-8"


def free_port():
    """A port below the ephemeral range, so that no connection takes it in the meantime."""
    for port in random.sample(range(15000, 30000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise OSError("no free port")


def wait_until(true, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)
    return found


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A program whose output is kept; it is stopped by its process id."""

    def __init__(self, *command, **variables):
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
        self.child = subprocess.Popen(
            [str(part) for part in command],
            cwd=HERE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.append(line.rstrip("\n"))

    def said(self):
        return "\n".join(self.lines[-30:])

    def wait_for(self, true, what):
        def found():
            answer = true()
            assert answer or self.child.poll() is None, f"{what}: it ended\n{self.said()}"
            return answer

        return wait_until(found, what)

    def first_line(self):
        return self.wait_for(lambda: self.lines[:1], "a first line")[0]

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Gate(Process):
    """The gate, with `config` after its `listen`."""

    def __init__(self, folder, config):
        file = folder / f"gatekeeper-{random.getrandbits(32):08x}.toml"
        file.write_text(f'listen = "127.0.0.1:0"\n{config}')
        super().__init__(os.environ["GATEKEEPER"], "run", "-c", file)
        address = self.wait_for(lambda: self.logged("listening"), "the gate")[0]["address"]
        self.port = int(address.rsplit(":", 1)[1])

    def logged(self, message):
        lines = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [line for line in lines if line.get("message") == message]

    def reasons(self, count):
        """Why the first `count` requests were refused, in the order in which they began. A refused request
        is logged a little later, with its mistake."""
        requests = self.wait_for(lambda: self.logged("request")[count - 1 :] and self.logged("request"), "the log")
        begun = sorted(requests, key=lambda line: int(line["id"].split("-")[1], 16))
        return [line.get("reason") for line in begun[:count]]


def guarded(port, more="", public_url=f"https://{HOST}"):
    return f'public_url = "{public_url}"\nupstream = "http://127.0.0.1:{port}"\nauth_tokens = ["{TOKEN}"]\n{more}\n'


def tunnelled(port):
    """No public_url: a trusted proxy on this machine sets it, for these hosts."""
    trust = f'[trust]\nproxies = ["127.0.0.1/32"]\nhosts = ["{EVERY_HOST}"]\n'
    return f'upstream = "http://127.0.0.1:{port}"\nauth_tokens = ["{TOKEN}"]\n{trust}'


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    def __repr__(self):
        return f"{self.status} {self.text!r}"


class Connection(http.client.HTTPConnection):
    """A connection to a port of this machine for requests to another host name."""

    def __init__(self, port, authority=None, source=None):
        super().__init__(HOST, port, timeout=PATIENCE)
        self.authority = authority
        self.source = source and (source, 0)

    def connect(self):
        self.sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE, self.source)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.authority:
            self.sock = trusting(self.authority).wrap_socket(self.sock, server_hostname=HOST)

    def ask(self, method, target, body=None, headers=None):
        headers = {"User-Agent": "TwilioProxy/1.1", "Accept": "*/*", **(headers or {})}
        self.request(method, target, body, {"Host": HOST, **headers})
        return Answer(self.getresponse())


def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def ask(port, method, target, body=None, headers=None, authority=None):
    """One request over a connection of its own."""
    connection = Connection(port, authority)
    try:
        return connection.ask(method, target, body, headers)
    finally:
        connection.close()
