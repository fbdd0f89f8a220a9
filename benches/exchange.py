#!/usr/bin/env python3
"""Instructions and system calls of one whole exchange.

A proxy runs under callgrind (or strace) and answers a fixed number of webhooks over one kept
connection, one after the other; then again with more of them. The difference, divided, is what one
exchange costs: start and end cancel out. Counts are repeatable where times are not.

    exchange.py                    counts, as a table
    exchange.py --profile DIR      also leaves callgrind's files there
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import rig

KINDS = {"signed": rig.signed, "forged": rig.forged, "unsigned": rig.unsigned}
FEW, MANY = 100, 500


def serve(directory, command_of, webhook, count, wrapper):
    """Runs the proxy under `wrapper` for `count` exchanges, every answer checked."""
    upstream = rig.Upstream()
    port = rig.free_port()
    command = command_of(directory, port, upstream.port)
    proxy = rig.Process(command, port, wrapper=wrapper, log=directory / "proxy.log", core=0)
    try:
        client = rig.Client(port)
        for _ in range(count):
            status = client.exchange(webhook)
            if status != webhook.status:
                raise SystemExit(f"{status} where {webhook.status} was due")
        client.close()
    finally:
        proxy.stop()
        upstream.close()
    due = count if webhook.status == 200 else 0
    if upstream.count != due:
        raise SystemExit(f"the upstream saw {upstream.count} requests where {due} were due")


def instructions(directory, command_of, webhook, count, keep=None):
    out = keep or directory / "callgrind.out"
    wrapper = [rig.find("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet"]
    if keep:
        wrapper += ["--dump-line=yes"]
    serve(directory, command_of, webhook, count, wrapper)
    return int(re.search(r"^(?:summary|totals): (\d+)", Path(out).read_text(), re.M).group(1))


def system_calls(directory, command_of, webhook, count):
    out = directory / "strace.out"
    serve(directory, command_of, webhook, count, [rig.find("strace"), "-f", "-c", "-o", str(out)])
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(\w+)$", out.read_text(), re.M)
    return {name: int(calls) for calls, name in rows if name != "total"}


def per_exchange(measure, few=FEW, many=MANY):
    low, high = measure(few), measure(many)
    if isinstance(low, dict):
        each = {name: (high[name] - low.get(name, 0)) / (many - few) for name in high}
        return {name: calls for name, calls in each.items() if abs(calls) >= 0.01}
    return (high - low) / (many - few)


def gate(binary):
    return lambda directory, port, upstream: [
        binary, "run", "-c", rig.gate_config(directory, port, upstream),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gate", default=rig.ROOT / "target/release/gatekeeper", type=Path)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    options = parser.parse_args()
    command_of = gate(options.gate)
    for kind in options.kinds:
        webhook = KINDS[kind]()
        with rig.workshop() as (directory, _):
            if options.profile:
                instructions(directory, command_of, webhook, 2000, options.profile / f"{kind}.out")
                continue
            count = per_exchange(lambda n: instructions(directory, command_of, webhook, n))
            calls = per_exchange(lambda n: system_calls(directory, command_of, webhook, n))
        total = sum(calls.values())
        listed = ", ".join(f"{name} {each:.2f}" for name, each in sorted(calls.items(), key=lambda c: -c[1]))
        print(f"{kind}: {count:.0f} instructions, {total:.2f} system calls ({listed})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
