#!/usr/bin/env python3
"""Counts the instructions of hostile requests at their largest allowed size, and at half of it.

    cost.py                  prints the table
    cost.py --check          fails if doubling an input costs more than 2.2 times as much
    cost.py NAME…            only the cases whose name contains one of these

Every step before the proof has a case, over HTTP/1 and over HTTP/2: the route look-up, the host, the
framing, the selector of the key, the scan of the headers, the form, the spellings of the URL. There
is no recorded baseline: the rule is that cost grows at most in proportion to the input. A quadratic
step costs four times as much. The tolerance is for sorting, whose n log n is 2.13 times as much at
these sizes, and for the counts of one request, which vary by a few percent.

The gate runs once under callgrind, which writes its counters after each measurement. Callgrind does
not support SHA instructions, so HMAC is counted in software. Needs Debian's valgrind.
"""

import argparse
import contextlib
import itertools
import re
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import rig

TOLERANCE = 2.2
BODY = 256 * 1024  # max_body_bytes
HEAD = 32 * 1024  # max_head_bytes
FIELDS = 100  # max_headers
QUERY = 8 * 1024  # the alternative spellings of a longer query are not tried
ROOM = 1024  # of a head, for everything but the input
FORM = ("content-type", "application/x-www-form-urlencoded")
FORGED = ("x-twilio-signature", rig.FORGED)

# Subtrees of several lengths, one of them public, and as many keys as a route may have.
ROUTES = "http2_cleartext = true\n[[route]]\npath = \"/*\"\n" + "".join(
    f'[[route]]\npath = "{path}/*"\n{access}'
    for path, access in (
        ("/open", 'access = "public"\n'), ("/sms/in", ""), ("/a/b/c/d/e", ""), ("/" + "/".join("x" * 100), ""),
    )
)
LIMITS = '[limits]\nbody_timeout = "120s"\n'  # callgrind is slow
TOKENS = "auth_tokens = [" + ", ".join(f'"{n:032x}"' for n in range(1, 17)) + "]"


# --- requests ------------------------------------------------------------------------------------


class Request:
    """One request, in both versions of the protocol. With `pieces`, each byte of the body comes alone."""

    def __init__(self, target="/voice", fields=(), body=b"", host=rig.HOST, pieces=False, forged=True, indexed=0):
        self.method = "POST" if body else "GET"
        self.target, self.host, self.body = target, host, body
        self.pieces, self.indexed = pieces, indexed
        self.fields = [*fields, *([FORGED] if forged else [])]
        if self.method == "POST" and not any(name == "content-type" for name, _ in fields):
            self.fields.append(FORM)

    def http1(self):
        lines = [f"{self.method} {self.target} HTTP/1.1", f"host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in self.fields]
        body = self.body
        if self.pieces:
            lines.append("transfer-encoding: chunked")
            body = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        elif body:
            lines.append(f"content-length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def http2_block(self):
        pseudo = [(":method", self.method), (":scheme", "http"), (":path", self.target), (":authority", self.host)]
        block = b"".join(literal(*field) for field in pseudo + self.fields)
        if self.indexed:
            # RFC 7541 6.2.1: an entry that fills the dynamic table; each further field is one byte.
            block += b"\x40" + literal("x-a", "v" * 4000)[1:] + b"\xbe" * (self.indexed - 1)
        return block


def unsigned(**parts):
    return Request(forged=False, **parts)


def form(body):
    return Request(body=body)


def fill(piece, size):
    """Repeats a piece for as long as it fits whole."""
    return piece * (size // len(piece))


def names(size):
    """Returns unsorted names without values."""
    return "".join(f"{at * 40_503 % 0xFFFFF:05x}=&" for at in range(size // 7)).encode()


def many_fields(count, forged):
    """As many fields, with names that differ, as the head has room for."""
    each = (HEAD - ROOM) // FIELDS - 16
    return Request(fields=[(f"x-field-{at}", "v" * each) for at in range(count)], forged=forged)


BOTH, ONLY_1, ONLY_2 = ("HTTP/1", "HTTP/2"), ("HTTP/1",), ("HTTP/2",)
# Name, the largest input, the request for a size, and the protocols that have it.
CASES = [
    ("route: slashes, unsigned", HEAD - ROOM, lambda n: unsigned(target=fill("/", n)), BOTH),
    ("route: slashes, forged", HEAD - ROOM, lambda n: Request(target=fill("/", n)), BOTH),
    ("route: segments of a known subtree", HEAD - ROOM, lambda n: unsigned(target=fill("/x", n)), BOTH),
    ("route: dots and escapes", HEAD - ROOM, lambda n: Request(target="/sms/in" + fill("/%2e", n)), BOTH),
    ("route: slashes on a public route", HEAD - ROOM, lambda n: unsigned(target="/open" + fill("/", n)), BOTH),
    ("host: long, forged", HEAD - ROOM, lambda n: Request(host=fill("a.", n) + "b"), BOTH),
    ("framing: coding list", HEAD - ROOM, lambda n: Request(fields=[("transfer-encoding", fill("a,", n) + "chunked")]), ONLY_1),
    ("framing: chunks or DATA of one byte", BODY, lambda n: Request(body=b"x" * n, pieces=True), BOTH),
    ("framing: Connection names fields", HEAD - ROOM, lambda n: Request(fields=[("connection", fill("a,", n) + "b")]), ONLY_1),
    ("selector: settings", HEAD - ROOM, lambda n: Request(fields=[("x-twilio-webhooks-signature-settings", fill("a=b,", n) + "key=k")]), BOTH),
    ("selector: many fields", FIELDS - 10, lambda n: Request(fields=[("x-twilio-signature-key-sid", "k" * 200)] * n), BOTH),
    ("header: long signature", HEAD - ROOM, lambda n: Request(fields=[("x-twilio-signature", fill("A", n))], forged=False), BOTH),
    ("header: content type", HEAD - ROOM, lambda n: Request(body=b"a=b", fields=[("content-type", FORM[1] + fill("; a=b", n))]), BOTH),
    ("header: many fields, unsigned", FIELDS - 10, lambda n: many_fields(n, False), BOTH),
    ("header: many fields, forged", FIELDS - 10, lambda n: many_fields(n, True), BOTH),
    ("header: one long field, unsigned", HEAD - ROOM, lambda n: unsigned(fields=[("x-a", fill("v", n))]), BOTH),
    ("header: indexed fields, unsigned", 6, lambda n: unsigned(indexed=n), ONLY_2),
    ("form: one value", BODY, lambda n: form(fill(b"x", n)), BOTH),
    ("form: escapes", BODY, lambda n: form(b"a=" + fill(b"%41", n - 2)), BOTH),
    ("form: separators", BODY, lambda n: form(fill(b"&=", n)), BOTH),
    ("form: unsorted names", BODY, lambda n: form(names(n)), BOTH),
    ("form: equal names", BODY, lambda n: form(fill(b"a=%2b&", n)), BOTH),
    ("spellings: every construct", QUERY, lambda n: Request(target="/voice?" + fill("a=%27'+%20%40%3A&", n - 7)), BOTH),
    ("spellings: a body too", BODY, lambda n: Request(
        target="/voice?" + fill("a=%27'+%20%40%3A&", QUERY * n // BODY - 7),
        body=fill(b"x", n - 40) + b"&%F0%9F%98%80=1&%EF%BD%9E=2",
    ), BOTH),
]


# --- clients -------------------------------------------------------------------------------------


class Http1:
    """A fresh connection for each request: most of these end theirs."""

    def __init__(self, port):
        self.port = port

    def exchange(self, request):
        client = rig.Client(self.port)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.socket.sendall(request.http1())
        status = client.answer()
        client.close()
        return status

    def close(self):
        pass


def integer(value, bits):
    """RFC 7541 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    value -= most
    out = [most]
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def literal(name, value):
    """RFC 7541 6.2.2: a literal field, neither indexed nor compressed."""
    name, value = name.encode(), value.encode()
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST = 16384
# Half a frame, so that a head of half the size has a CONTINUATION frame too.
PART = LARGEST // 2
# RFC 7541, appendix A: these statuses are one byte.
STATUSES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
# RFC 7541, appendix B: the digits.
DIGITS = {"00000": "0", "00001": "1", "00010": "2", **{f"{22 + digit:06b}": str(digit) for digit in range(3, 10)}}


def status_of(block):
    """Returns the status of a response, whose first field it is; nothing is in the dynamic table."""
    if block[0] & 0xE0 == 0x20:
        block = block[1:]  # the new size of the table: none
    if block[0] in STATUSES:
        return STATUSES[block[0]]
    length = block[1] & 0x7F
    if not block[1] & 0x80:
        return int(block[2 : 2 + length])
    bits, digits, code = "".join(f"{byte:08b}" for byte in block[2 : 2 + length]), "", ""
    for bit in bits:
        code += bit
        if code in DIGITS:
            digits, code = digits + DIGITS[code], ""
    return int(digits)


class Http2:
    """One connection; a stream for each request."""

    def __init__(self, port):
        self.port, self.socket = port, None

    def open(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data, self.stream, self.windows = b"", -1, {0: 65535}
        self.initial = 65535
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, b"\0\1\0\0\0\0"))  # no dynamic table
        while self.read()[0] != SETTINGS:
            pass

    def exchange(self, request):
        """Returns the status, or how the stream or the connection ended instead."""
        if self.socket is None:
            self.open()
        try:
            self.send(request)
            while self.answer is None:
                self.read()
        except ConnectionError:
            self.answer = "closed"
        if self.answer in ("GOAWAY", "closed"):
            self.close()
        return self.answer

    def send(self, request):
        self.stream += 2
        self.windows[self.stream] = self.initial
        self.answer = None
        block = request.http2_block()
        first, *rest = [block[at : at + PART] for at in range(0, len(block), PART)]
        frames = [frame(HEADERS, (0 if request.body else 1) | (0 if rest else 4), self.stream, first)]
        frames += [frame(CONTINUATION, 4 if part is rest[-1] else 0, self.stream, part) for part in rest]
        self.socket.sendall(b"".join(frames))
        body = request.body
        while body and self.answer is None:
            size = min(LARGEST, len(body), self.windows[0], self.windows[self.stream])
            if size == 0:
                self.read()
                continue
            self.windows[0] -= size
            self.windows[self.stream] -= size
            part, body = body[:size], body[size:]
            parts = [part[at : at + 1] for at in range(size)] if request.pieces else [part]
            flags = [0] * (len(parts) - 1) + [0 if body else 1]
            self.socket.sendall(b"".join(frame(DATA, flag, self.stream, each) for flag, each in zip(flags, parts)))

    def read(self):
        head = self.exactly(9)
        length, kind, flags, stream = int.from_bytes(head[:3]), head[3], head[4], int.from_bytes(head[5:])
        payload = self.exactly(length)
        if kind == WINDOW:
            self.windows[stream] = self.windows.get(stream, 0) + int.from_bytes(payload)
        elif kind == SETTINGS and not flags & 1:
            for at in range(0, length, 6):
                if payload[at : at + 2] == b"\0\4":
                    self.initial = int.from_bytes(payload[at + 2 : at + 6])
            self.socket.sendall(frame(SETTINGS, 1, 0, b""))
        elif kind == PING and not flags & 1:
            self.socket.sendall(frame(PING, 1, 0, payload))
        elif kind == GOAWAY:
            self.answer = "GOAWAY"
        elif stream == self.stream and kind == RESET:
            self.answer = self.answer or "RST_STREAM"
        elif stream == self.stream and kind == HEADERS:
            self.status = status_of(payload)
        if kind in (HEADERS, DATA) and flags & 1 and stream == self.stream:
            self.answer = self.status
        return kind, flags, stream, payload

    def exactly(self, size):
        while len(self.data) < size:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("closed before the response was complete")
            self.data += more
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None


# --- counting ------------------------------------------------------------------------------------


class Counter:
    """The gate under callgrind."""

    def __init__(self, binary, directory):
        self.out = directory / "callgrind.out"
        self.upstream, self.port = rig.Upstream(), rig.free_port()
        config = rig.gate_config(directory, self.port, self.upstream.port, extra=ROUTES + LIMITS, tokens=TOKENS)
        wrapper = [rig.find("valgrind"), "--tool=callgrind", f"--callgrind-out-file={self.out}", "--quiet"]
        self.gate = rig.Process([binary, "run", "-c", config], self.port, wrapper=wrapper, log=directory / "gate.log")
        self.gate.settle()
        self.dumps = itertools.count(1)

    def dump(self):
        """Returns the instructions since the last dump."""
        subprocess.run([rig.find("vgdb"), f"--pid={self.gate.pid}", "dump"], check=True, capture_output=True)
        out = Path(f"{self.out}.{next(self.dumps)}")
        return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M).group(1))

    def count(self, client, request):
        """Returns the instructions of one request, and its answer."""
        dear = len(request.body) > HEAD  # what else happens meanwhile does not show
        repeats = 1 if dear else 5
        if not dear:
            client.exchange(request)  # what is done once only
        time.sleep(0.05)
        self.dump()
        answers = {client.exchange(request) for _ in range(repeats)}
        time.sleep(0.05)  # the log line
        return self.dump() / repeats, "/".join(sorted(map(str, answers)))

    def close(self):
        self.gate.stop()
        self.upstream.close()


def measured(options):
    """Yields name, protocol, the instructions at half and at all of the input, and the answer."""
    with rig.workshop() as (directory, _), contextlib.closing(Counter(options.gate, directory)) as counter:
        for name, most, request, protocols in CASES:
            if options.case and not any(part in name for part in options.case):
                continue
            for protocol in protocols:
                client = Http1 if protocol == "HTTP/1" else Http2
                with contextlib.closing(client(counter.port)) as connection:
                    half, _ = counter.count(connection, request(most // 2))
                    whole, answer = counter.count(connection, request(most))
                yield name, protocol, half, whole, answer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gate", type=Path, default=rig.ROOT / "target/release/gatekeeper")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("case", nargs="*")
    options = parser.parse_args()
    print("| step, and its input | protocol | half of it | all of it | growth | answer |\n| --- | --- | --- | --- | --- | --- |")
    faults = []
    for name, protocol, half, whole, answer in measured(options):
        growth = whole / half
        print(f"| {name} | {protocol} | {half:,.0f} | {whole:,.0f} | {growth:.2f} | {answer} |", flush=True)
        if growth > TOLERANCE:
            faults.append(f"{name}, {protocol}: twice the input costs {growth:.2f} times as much")
    return "\n".join(faults) or 0 if options.check else 0


if __name__ == "__main__":
    sys.exit(main())
