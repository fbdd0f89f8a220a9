"""Requests as Twilio makes them, signed by Twilio's own SDKs."""

import hashlib
import json
import subprocess
from urllib.parse import urlencode

from multidict import MultiDict  # comes with twilio, and is one of the mappings it supports
from running import CACHE, FORM, HERE, HOST, TOKEN
from twilio.request_validator import RequestValidator

CALL = {
    "AccountSid": "AC00000000000000000000000000000000",
    "CallSid": "CA00000000000000000000000000000000",
    "CallerCity": "SAN FRANCISCO",
    "CallerCountry": "US",
    "CallerState": "CA",
    "From": "+14158675309",
    "SpeechResult": "is the court dry? ünïcode & 'quotes' =+%",
    "ToCity": "",
}


def by_python(url, params, token=TOKEN):
    pairs = [(name, value) for name, values in params.items() for value in ([values] if isinstance(values, str) else values)]
    return RequestValidator(token).compute_signature(url, MultiDict(pairs))


def by_node(url, params, token=TOKEN):
    script = """
        const twilio = require("twilio");
        const [token, url, params] = JSON.parse(process.argv[1]);
        console.log(twilio.getExpectedTwilioSignature(token, url, params));
    """
    environment = {"NODE_PATH": str(CACHE / "node_modules"), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    command = ["node", "-e", script, json.dumps([token, url, params])]
    return subprocess.run(command, cwd=HERE, env=environment, check=True, capture_output=True, text=True).stdout.strip()


class Webhook:
    """One request; what Twilio has on file is `origin` and `target`."""

    def __init__(self, method, target, body, signed, content_type=None, origin=f"https://{HOST}"):
        self.method, self.target, self.body = method, target, body
        self.url, self.signed, self.content_type = origin + target, signed, content_type

    def headers(self, sign=by_python, token=TOKEN):
        headers = {"Content-Type": self.content_type} if self.content_type else {}
        if sign:
            headers["X-Twilio-Signature"] = sign(self.url, self.signed, token)
        return headers

    def to(self, connection, sign=by_python, token=TOKEN):
        return connection.ask(self.method, self.target, self.body, self.headers(sign, token))


def form(target, params=CALL, **more):
    return Webhook("POST", target, urlencode(params, doseq=True), params, FORM, **more)


def get(target, **more):
    return Webhook("GET", target, None, {}, **more)


def hashed(target, value, **more):
    body = json.dumps(value)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return Webhook("POST", f"{target}?bodySHA256={digest}", body, {}, "application/json", **more)


def handshake(path, token=TOKEN):
    """The signature of a WebSocket handshake."""
    return by_python(f"wss://{HOST}{path}", {}, token)
