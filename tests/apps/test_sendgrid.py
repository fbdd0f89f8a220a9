"""What `gatekeeper send` signs as SendGrid passes the gate, and then SendGrid's own libraries."""

import json
import os
import re
import subprocess

import pytest
from running import BIN, CACHE, HOST, Gate, Process, accepts, ask, free_port, guarded

PRESETS = {"sendgrid-events": "/events", "sendgrid-parse": "/mail"}


def gatekeeper(*arguments, **variables):
    command = [os.environ["GATEKEEPER"], *arguments]
    return subprocess.run(command, env=variables, timeout=30, capture_output=True, text=True)


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    return tmp_path_factory.mktemp("keys") / "sendgrid.pem"


@pytest.fixture(scope="module")
def public(private):
    line = gatekeeper("sign", "--new-sendgrid-key", private).stdout
    return re.fullmatch(r'verification_keys = \["(MFkw[^"]+)"\]\n', line)[1]


class Flask(Process):
    def __init__(self, public):
        self.port = free_port()
        options = ("--bind", f"127.0.0.1:{self.port}", "--no-control-socket")
        super().__init__(BIN / "gunicorn", "sendgrid_app:app", *options, SENDGRID_KEY=public)
        self.wait_for(lambda: accepts(self.port), "gunicorn")


class Node(Process):
    def __init__(self, public):
        variables = {"SENDGRID_KEY": public, "NODE_PATH": str(CACHE / "node_modules")}
        super().__init__("node", "sendgrid_app.js", **variables)
        self.port = json.loads(self.first_line())["port"]


@pytest.fixture(scope="module", params=[Flask, Node])
def app(request, public):
    with request.param(public) as app:
        yield app


@pytest.fixture
def gate(app, public, tmp_path):
    route = '[[route]]\npath = "{}"\naccess = "sendgrid"\nmax_age = "1h"\nverification_keys = ["{}"]\n'
    routes = "".join(route.format(path, public) for path in PRESETS.values())
    with Gate(tmp_path, guarded(app.port, routes)) as gate:
        yield gate


def send(gate, preset, private, *options):
    url, to = f"https://{HOST}{PRESETS[preset]}", f"http://127.0.0.1:{gate.port}"
    return gatekeeper("send", url, "--to", to, "--preset", preset, "--sendgrid-key", private, *options)


@pytest.mark.parametrize("preset", PRESETS)
def test_libraries_verify_behind_the_gate_what_send_signs(gate, private, preset):
    said = send(gate, preset, private)
    assert said.stdout.startswith("HTTP/1.1 200 OK"), said
    assert re.search(r"SendGrid signed \d+ bytes", said.stdout), said


@pytest.mark.parametrize("preset", PRESETS)
def test_another_key_is_refused(gate, preset, tmp_path):
    other = tmp_path / "other.pem"
    assert gatekeeper("sign", "--new-sendgrid-key", other).returncode == 0
    said = send(gate, preset, other)
    assert said.stdout.startswith("HTTP/1.1 403 Forbidden"), said
    assert gate.reasons(1) == ["signature_mismatch"]


def test_apps_refuse_a_forged_event_without_the_gate(app, private):
    """Control: the responses behind the gate depend on the signature."""
    assert ask(app.port, "POST", "/events", b"[]\r\n", {}).status == 401


def test_own_parts_of_a_mail_are_signed_too(gate, private):
    said = send(gate, "sendgrid-parse", private, "-d", "subject=Grüße & more", "-d", "New=x")
    assert said.stdout.startswith("HTTP/1.1 200 OK"), said
