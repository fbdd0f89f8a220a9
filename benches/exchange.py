#!/usr/bin/env python3
"""Counts instructions and system calls of one whole exchange.

A proxy runs under callgrind (or strace) and answers a fixed number of webhooks over one persistent
connection, one after the other, and then a larger number in a second run. The difference, divided, is
the cost of one exchange; start and end cancel out. Counts repeat to a tenth of a percent; times do not.

    exchange.py                  the gate's counts, as a table
    exchange.py --beside         the floor's, nginx's and HAProxy's too
    exchange.py --check          compares with exchange.json: fails if a count has grown by more than 5 %
    exchange.py --record         writes exchange.json
    exchange.py --profile DIR    keeps callgrind's files in DIR, 1,000 exchanges each

It also counts one verification alone (verify.rs): the signature module without a proxy.

Callgrind does not support SHA instructions, so every verifying row includes HMAC in software (about
15,000 instructions for each MAC of the voice webhook). The log goes to a file. Needs Debian's valgrind
and strace; --beside also needs nginx-light and haproxy.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import rig

KINDS = {"signed": rig.signed, "forged": rig.forged, "unsigned": rig.unsigned}
JUDGEMENTS = ("signed", "forged")
FEW, MANY = 100, 500
BASELINE = rig.ROOT / "benches/exchange.json"
TOLERANCE = 0.05


def serve(directory, command_of, webhook, count, wrapper):
    """Runs the proxy under `wrapper` for `count` exchanges and checks every response."""
    upstream = rig.Upstream()
    port = rig.free_port()
    command = command_of(directory, port, upstream.port)
    proxy = rig.Process(command, port, wrapper=wrapper, log=directory / "proxy.log", core=0)
    try:
        proxy.settle()
        client = rig.Client(port)
        for _ in range(count):
            status = client.exchange(webhook)
            if status != webhook.status:
                raise SystemExit(f"{status} where {webhook.status} was due")
        client.close()
        time.sleep(0.2)  # an idle proxy is stopped at the same point every time
    finally:
        proxy.stop()
        upstream.close()
    due = count if webhook.status == 200 else 0
    if upstream.count != due:
        raise SystemExit(f"the upstream saw {upstream.count} requests where {due} were due")


def callgrind(out):
    return [rig.find("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet"]


def instructions(directory, command_of, webhook, count, keep=None):
    out = keep or directory / "callgrind.out"
    wrapper = callgrind(out) + (["--dump-line=yes"] if keep else [])
    serve(directory, command_of, webhook, count, wrapper)
    return counted_in(out)


def counted_in(out):
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


def floor(binary):
    return lambda directory, port, upstream: [binary, port, upstream, rig.ORIGIN, rig.TOKEN]


def rows(options):
    """Yields name, command and request of each row."""
    for kind, webhook in KINDS.items():
        yield kind, gate(options.gate), webhook()
    if options.beside:
        for kind, webhook in KINDS.items():
            yield f"floor, {kind}", floor(options.floor), webhook()
        yield "nginx, passing", rig.nginx_proxy, rig.signed()
        yield "nginx, `return 418`", rig.nginx_proxy, rig.unsigned(target="/teapot")
        yield "HAProxy, passing", rig.haproxy, rig.signed()


def count(command_of, webhook):
    """Returns instructions, and system calls by name, of one exchange."""
    with rig.workshop() as (directory, _):
        each = per_exchange(lambda n: instructions(directory, command_of, webhook, n))
        calls = per_exchange(lambda n: system_calls(directory, command_of, webhook, n))
    return {"instructions": round(each), "system calls": {name: round(n, 2) for name, n in calls.items()}}


def judge(program, case):
    """Returns the same for one verification, which makes no system call."""
    with rig.workshop() as (directory, _):
        out = directory / "callgrind.out"

        def run(times):
            subprocess.run([*callgrind(out), program, case, str(times)], check=True, cwd=directory)
            return counted_in(out)

        return {"instructions": round(per_exchange(run)), "system calls": {}}


def built(example):
    """Builds an example with the profile of `cargo bench`, so that its artifacts are reused."""
    build = ["cargo", "build", "--quiet", "--locked", "--profile", "bench", "--example", example]
    subprocess.run(build, check=True, cwd=rig.ROOT)
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    return rig.ROOT / target / "release/examples" / example


def print_row(name, counted):
    calls = sorted(counted["system calls"].items(), key=lambda call: -call[1])
    listed = ", ".join(f"{each:g} {call}" for call, each in calls)
    total = sum(each for _, each in calls)
    print(f"| {name} | {counted['instructions']:,} | {total:g} | {listed} |", flush=True)


def faults(counted, recorded):
    """Yields each count that exceeds the tolerance, and each additional system call."""
    for kind, now in counted.items():
        then = recorded[kind]
        if now["instructions"] > then["instructions"] * (1 + TOLERANCE):
            yield f"{kind}: {now['instructions']} instructions, {then['instructions']} recorded"
        calls = sum(now["system calls"].values()), sum(then["system calls"].values())
        if calls[0] > calls[1] + 0.6:  # the number of log writes depends on time, not on requests
            yield f"{kind}: {calls[0]:g} system calls, {calls[1]:g} recorded"


def profile(options):
    options.profile.mkdir(parents=True, exist_ok=True)
    for kind, webhook in KINDS.items():
        with rig.workshop() as (directory, _):
            out = options.profile / f"{kind}.out"
            instructions(directory, gate(options.gate), webhook(), 1000, keep=out)
            print(f"callgrind_annotate --inclusive=yes {out}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gate", type=Path, default=rig.ROOT / "target/release/gatekeeper")
    parser.add_argument("--floor", type=Path, default=rig.ROOT / "target/release/examples/floor")
    parser.add_argument("--verify", type=Path, help="default: build it")
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    if options.profile:
        return profile(options)
    print("| exchange | instructions | system calls | which |\n| --- | --- | --- | --- |")
    counted = {}
    for name, command_of, webhook in rows(options):
        counted[name] = count(command_of, webhook)
        print_row(name, counted[name])
    program = options.verify or built("verify")
    for case in JUDGEMENTS:
        name = f"judgement, {case}"
        counted[name] = judge(program, case)
        print_row(name, counted[name])
    if options.record:
        kinds = {name: each for name, each in counted.items() if name in KINDS or name.startswith("judgement")}
        BASELINE.write_text(json.dumps(kinds, indent=2) + "\n", encoding="utf-8")
    if options.check:
        recorded = json.loads(BASELINE.read_text(encoding="utf-8"))
        return "\n".join(faults(counted, recorded)) or 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
