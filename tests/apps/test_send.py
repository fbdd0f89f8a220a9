"""`gatekeeper send` speaks as Twilio does: what it sends passes the gate, and the apps' own checks."""

import os
import subprocess

import pytest
from proxies import Caddy
from running import HOST, TOKEN

ANSWER = "<Response><Say>Ahoy from Express</Say></Response>"


def send(gate, path, *options, token=TOKEN, scheme="http"):
    command = [os.environ["GATEKEEPER"], "send", f"https://{HOST}{path}", "--to", f"{scheme}://127.0.0.1:{gate.port}"]
    environment = {"TWILIO_AUTH_TOKEN": token}
    return subprocess.run([*command, *options], env=environment, timeout=30, capture_output=True, text=True)


@pytest.mark.parametrize("preset", ["voice", "sms", "status"])
def test_form_preset_is_accepted(before_express, before_flask, preset):
    said = send(before_express, "/voice?a=b", "--preset", preset)
    assert said.stdout.startswith("HTTP/1.1 200 OK") and ANSWER in said.stdout, said
    said = send(before_flask, "/decorator_test", "--preset", preset, "-d", "From=+1 & 2", "-d", "New=ü")
    assert "Signature is validated!" in said.stdout, said


def test_event_preset_is_accepted(before_express):
    said = send(before_express, "/events", "--preset", "events")
    assert said.stdout.startswith("HTTP/1.1 200 OK") and '{"events":1}' in said.stdout, said
    assert send(before_express, "/events", "--preset", "events", "-d", "a=b").returncode == 64


def test_voice_preset_gets_the_weather(before_flask, flask):
    said = send(before_flask, "/weather", "--preset", "voice")
    assert "in SAN FRANCISCO is 61.3 degrees" in said.stdout, flask.said()


def test_media_stream_preset_is_accepted(before_express, express):
    before = express.seen()["frames"]
    said = send(before_express, "/media-stream", "--preset", "media-stream", "-d", "agent=hotline")
    assert said.stdout.startswith("HTTP/1.1 101 Switching Protocols"), said
    assert '"name":"heard 50"' in said.stdout, said
    assert "sent 50 media messages, got 50" in said.stderr, said
    assert express.seen()["frames"] == before + 50


def test_forged_media_stream_is_refused(before_express, express):
    before = express.seen()
    said = send(before_express, "/media-stream", "--preset", "media-stream", token="0" * 32)
    assert said.stdout.startswith("HTTP/1.1 403 Forbidden") and "Not proven to come from Twilio" in said.stdout, said
    assert express.seen() == before


def test_media_stream_declined_by_the_app_fails(before_express):
    said = send(before_express, "/ws/busy", "--preset", "media-stream")
    assert said.stdout.startswith("HTTP/1.1 409 Conflict") and "no line is free" in said.stdout, said


def test_send_over_tls_is_accepted(before_express, tmp_path):
    roots = tmp_path / "roots.pem"
    with Caddy(tmp_path, before_express.port, "ngrok") as proxy:
        proxy.authority.cert_pem.write_to_path(roots)
        said = send(proxy, "/trusting", "--preset", "voice", "--cacert", roots, scheme="https")
        assert "Ahoy from behind a proxy" in said.stdout, said
        said = send(proxy, "/media-stream", "--preset", "media-stream", "--cacert", roots, scheme="https")
        assert "sent 50 media messages, got 50" in said.stderr, said
