"""Turns cases.json into vectors with Twilio's Python SDK.

sign:   reads cases.json, writes the vectors; those that the Node SDK is to sign are left unsigned
answer: reads vectors from stdin, adds what this SDK answers, writes sdk.json
"""

import base64
import hashlib
import hmac
import json
import sys
from importlib.metadata import version
from pathlib import Path
from urllib.parse import parse_qsl, unquote_to_bytes

from multidict import MultiDict  # comes with twilio, and is one of the mappings it supports
from twilio.request_validator import RequestValidator, get_signature_algorithm

TIERS = ("core", "lenient", "ws", "policy", "config", "sharedkey")
FORM = "application/x-www-form-urlencoded"
KEY_ID = "webhooks_sharedkey_01h00000000000000000000000"
SETTINGS = "X-Twilio-Webhooks-Signature-Settings"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
ORDER = (
    "id tier valid python node method url public_url target signed_url content_type headers body body_b64 "
    "allow_empty_form algorithm token signature signed_over source note left_open set"
).split()

ALTER = {
    "empty": lambda s: "",
    "truncated": lambda s: s[:16],
    "unpadded": lambda s: s.rstrip("="),
    "padded": lambda s: s + "=",
    "url-safe": lambda s: s.replace("+", "-").replace("/", "_"),
    "non-canonical": lambda s: s[:-2] + chr(ord(s[-2]) + 1) + s[-1],
    "joined": lambda s: f"{s}, {s}",
    "hex": lambda s: base64.b64decode(s).hex(),
    "lower": str.lower,
    "quoted": lambda s: f'"{s}"',
    "prefixed": lambda s: f"sha1={s}",
    "last-bit": lambda s: recode(s, lambda b: b[:-1] + bytes([b[-1] ^ 1])),
    "zeros": lambda s: recode(s, lambda b: bytes(len(b))),
    "first-20-bytes": lambda s: recode(s, lambda b: b[:20]),
}


def recode(signature, change):
    return base64.b64encode(change(base64.b64decode(signature))).decode()


def body_of(vector):
    return base64.b64decode(vector["body_b64"]) if "body_b64" in vector else vector["body"].encode()


def is_form(vector):
    return (vector.get("content_type") or "").split(";")[0].strip().lower() == FORM


def params(form):
    return MultiDict(parse_qsl(form, keep_blank_values=True))


def complete(tier, case, defaults):
    """One case with its defaults filled in, and `sign`: all that is signed."""
    v = {"tier": tier, "set": "sdk", **defaults, **case}
    if v["method"] != "POST" and "content_type" not in case:
        del v["content_type"]
    if v.get("content_type", "") is None:
        del v["content_type"]
    headers = v.get("headers")
    if headers is None and "algorithm" in v:
        headers = {SETTINGS: f"key={KEY_ID},algorithm={v['algorithm']}"}
    if v["url"].startswith("ws"):
        headers = {**UPGRADE, **(headers or {})}
    if headers:
        v["headers"] = headers
    else:
        v.pop("headers", None)

    digest = hashlib.sha256(v.pop("hash_of").encode() if "hash_of" in v else body_of(v)).hexdigest()
    fill = lambda url: url.replace("{sha256}", digest).replace("{SHA256}", digest.upper())
    v["url"] = fill(v["url"])

    sign = {
        "url": v["url"],
        "form": v["body"] if v["method"] == "POST" and is_form(v) else "",
        "token": v["token"],
        "algorithm": v.get("algorithm", "HMAC_SHA1"),
        **v.get("sign", {}),
    }
    sign["url"] = v["signed_url"] = fill(sign["url"])
    v["sign"] = sign
    v["signed_over"] = signed_over(v)
    return v


def signed_over(v):
    sign, details = v["sign"], []
    text = "url" if sign["url"] == v["url"] else "signed_url"
    if sign["form"] and sign["form"] == v["body"] and is_form(v):
        text += " + body params"
    elif sign["form"]:
        text += f" + params of {json.dumps(sign['form'], ensure_ascii=False)}"
    details.append(sign["algorithm"].removeprefix("HMAC_").lower())
    if sign.get("raw"):
        details.append("as raw bytes")
    if sign.get("by"):
        details.append({"python": "names and values in code point order", "node": "in UTF-16 order"}[sign["by"]])
    if sign["token"] != v["token"]:
        details.append("under another token")
    if sign.get("alter"):
        details.append(f"then altered: {sign['alter']}")
    return f"{text} ({', '.join(details)})"


def assign(vectors):
    """Half of the signatures to each SDK, as far as each is able to make them."""
    for v in vectors:
        sign = v["sign"]
        if sign.get("raw"):
            sign["by"] = "hmac"
        elif sign["algorithm"] != "HMAC_SHA1" or "alter" in sign:
            sign["by"] = "python"
    count = {by: sum(v["sign"].get("by") == by for v in vectors) for by in ("python", "node")}
    for v in vectors:
        if "by" not in v["sign"]:
            v["sign"]["by"] = by = min(count, key=count.get)
            count[by] += 1


def sign_with_sdk(v):
    sign = v["sign"]
    made = RequestValidator(sign["token"]).compute_signature(sign["url"], params(sign["form"]), sign["algorithm"])
    v["signature"] = ALTER[sign["alter"]](made) if "alter" in sign else made
    assert "alter" not in sign or v["signature"] != made, f"{v['id']}: {sign['alter']} changes nothing"
    v["source"] = f"generated: twilio {version('twilio')} (PyPI) RequestValidator.compute_signature"


def sign_raw(v):
    # Both SDKs take text; bytes that are not UTF-8 cannot be handed to either.
    pairs = {
        tuple(unquote_to_bytes(part.replace("+", " ")) for part in pair.partition("=")[::2])
        for pair in v["sign"]["form"].split("&")
    }
    message = v["sign"]["url"].encode() + b"".join(name + value for name, value in sorted(pairs))
    mac = hmac.digest(v["sign"]["token"].encode(), message, "sha1")
    v["signature"] = base64.b64encode(mac).decode()
    v["source"] = "generated: HMAC over raw bytes, which no SDK accepts"


def answer(v):
    """As Twilio's documentation does it: parameters for a form, text for any other body."""
    if is_form(v):
        content = params(body_of(v).decode(errors="replace"))
    elif "content_type" in v or body_of(v):
        content = body_of(v).decode(errors="replace")
    else:
        content = {}
    headers = {name.lower(): value for name, value in v.get("headers", {}).items()}
    algorithm = get_signature_algorithm(headers.get(SETTINGS.lower()))
    try:
        return RequestValidator(v["token"]).validate(v["url"], content, v["signature"], algorithm)
    except Exception as error:
        return f"error:{type(error).__name__}"


def sign_all():
    cases = json.loads(Path(__file__).with_name("cases.json").read_text())
    vectors = [
        complete(tier, case, {**cases["defaults"], **cases["tier_defaults"].get(tier, {})})
        for tier in TIERS
        for case in cases[tier]
    ]
    assert len({v["id"] for v in vectors}) == len(vectors), "an id is used twice"
    assign(vectors)
    for v in vectors:
        if v["sign"]["by"] == "python":
            sign_with_sdk(v)
        elif v["sign"]["by"] == "hmac":
            sign_raw(v)
    json.dump(vectors, sys.stdout)


def answer_all():
    vectors = sorted(json.load(sys.stdin), key=lambda v: v["id"])
    for v in vectors:
        v["python"] = answer(v)
        del v["sign"]
        assert not v.keys() - set(ORDER), f"{v['id']}: unknown field"
    lines = [json.dumps({field: v[field] for field in ORDER if field in v}) for v in vectors]
    print("[\n" + ",\n".join(lines) + "\n]")


{"sign": sign_all, "answer": answer_all}[sys.argv[1]]()
