#!/usr/bin/env python3
"""Sends one request as Twilio or another client would, and prints the result.

The signature is computed here and not by gatekeeper, so that an error in one does not hide in the other.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import pathlib
import socket
import ssl
import sys
import time
import urllib.parse


def main() -> int:
    args = arguments()
    deadline = time.monotonic() + args.within
    while True:
        try:
            status, body = ask(args)
        except (OSError, http.client.HTTPException) as error:
            status, body = 0, repr(error)
        right = status == args.expect and args.has in body
        if right or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    word = "ok" if right else f"WRONG, expected {args.expect} {args.has!r}, got {body[:200]!r}"
    print(f"{args.who} {args.url} -> {status} {word}", flush=True)
    return 0 if right else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=["signed", "unsigned", "forged"])
    parser.add_argument("url", help="the public URL")
    parser.add_argument("--to", default="", help="where to connect: http://127.0.0.1:PORT")
    parser.add_argument("--ca", help="the certificate that an https --to must have")
    parser.add_argument("--token", default="0123456789abcdef0123456789abcdef")
    parser.add_argument("--expect", type=int, default=200)
    parser.add_argument("--has", default="", help="a text that the answer must have")
    parser.add_argument("--forwarded", action="store_true", help="with X-Forwarded-Proto and -Host")
    parser.add_argument("--within", type=float, default=0, help="seconds to go on trying")
    return parser.parse_args()


def ask(args: argparse.Namespace) -> tuple[int, str]:
    url = urllib.parse.urlsplit(args.url)
    form = [("CallSid", "CA" + "0" * 32), ("From", "+14158675309"), ("To", "+15005550006")]
    headers = {"Host": url.netloc, "Content-Type": "application/x-www-form-urlencoded"}
    if args.forwarded:
        headers |= {"X-Forwarded-Proto": url.scheme, "X-Forwarded-Host": url.netloc}
    if args.who != "unsigned":
        token = args.token if args.who == "signed" else args.token[::-1]
        headers["X-Twilio-Signature"] = signature(token, args.url, form)
    connection = connect(args, url)
    try:
        target = url.path + ("?" + url.query if url.query else "")
        connection.request("POST", target, urllib.parse.urlencode(form), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def signature(token: str, url: str, form: list[tuple[str, str]]) -> str:
    text = url + "".join(name + value for name, value in sorted(form))
    mac = hmac.new(token.encode(), text.encode(), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode()


def connect(args: argparse.Namespace, url: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    to = urllib.parse.urlsplit(args.to or f"{url.scheme}://{url.netloc}")
    connection = http.client.HTTPConnection(to.hostname, to.port, timeout=20)
    connection.sock = socket.create_connection((to.hostname, to.port), timeout=20)
    if to.scheme == "https":
        pathlib.Path(args.ca).stat()
        context = ssl.create_default_context(cafile=args.ca)
        connection.sock = context.wrap_socket(connection.sock, server_hostname=url.hostname)
    return connection


if __name__ == "__main__":
    sys.exit(main())
