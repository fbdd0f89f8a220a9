#!/usr/bin/env python3
"""Faults and floods while signed requests go on at a steady rate.

    tests/faults/run.py [--gate FILE] [--seconds N] [--rate N] [SCENARIO…]

Each scenario starts a gate before an app that checks every signature itself. It prints how many
signed requests were sent, answered and lost, their latency, and the gate's largest memory. The
exit code is 0 when nothing unsigned reached the app, nothing signed was lost, nothing reached the
app twice, and memory stayed within its bound. Latency is printed, not checked, since machines differ.

The scenarios named RESOURCE/TRANSPORT/ADDRESSES take all of one resource, from one address or from
many, while the signed requests come from another; they fail too if the gate's own counts do not
return to zero.

Needs slowhttptest, wrk and h2load (Debian: slowhttptest, wrk, nghttp2-client) and openssl; with
util-linux's unshare and iproute2 the attackers have addresses other than loopback.
"""

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import hmac
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Awaitable, Callable

import network

HERE = pathlib.Path(__file__).resolve().parent
TOKEN = "7d3c9f1e5a2b48060c1d9e8f7a6b5c40"
ORIGIN = "https://hooks.example.com"
# Twilio gives up after 15 s.
PATIENCE = 15.0
MEGABYTE = 1024 * 1024


def signature(target: str, body: bytes) -> str:
    """As Twilio documents it."""
    pairs = sorted(set(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)))
    text = ORIGIN + target + "".join(name + value for name, value in pairs)
    return base64.b64encode(hmac.digest(TOKEN.encode(), text.encode(), hashlib.sha1)).decode()


# --- the app -------------------------------------------------------------------------------------


class App:
    """Answers as its mode says, and records requests that it should not have received."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 11\r\n\r\n<Response/>"

    def __init__(self) -> None:
        self.mode, self.port, self.server = "answer", 0, None
        self.unsigned, self.seen, self.twice = 0, set(), 0
        self.tasks: set[asyncio.Task] = set()

    async def open(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Closes the listener and every connection, like a killed process."""
        self.server.close()
        for task in list(self.tasks):
            task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            while await self.one(reader, writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"(?im)^content-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        target = head.split(" ")[1]
        if target == "/open":  # the public route: never answered
            await reader.read()
            return False
        sent = re.search(r"(?im)^x-twilio-signature: *(\S+)", head)
        self.unsigned += sent is None or sent[1] != signature(target, body)
        self.twice += target in self.seen
        self.seen.add(target)
        return await self.answer(writer)

    async def answer(self, writer: asyncio.StreamWriter) -> bool:
        match self.mode:
            case "answer":
                writer.write(self.ANSWER)
            case "hang":
                await asyncio.sleep(3600)
            case "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            case "garbage":
                writer.write(b"\x00\x01 this is no HTTP\r\n\r\n")
            case "die":
                writer.write(self.ANSWER[:-5])
                return False
        await writer.drain()
        return True


# --- the gate ------------------------------------------------------------------------------------


class Gate:
    """The real binary."""

    def __init__(self, binary: str, app: App, scenario: "Scenario", descriptors: int) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="gatekeeper-faults-")
        self.file = pathlib.Path(self.folder.name, "gatekeeper.toml")
        self.admin = pathlib.Path(self.folder.name, "admin")
        self.file.write_text(
            f'listen = "{scenario.host}:0"\npublic_url = "{ORIGIN}"\nupstream = "http://127.0.0.1:{app.port}"\n'
            f'auth_tokens = ["{TOKEN}"]\n{scenario.keys}\n[admin]\nlisten = "unix:{self.admin}"\n'
            f"{self.tls() if scenario.tls else ''}[limits]\n{scenario.limits}\n"
        )
        self.host = scenario.host
        limit = (descriptors, descriptors)
        self.process = subprocess.Popen(
            [binary, "run", "-c", str(self.file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # The threshold as in deploy/systemd: docs/operations.md says why.
            env={"GATEKEEPER_LOG": "warn,gatekeeper=info", "MALLOC_MMAP_THRESHOLD_": "1048576"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
        )
        self.log = pathlib.Path(self.folder.name, "log").open("wb")
        self.port = self.listening()

    def listening(self) -> int:
        """Its log says where; the rest of it goes to a file."""
        address = re.escape(self.host.encode())
        for line in self.process.stderr:
            self.log.write(line)
            # Not a line before it, which names the upstream, nor that of the admin listener.
            found = b'"message":"listening"' in line and re.search(address + rb":([1-9]\d*)", line)
            if found:
                # A separate process drains the pipe, so that reading it does not slow this one down.
                self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=self.log)
                return int(found[1])
        raise SystemExit("the gate did not start")

    def memory(self, which: str) -> float:
        """VmRSS or VmHWM in MB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{which}:\s+(\d+)", status)[1]) * 1024 / MEGABYTE

    def tls(self) -> str:
        """Makes a certificate, and returns the section that names it."""
        cert, key = self.file.with_name("cert.pem"), self.file.with_name("key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
             "/CN=hooks.example.com", "-days", "9", "-keyout", str(key), "-out", str(cert)],
            check=True, capture_output=True,
        )
        return f'[tls]\ncert = "{cert}"\nkey = "{key}"\n'

    def figures(self) -> dict[str, float]:
        """The metrics, each summed over its labels."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(str(self.admin))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = client.makefile("r", encoding="utf-8", newline="").read()
        figures: dict[str, float] = {}
        for name, value in re.findall(r"(?m)^gatekeeper_(\w+)(?:\{[^}]*\})? ([\d.]+)\r?$", text):
            figures[name] = figures.get(name, 0) + float(value)
        return figures

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.drain.wait()
        self.folder.cleanup()


# --- signed requests -----------------------------------------------------------------------------


class Caller:
    """Sends signed requests at a steady rate, over kept connections and fresh ones."""

    BODY = urllib.parse.urlencode(
        {
            "AccountSid": "AC" + "0" * 32,
            "Body": "What is the weather?",
            "Called": "+15551234567",
            "Caller": "+15557654321",
            "CallSid": "CA" + "1" * 32,
            "CallStatus": "ringing",
            "From": "+15557654321",
            "FromCity": "SAN FRANCISCO",
            "SpeechResult": "It is rather cold, isn't it?",
            "To": "+15551234567",
        }
    ).encode()

    def __init__(self, gate: Gate, rate: int, source: str | None, over_tls: bool) -> None:
        self.gate, self.rate, self.source = gate, rate, (source, 0) if source else None
        self.tls = ssl._create_unverified_context() if over_tls else None
        self.kept: list = []
        self.number = 0
        self.statuses: dict[str, int] = {}
        self.latencies: list[float] = []

    async def call(self, seconds: float) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for turn in range(int(seconds * self.rate)):
                await asyncio.sleep(max(0.0, began + turn / self.rate - time.monotonic()))
                group.create_task(self.one())

    async def one(self) -> None:
        self.number += 1
        fresh = self.number % 4 == 0
        began = time.monotonic()
        try:
            status = await asyncio.wait_for(self.ask(self.number, fresh), PATIENCE)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            status = type(error).__name__
        self.latencies.append(time.monotonic() - began)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    async def ask(self, number: int, fresh: bool) -> str:
        target = f"/voice?n={number}"
        head = (
            f"POST {target} HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: TwilioProxy/1.1\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(self.BODY)}\r\n"
            f"X-Twilio-Signature: {signature(target, self.BODY)}\r\n\r\n"
        )
        while self.kept and not fresh:
            connection = self.kept.pop()
            try:
                return await self.over(connection, head)
            except (OSError, EOFError):
                connection[1].close()  # it had idled too long: the next one
        connection = await asyncio.open_connection(
            self.gate.host, self.gate.port, ssl=self.tls, local_addr=self.source
        )
        return await self.over(connection, head)

    def close(self) -> None:
        for _, writer in self.kept:
            writer.transport.abort()
        self.kept.clear()

    async def over(self, connection, head: str) -> str:
        reader, writer = connection
        writer.write(head.encode() + self.BODY)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"(?im)^content-length: *(\d+)", answer)
        if length:
            await reader.readexactly(int(length[1]))
        if re.search(r"(?im)^connection: *close", answer):
            writer.close()
        else:
            self.kept.append(connection)
        return answer.split(" ")[1]


# --- scenarios -----------------------------------------------------------------------------------


@dataclasses.dataclass
class Stage:
    gate: Gate
    app: App
    caller: Caller
    seconds: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gate.port}/voice"

    async def under(self, *command: str) -> str:
        """Signed requests continue during the attack and a little longer."""
        attack = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said = asyncio.create_task(attack.stdout.read())
        await self.caller.call(self.seconds)
        try:
            await asyncio.wait_for(attack.wait(), 15)
        except asyncio.TimeoutError:
            attack.kill()
            await attack.wait()
        return (await said).decode("utf-8", "replace")

    async def attack(self, kind: str, count: int) -> None:
        """One of attack.py; calls begin when most of its connections are there."""
        command = [sys.executable, str(HERE / "attack.py"), kind, "127.0.0.1", str(self.gate.port)]
        attack = await asyncio.create_subprocess_exec(*command, str(count), str(self.seconds + 4))
        await asyncio.sleep(3)
        await self.caller.call(self.seconds)
        await attack.wait()


@dataclasses.dataclass
class Scenario:
    play: Callable[[Stage], Awaitable[str | None]]
    # What a signed request may be answered here.
    statuses: tuple[str, ...] = ("200",)
    megabytes: float = 64
    limits: str = ""
    descriptors: int = 0
    # Keys at the top of the configuration, and its routes.
    keys: str = ""
    tls: bool = False
    host: str = "127.0.0.1"
    # The address of the signed requests.
    source: str | None = None


async def quiet(stage: Stage) -> str:
    await asyncio.sleep(1)
    memory = stage.gate.memory("VmRSS")
    await stage.caller.call(stage.seconds)
    return f"{memory:.1f} MB before the first request"


async def slow_heads(stage: Stage) -> None:
    await stage.under("slowhttptest", "-H", "-c", "500", "-r", "500", "-i", "1", "-l", str(int(stage.seconds)), "-u", stage.url)


async def slow_bodies(stage: Stage) -> None:
    await stage.attack("slow_body", 500)


async def slow_unsigned_bodies(stage: Stage) -> None:
    await stage.under("slowhttptest", "-B", "-c", "500", "-r", "500", "-i", "1", "-l", str(int(stage.seconds)), "-u", stage.url)


async def slow_reads(stage: Stage) -> None:
    await stage.attack("slow_read", 200)


async def tiny_windows(stage: Stage) -> None:
    await stage.under("slowhttptest", "-X", "-c", "500", "-r", "500", "-w", "8", "-y", "16", "-n", "1", "-z", "8", "-k", "3", "-l", str(int(stage.seconds)), "-u", stage.url)


def wrk_rate(said: str) -> str:
    rate = re.search(r"Requests/sec: *([\d.]+)", said)
    return f"{float(rate[1]):,.0f} hostile requests/s" if rate else said[-200:]


async def flood_unsigned(stage: Stage) -> str:
    return wrk_rate(await stage.under("wrk", "-t2", "-c64", f"-d{stage.seconds:.0f}s", stage.url))


async def flood_forged(stage: Stage) -> str:
    return wrk_rate(await stage.under("wrk", "-t2", "-c64", f"-d{stage.seconds:.0f}s", "-s", str(HERE / "forged.lua"), stage.url))


async def flood_sendgrid(stage: Stage) -> str:
    """Each request costs an ECDSA verification, as much as dozens of MACs."""
    script = str(HERE / "forged_sendgrid.lua")
    return wrk_rate(await stage.under("wrk", "-t2", "-c64", f"-d{stage.seconds:.0f}s", "-s", script, stage.url))


async def big_mails(stage: Stage) -> None:
    await stage.attack("big_mail", 8)


async def flood_pipelined(stage: Stage) -> str:
    return wrk_rate(await stage.under("wrk", "-t1", "-c64", f"-d{stage.seconds:.0f}s", "-s", str(HERE / "pipelined.lua"), stage.url))


async def flood_h2load(stage: Stage) -> str:
    said = await stage.under("h2load", "--h1", "-t1", "-c50", "-m1", f"-D{stage.seconds:.0f}", stage.url)
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", said)
    return f"{float(rate[1]):,.0f} hostile requests/s" if rate else said[-200:]


async def churn(stage: Stage) -> str:
    return wrk_rate(await stage.under("wrk", "-t2", "-c64", f"-d{stage.seconds:.0f}s", "-H", "Connection: close", stage.url))


async def all_at_once(stage: Stage) -> str:
    """The worst that is promised: two floods and 500 slow heads."""
    attacks = [
        stage.under("wrk", "-t1", "-c32", f"-d{stage.seconds:.0f}s", stage.url),
        Stage(stage.gate, stage.app, stage.caller, 0).under("wrk", "-t1", "-c32", f"-d{stage.seconds:.0f}s", "-s", str(HERE / "forged.lua"), stage.url),
        Stage(stage.gate, stage.app, stage.caller, 0).under("slowhttptest", "-H", "-c", "500", "-r", "500", "-i", "1", "-l", str(int(stage.seconds)), "-u", stage.url),
    ]
    said = await asyncio.gather(*attacks)
    return " and ".join(map(wrk_rate, said[:2]))


async def idle_10000(stage: Stage) -> str:
    before = stage.gate.memory("VmRSS")
    await stage.attack("idle", 10_000)
    after = stage.gate.memory("VmHWM")
    return f"{(after - before) * MEGABYTE / 10_000:,.0f} bytes per idle connection"


async def big_bodies(stage: Stage) -> None:
    await stage.attack("big_body", 64)


async def too_big_bodies(stage: Stage) -> None:
    await stage.attack("too_big", 64)


async def held_bodies(stage: Stage) -> None:
    await stage.attack("held_body", 600)


async def app_refuses(stage: Stage) -> None:
    await stage.app.close()
    await stage.caller.call(min(stage.seconds, 3))
    await stage.app.open()
    await recovers(stage)


def app_that(mode: str) -> Callable[[Stage], Awaitable[None]]:
    async def play(stage: Stage) -> None:
        stage.app.mode = mode
        await stage.caller.call(min(stage.seconds, 3))
        stage.app.mode = "answer"
        await recovers(stage)

    return play


async def recovers(stage: Stage) -> None:
    """Checks that the gate is back to its initial state."""
    before = stage.caller.statuses.get("200", 0)
    await asyncio.sleep(0.5)
    await stage.caller.call(1)
    if stage.caller.statuses.get("200", 0) - before < stage.caller.rate:
        stage.caller.statuses["no recovery"] = 1


async def app_restarts(stage: Stage) -> None:
    """Gone for less than `connect_retry`. Requests in flight when it dies may get a 502."""

    async def restart() -> None:
        for _ in range(3):
            await asyncio.sleep(stage.seconds / 4)
            await stage.app.close()
            await asyncio.sleep(0.3)
            await stage.app.open()

    await asyncio.gather(stage.caller.call(stage.seconds), restart())


async def hangup(stage: Stage) -> str | None:
    """SIGHUP again and again."""

    async def reload() -> None:
        while stage.gate.is_alive() and time.monotonic() < until:
            stage.gate.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.2)

    until = time.monotonic() + stage.seconds
    await asyncio.gather(stage.caller.call(stage.seconds), reload())
    return None


async def terminate(stage: Stage) -> str:
    """SIGTERM in the middle. Received requests are answered, and the gate exits with 0."""
    await stage.caller.call(stage.seconds / 2)
    calls = asyncio.create_task(stage.caller.call(0.5))
    await asyncio.sleep(0.52)
    stage.gate.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    await calls
    code = await asyncio.to_thread(stage.gate.process.wait, 30)
    if code != 0:
        stage.caller.statuses[f"exit code {code}"] = 1
    return f"ended after {time.monotonic() - began:.2f} s"


async def no_descriptors(stage: Stage) -> str:
    """No connection can be accepted for a while: requests wait, none is lost."""
    await stage.attack("idle", 300)
    alive = stage.gate.is_alive()
    return "alive" if alive else "dead"


# A route for SendGrid beside the one for Twilio; the key of the test vectors.
SENDGRID = """[[route]]
path = "/*"
[[route]]
path = "/sendgrid"
access = "sendgrid"
max_body_bytes = 31457280
verification_keys = ["%s"]
""" % "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="


async def unread_log(stage: Stage) -> str:
    """Nobody reads the log while a flood writes it: lines are dropped and counted, no request is."""
    stage.gate.drain.send_signal(signal.SIGSTOP)
    try:
        rate = await flood_forged(stage)
        dropped = stage.gate.figures()["log_lines_dropped_total"]
    finally:
        stage.gate.drain.send_signal(signal.SIGCONT)
    return f"{rate}, {dropped:,.0f} lines dropped"


# The counts of what is held, as the gate reports them.
HELD = ("connections", "requests_in_flight", "buffered_bytes")


def exhaust(resource: str, transport: str, many: bool, count: int) -> Callable[[Stage], Awaitable[str]]:
    async def play(stage: Stage) -> str:
        gate, seconds = stage.gate, min(stage.seconds, 1.0)
        attack = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "exhaust.py"), resource, transport, gate.host, str(gate.port),
            str(count), str(seconds + 1), *network.attackers(many),
        )
        await asyncio.sleep(0.8)
        peaks = gate.figures()
        await stage.caller.call(seconds)
        peaks = {name: max(peaks[name], value) for name, value in gate.figures().items() if name in HELD}
        await attack.wait()
        stage.caller.close()
        left = await returned(gate)
        stage.caller.statuses |= {f"{name} still {value:.0f}": 1 for name, value in left.items()}
        refused = gate.figures().get("connections_refused_total", 0)
        seen = ", ".join(f"{peaks[name]:,.0f} {name}" for name in HELD)
        return f"{seen}, {refused:,.0f} refused; {gate.memory('VmRSS'):.0f} MB afterwards"

    return play


async def returned(gate: Gate) -> dict[str, float]:
    """Returns what is still held when the clients have gone for a while."""
    for _ in range(100):
        figures = gate.figures()
        left = {name: figures[name] for name in HELD if figures[name]}
        if not left:
            break
        await asyncio.sleep(0.1)
    return left


SCENARIOS = {
    "quiet": Scenario(quiet, megabytes=20),
    "slow_heads": Scenario(slow_heads),
    "slow_bodies": Scenario(slow_bodies, megabytes=128),
    "slow_unsigned_bodies": Scenario(slow_unsigned_bodies),
    "slow_reads": Scenario(slow_reads),
    "tiny_windows": Scenario(tiny_windows),
    "flood_unsigned": Scenario(flood_unsigned),
    "flood_forged": Scenario(flood_forged),
    # To compare with the row above: explanations must not slow signed requests.
    "flood_forged_unexplained": Scenario(flood_forged, keys="explain = false"),
    "flood_sendgrid": Scenario(flood_sendgrid, keys=SENDGRID),
    "flood_pipelined": Scenario(flood_pipelined),
    "flood_h2load": Scenario(flood_h2load),
    "churn": Scenario(churn),
    "all_at_once": Scenario(all_at_once),
    "idle_10000": Scenario(idle_10000, limits='max_connections = 12000'),
    "big_bodies": Scenario(big_bodies, megabytes=128),
    # 120 MB may be buffered; beyond it, what the allocator of each thread keeps of freed blocks.
    "big_mails": Scenario(big_mails, megabytes=140, keys=SENDGRID),
    "too_big_bodies": Scenario(too_big_bodies, megabytes=128),
    "held_bodies": Scenario(held_bodies, megabytes=128),
    "app_refuses": Scenario(app_refuses, ("200", "502")),
    "app_hangs": Scenario(app_that("hang"), ("200", "504"), limits='response_timeout = "2s"'),
    "app_resets": Scenario(app_that("reset"), ("200", "502")),
    "app_answers_garbage": Scenario(app_that("garbage"), ("200", "502")),
    "app_dies_mid_body": Scenario(app_that("die"), ("200", "502", "IncompleteReadError")),
    "app_restarts": Scenario(app_restarts, ("200", "502")),
    "sighup": Scenario(hangup),
    "sigterm": Scenario(terminate),
    "no_descriptors": Scenario(no_descriptors, limits='head_timeout = "2s"', descriptors=64),
    "unread_log": Scenario(unread_log),
}

# What each attack on a resource opens, and the limits that it reaches soon.
EXHAUSTIBLE = {
    # Silent connections.
    "connections": (150, "max_connections = 64", 0),
    "descriptors": (150, "", 256),
    # Large bodies that never end, with a false signature.
    "bodies": (60, "max_buffered_bytes = 4194304", 0),
    # Requests for a public route whose app never answers.
    "permits": (40, 'max_in_flight = 16\nresponse_timeout = "3s"', 0),
    # Responses that wait for their client.
    "streams": (60, "max_buffered_bytes = 4194304", 0),
    # The same forged request again and again: only proven requests are remembered.
    "replay": (20, "", 0),
}
TRANSPORTS = ("http1", "http2", "tls")
# Heads that are held, by default limits: the memory is bounded and comes back.
HEADS = ("large_heads", "small_fields", "trailers", "continuation")
ROUTES = """http2_cleartext = true
[[route]]
path = "/*"
replay_window = "1m"
[[route]]
path = "/open"
access = "public"
"""


def exhausting(resource: str, transport: str, many: bool) -> Scenario:
    count, limits, descriptors = EXHAUSTIBLE.get(resource, (400, "", 0))
    return Scenario(
        exhaust(resource, transport, many, count),
        megabytes=128 if resource in HEADS else 64,
        limits=limits,
        descriptors=descriptors,
        keys=ROUTES,
        tls=transport == "tls",
        host=network.gate(),
        source=network.genuine(),
    )


SCENARIOS |= {
    f"{resource}/{transport}/{'many' if many else 'one'}": exhausting(resource, transport, many)
    for resource in EXHAUSTIBLE
    for transport in TRANSPORTS
    for many in (False, True)
}
SCENARIOS |= {f"{kind}/{transport}/many": exhausting(kind, transport, True) for kind in HEADS for transport in TRANSPORTS[:2]}


@dataclasses.dataclass
class Result:
    sent: int
    answered: int
    latencies: list[float]
    memory: float
    faults: list[str]
    note: str

    def percentile(self, part: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000 if ordered else 0.0


async def played(scenario: Scenario, options: argparse.Namespace) -> Result:
    app = App()
    await app.open()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    gate = Gate(options.gate, app, scenario, scenario.descriptors or hard)
    try:
        caller = Caller(gate, options.rate, scenario.source, scenario.tls)
        note = await scenario.play(Stage(gate, app, caller, options.seconds))
        memory = gate.memory("VmHWM") if gate.is_alive() else 0.0
    finally:
        gate.close()
        await app.close()
    return judged(scenario, app, caller, memory, note or "")


def judged(scenario: Scenario, app: App, caller: Caller, memory: float, note: str) -> Result:
    answered = sum(caller.statuses.get(status, 0) for status in scenario.statuses)
    others = {status: n for status, n in caller.statuses.items() if status not in scenario.statuses}
    bound = scenario.megabytes
    faults = [
        f"{app.unsigned} unsigned reached the app" if app.unsigned else "",
        f"{app.twice} reached the app twice" if app.twice else "",
        f"lost: {others}" if others else "",
        f"more than {bound:.0f} MB" if memory > bound else "",
    ]
    usual = {status: n for status, n in caller.statuses.items() if status != "200"}
    note = ", ".join(filter(None, [note, f"{usual}" if usual and not others else ""]))
    return Result(caller.number, answered, caller.latencies, memory, list(filter(None, faults)), note)


def reloads(options: argparse.Namespace) -> bool:
    """Whether this gate handles SIGHUP; one that does not would exit."""
    folder = tempfile.TemporaryDirectory(prefix="gatekeeper-faults-")
    app = App()
    app.port = 9
    gate = Gate(options.gate, app, Scenario(quiet), 1024)
    gate.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    alive = gate.is_alive()
    gate.close()
    folder.cleanup()
    return alive


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = HERE.parent.parent / os.environ.get("CARGO_TARGET_DIR", "target") / "release/gatekeeper"
    parser.add_argument("--gate", default=str(default))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], metavar="SCENARIO")
    options = parser.parse_args()
    network.enter()
    missing = [tool for tool in ("slowhttptest", "wrk", "h2load", "openssl") if not shutil.which(tool)]
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)} (Debian: slowhttptest, wrk, nghttp2-client, openssl)")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return play_all(options.scenario or list(SCENARIOS), options)


def play_all(names: list[str], options: argparse.Namespace) -> int:
    print(f"{'scenario':28}{'sent':>6}{'answered':>9}{'lost':>6}{'p50 ms':>8}{'p99 ms':>8}{'x quiet':>8}{'RSS MB':>8}")
    faults, quiet_p99 = 0, None
    for name in names:
        if name == "sighup" and not reloads(options):
            print(f"{name:28}skipped: this gate does not know SIGHUP")
            continue
        result = asyncio.run(played(SCENARIOS[name], options))
        p50, p99 = result.percentile(0.5), result.percentile(0.99)
        quiet_p99 = p99 if name == "quiet" else quiet_p99
        times = f"{p99 / quiet_p99:.1f}" if quiet_p99 else ""
        lost = result.sent - result.answered
        line = f"{name:28}{result.sent:>6}{result.answered:>9}{lost:>6}{p50:>8.1f}{p99:>8.1f}{times:>8}{result.memory:>8.1f}"
        print("  ".join([line, result.note, *(f"FAULT: {fault}" for fault in result.faults)]), flush=True)
        faults += len(result.faults)
    print("all held" if not faults else f"{faults} faults")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
