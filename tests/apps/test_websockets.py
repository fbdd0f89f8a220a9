"""WebSockets through the gate: a Media Streams simulator, the websockets and ws clients, a ws server."""

import asyncio
import base64
import functools
import json
import os
import socket
import subprocess

import pytest
import streamdouble.session
import websockets
from running import CACHE, HERE, HOST, PATIENCE, Connection
from signing import handshake
from streamdouble.api import call_sync
from streamdouble.session import SessionConfig

OTHER_TOKEN = "00000000000000000000000000000000"
STREAM = "/media-stream"


def signed(path, token=None):
    return {"x-twilio-signature": handshake(path, token) if token else handshake(path)}


def connect(gate, path, headers):
    """The websockets client, to the gate, under the public name."""
    address = {"host": "127.0.0.1", "port": gate.port, "proxy": None}
    return websockets.connect(f"ws://{HOST}{path}", additional_headers=headers, open_timeout=PATIENCE, **address)


def ws(gate, *calls):
    """The results of these calls by the ws client."""
    task = json.dumps({"port": gate.port, "host": HOST, "calls": calls})
    environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(CACHE / "node_modules")}
    done = subprocess.run(
        ["node", "ws_client.js", task], cwd=HERE, env=environment, timeout=60, check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout)


def a_call(path, headers=None, send=(), **more):
    return {"path": path, "headers": signed(path) if headers is None else headers, "send": list(send), **more}


def test_streamdouble_completes_a_bidirectional_stream(before_express, express, monkeypatch):
    # It has no option for the signature, nor for an address other than the URL's.
    signing = functools.partial(
        websockets.connect, additional_headers=signed(STREAM), host="127.0.0.1", port=before_express.port, proxy=None
    )
    monkeypatch.setattr(streamdouble.session.websockets, "connect", signing)
    frames = [bytes((number + byte) % 256 for byte in range(160)) for number in range(100)]
    config = SessionConfig(custom_parameters={"agent": "hotline"}, quiet_period_s=0.5)
    report = call_sync(f"ws://{HOST}{STREAM}", frames=frames, config=config)
    assert report.passed and report.violations == []
    assert report.result.frames_sent >= 100
    heard = report.audio_received
    assert heard[: 160 * 100] == b"".join(frames), "the agent says what it hears"
    assert [line["status"] for line in before_express.logged("request")] == [101]


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({}, 418, "missing_signature"),
        (signed(STREAM, OTHER_TOKEN), 403, "signature_mismatch"),
        (signed("/voice"), 403, "signature_mismatch"),
        ({"x-twilio-signature": "nonsense"}, 403, "malformed_signature"),
    ],
)
def test_unproven_handshake_never_reaches_the_app(before_express, express, headers, status, reason):
    before = express.seen()

    async def stream():
        async with connect(before_express, STREAM, headers):
            pass

    with pytest.raises(websockets.InvalidStatus) as refused:
        asyncio.run(stream())
    assert refused.value.response.status_code == status
    assert before_express.reasons(1) == [reason]
    assert express.seen() == before


def test_handshake_with_an_unsigned_query_is_refused(before_express, express):
    before = express.seen()
    uncovered = a_call("/echo?token=mine", signed("/echo"))
    covered = a_call("/echo?token=mine", send=[["text", "hi"]])
    refused, passed = ws(before_express, uncovered, covered)
    assert refused["status"] == 403
    assert passed["messages"] == [["text", "hi"]]
    assert express.seen()["handshakes"] == before["handshakes"] + 1


def test_frames_are_forwarded_unchanged(before_express):
    send = [["text", "ünïcode"], ["binary", 0], ["binary", 160], ["ping", "still there?"], ["binary", 1 << 20], ["text", ""]]
    (answer,) = ws(before_express, a_call("/echo", send=send))
    # A pong may overtake what the app echoes.
    assert sorted(answer["messages"], key=str) == sorted(send, key=str)
    assert [m for m in answer["messages"] if m[0] != "ping"] == [m for m in send if m[0] != "ping"]
    assert (answer["code"], answer["reason"]) == (1000, "done")


def test_close_codes_are_forwarded(before_express):
    calls = [a_call("/echo", send=[["close", f"{code} {reason}"]]) for code, reason in CLOSES]
    answers = ws(before_express, *calls)
    assert [(answer["code"], answer["reason"]) for answer in answers] == CLOSES


CLOSES = [(1000, "good night"), (1008, "policy"), (1011, "a fault"), (4001, "your own"), (1000, "")]


def test_subprotocol_is_forwarded(before_express):
    (answer,) = ws(before_express, a_call("/echo", send=[["text", "a"]], protocols=["audio.twilio.com", "other"]))
    assert answer["protocol"] == "audio.twilio.com"


def test_response_other_than_101_is_returned(before_express):
    (answer,) = ws(before_express, a_call("/ws/busy"))
    assert (answer["status"], answer["body"]) == (409, "no line is free")
    assert answer["headers"]["x-reason"] == "busy"
    assert before_express.reasons(1) == [None]


def test_public_route_accepts_a_websocket(before_express):
    unsigned = a_call("/open/echo", {}, [["text", "hi"], ["binary", 7]])
    (answer,) = ws(before_express, unsigned)
    assert answer["messages"] == [["text", "hi"], ["binary", 7]]


def test_app_may_send_first_and_close_first(before_express):
    """Both ends close at once, many times: nothing sent before the close is lost."""

    async def stream(number):
        async with connect(before_express, "/echo", signed("/echo")) as peer:
            for turn in range(50):
                await peer.send(f"{number}.{turn}")
            await peer.send("close 1000 enough")
            got = [message async for message in peer]
            return got, peer.close_code

    async def all_of_them():
        return await asyncio.gather(*map(stream, range(20)))

    for number, (got, code) in enumerate(asyncio.run(all_of_them())):
        assert got == [f"{number}.{turn}" for turn in range(50)]
        assert code == 1000


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 101),
        ({"Sec-WebSocket-Key": None}, 400),  # ws: Missing or invalid Sec-WebSocket-Key header
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Version": "12"}, 400),
        ({"Sec-WebSocket-Version": None}, 400),
    ],
)
def test_app_response_to_a_malformed_handshake_is_returned(before_express, express, change, status):
    before = express.seen()["handshakes"]
    headers = {**HANDSHAKE, **signed("/echo"), **change}
    connection = Connection(before_express.port)
    answer = connection_answer(connection, {name: value for name, value in headers.items() if value is not None})
    assert answer.status == status
    assert express.seen()["handshakes"] == before + 1
    assert before_express.reasons(1) == [None]


def connection_answer(connection, headers):
    connection.request("GET", "/echo", headers={"Host": HOST, **headers})
    response = connection.getresponse()
    connection.close()
    return response


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("GET /echo HTTP/1.1", {"Connection": None}),
        ("GET /echo HTTP/1.1", {"Upgrade": None}),
        ("GET /echo HTTP/1.1", {"Upgrade": "h2c"}),
        ("POST /echo HTTP/1.1", {}),
        ("GET /echo HTTP/1.0", {}),
    ],
)
def test_request_that_is_no_handshake_is_judged_as_plain_http(before_express, express, line, change):
    """A signature over a wss URL is not valid for it, and no tunnel is opened."""
    before = express.seen()
    headers = {"Host": HOST, **HANDSHAKE, **signed("/echo"), **change}
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
    with socket.create_connection(("127.0.0.1", before_express.port), PATIENCE) as stream:
        stream.sendall(f"{line}\r\n{fields}\r\n".encode())
        answer = stream.recv(65536).decode()
    assert answer.split()[1] in ("400", "403"), answer
    assert before_express.reasons(1) not in ([None], [""])
    assert express.seen() == before
