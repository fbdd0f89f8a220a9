"""Makes the vectors of SendGrid's scheme, and asks SendGrid's Python library what it answers.

The libraries verify and do not sign. The official vectors of their own tests come first; the others
are signed here with deterministic ECDSA (RFC 6979), so that every run makes the same ones.
Writes the vectors as JSON; make_sendgrid.mjs adds what the Node library answers.
"""

import base64
import json
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from sendgrid.helpers.eventwebhook import EventWebhook

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

# Official: the tests of sendgrid-python 6.12.5 and of @sendgrid/eventwebhook 8.0.0.
SINGLE_KEY = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
SINGLE_SIGNATURE = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
SINGLE = {
    "email": "hello@world.com",
    "event": "dropped",
    "reason": "Bounced Address",
    "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
    "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
    "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
    "timestamp": 1600112492,
}
TWO_KEY = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQ4LIFtWztlsF7skFqOncjD1lun4H5w8XOhyOArHW9RcIx/FfEzx6cikC/yPfUvwaX/JScE7Fc9CJD2afQ9Ok3Q=="
TWO_SIGNATURE = "MEYCIQC/I4o6vCgqRYrTljjoVWB/GRWNtxeePlLMHr3x9ETeRQIhAIpV+03nREPTTHWSW0wIOA0EoMPdcNgXa70yCaqDJlu5"
TWO = [
    {
        "email": "invalid@gmail.com",
        "event": "processed",
        "send_at": 0,
        "sg_event_id": "cHJvY2Vzc2VkLTE5OTQyMTEyLXFOd0JMZ1BRUWpXNkRKdktRd1NBYnctMA",
        "sg_message_id": "qNwBLgPQQjW6DJvKQwSAbw.filterdrecv-canary-547b64655b-cw6zx-1-6089EA4A-56.0",
        "smtp-id": "<qNwBLgPQQjW6DJvKQwSAbw@ismtpd0178p1mdw1.sendgrid.net>",
        "timestamp": 1619651146,
    },
    {
        "email": "invalid@gmail.com",
        "event": "bounce",
        "ip": "167.89.101.76",
        "reason": "552 5.2.2 The email account that you tried to reach is over quota and inactive. Please direct the recipient to https://support.google.com/mail/?p=OverQuotaPerm c17si1130468pgv.34 - gsmtp",
        "sg_event_id": "Ym91bmNlLTAtMTk5NDIxMTItcU53QkxnUFFRalc2REp2S1F3U0Fidy0w",
        "sg_message_id": "qNwBLgPQQjW6DJvKQwSAbw.filterdrecv-canary-547b64655b-cw6zx-1-6089EA4A-56.0",
        "smtp-id": "<qNwBLgPQQjW6DJvKQwSAbw@ismtpd0178p1mdw1.sendgrid.net>",
        "status": "5.2.2",
        "timestamp": 1619651147,
        "tls": 1,
        "type": "blocked",
    },
]
OTHER_KEY = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXSJCWHw8REntlo7aNDthvj+y7GjUuFDb/R1NGe1OPzpA=="
OTHER_SIGNATURE = "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH3j/0="

# A key for tests only, derived from a constant.
OWN = ec.derive_private_key(int.from_bytes(b"gatekeeper: vectors for SendGrid"), ec.SECP256R1())


def events(list_):
    """As SendGrid writes a batch: one event a line, and a line end behind the last."""
    text = json.dumps(list_, separators=(",", ":"))
    return (text.replace("},{", "},\r\n{") + "\r\n").encode()


def public(key):
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def sign(timestamp, body):
    scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    return base64.b64encode(OWN.sign(timestamp.encode() + body, scheme)).decode()


def twin(signature):
    r, s = utils.decode_dss_signature(base64.b64decode(signature))
    return base64.b64encode(utils.encode_dss_signature(r, ORDER - s)).decode()


def vector(id_, valid, key, signature, timestamp, body, note=None):
    made = {"id": id_, "valid": valid, "python": python(key, signature, timestamp, body), "key": key}
    made |= {"signature": signature, "timestamp": timestamp, "body_b64": base64.b64encode(body).decode()}
    return made | ({"note": note} if note else {})


def python(key, signature, timestamp, body):
    """What the library answers, given the body as text, as its documentation shows it."""
    try:
        library = EventWebhook(key)
        return library.verify_signature(body.decode(), signature, timestamp)
    except Exception as error:  # it lets through whatever its dependencies raise
        return type(error).__name__


def official():
    single, two = events([SINGLE]), events(TWO)
    time = "1600112502"
    yield vector("official-single", True, SINGLE_KEY, SINGLE_SIGNATURE, time, single)
    yield vector("official-two", True, TWO_KEY, TWO_SIGNATURE, "1619651159", two)
    yield vector("official-without-line-end", False, SINGLE_KEY, SINGLE_SIGNATURE, time, single[:-2])
    yield vector("official-other-key", False, OTHER_KEY, SINGLE_SIGNATURE, time, single)
    yield vector("official-bad-payload", False, SINGLE_KEY, SINGLE_SIGNATURE, time, b"payload")
    yield vector("official-bad-signature", False, SINGLE_KEY, OTHER_SIGNATURE, time, single)
    broken = SINGLE_SIGNATURE + "causing failure"
    yield vector("official-not-base64", False, SINGLE_KEY, broken, time, single)
    yield vector("official-bad-timestamp", False, SINGLE_KEY, SINGLE_SIGNATURE, "timestamp", single)
    yield vector("official-empty-timestamp", False, SINGLE_KEY, SINGLE_SIGNATURE, "", single)
    again = json.dumps([SINGLE]).encode() + b"\r\n"
    yield vector("json-reserialised", False, SINGLE_KEY, SINGLE_SIGNATURE, time, again)


def own():
    key, time = public(OWN), "1790000000"
    mail = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\ngr\xfc\xdfe\x00\xff\r\n--b--\r\n'
    bodies = {
        "crlf": events([SINGLE]),
        "line-feed": b'[{"event":"open"}]\n',
        "no-line-end": b'[{"event":"open"}]',
        "empty": b"",
        "blanks-around": b"  [] \r\n\r\n",
        "utf-8": '[{"subject":"Grüße 🌧"}]\r\n'.encode(),
        "byte-order-mark": b"\xef\xbb\xbf[]\r\n",
        "digits": b"12345",
    }
    for name, body in bodies.items():
        yield vector(f"own-{name}", True, key, sign(time, body), time, body)
        good = sign(time, body)
        yield vector(f"own-{name}-altered", False, key, good, time, body + b" ")
    note = "the Python library takes text, so this body cannot be given to it"
    yield vector("own-invalid-utf-8", True, key, sign(time, mail), time, mail, note)
    body = bodies["crlf"]
    good = sign(time, body)
    note = "(r, n - s) for (r, s): both are valid, and one of them has a high s"
    yield vector("own-twin", True, key, twin(good), time, body, note)
    moved = "the border between timestamp and body is not signed"
    yield vector("own-moved-border", True, key, sign("179", b"12345"), "17912", b"345", moved)
    note = "signed, but no number: refused by the gate"
    for name, strange in {"sign": "+1790000000", "fraction": "1.5", "hex": "0x6a", "letters": "now"}.items():
        yield vector(f"own-time-{name}", False, key, sign(strange, body), strange, body, note)
    note = "signed, but longer than 20 digits: refused by the gate"
    yield vector("own-time-long", False, key, sign("0" * 21, body), "0" * 21, body, note)
    raw = base64.b64decode(good)
    r, s = utils.decode_dss_signature(raw)
    plain = r.to_bytes(32) + s.to_bytes(32)
    for name, text in {
        "unpadded": good.rstrip("="),
        "url-safe": good.replace("+", "-").replace("/", "_"),
        "hex": raw.hex(),
        "r-and-s": base64.b64encode(plain).decode(),
        "trailing-byte": base64.b64encode(raw + b"\0").decode(),
        "zeros": base64.b64encode(utils.encode_dss_signature(0, 0)).decode(),
        "r-of-order": base64.b64encode(utils.encode_dss_signature(ORDER, s)).decode(),
        "hmac-length": base64.b64encode(bytes(32)).decode(),
        "empty": "",
    }.items():
        if text != good:
            yield vector(f"own-signature-{name}", False, key, text, time, body)


json.dump([*official(), *own()], sys.stdout)
