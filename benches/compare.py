#!/usr/bin/env python3
"""Compares the gate with nginx, HAProxy and the floor: same upstream, same load, interleaved.

The proxies are pinned to core 0, the load generator (wrk) and the upstream (nginx) to core 1. Each
round measures every row once, in a changing order; ratios are taken within a round. Every response is
checked: its status, and that the upstream received each proven request once and no other request.

    compare.py                       builds the gate and the floor, prints the tables
    compare.py --rounds 3 --seconds 1
    compare.py --growth              how cost grows with routes, keys, bodies, connections, parameters

Needs Debian's nginx-light, haproxy and wrk, for --growth valgrind as well.
"""

import argparse
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import exchange
import rig

IN_FLIGHT = 32
PROXY_CORE, LOAD_CORE = 0, 1
IDLE = (1000, 10000)


# --- the programs --------------------------------------------------------------------------------


def contestants(options):
    return {
        "gate": exchange.gate(options.gate),
        "floor": exchange.floor(options.floor),
        "nginx": rig.nginx_proxy,
        "HAProxy": rig.haproxy,
    }


def start(name, options, directory, upstream):
    port = rig.free_port()
    command = contestants(options)[name](directory, port, upstream)
    log = directory / f"{name}.log"
    return rig.Process(command, port, core=PROXY_CORE, log=log)


def start_upstream(directory):
    port = rig.free_port()
    return rig.Process(rig.nginx_upstream(directory, port), port, core=LOAD_CORE)


def build():
    for target in (["--bin", "gatekeeper"], ["--example", "floor"]):
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", *target], cwd=rig.ROOT, check=True)


# --- one measurement -----------------------------------------------------------------------------


class Row:
    """A proxy under one kind of load, and its measurements, one value per round."""

    def __init__(self, name, proxy, webhook, in_flight=IN_FLIGHT, forwards=True):
        self.name, self.proxy, self.webhook = name, proxy, webhook
        self.in_flight, self.forwards = in_flight, forwards
        self.rate, self.p50, self.p99, self.cpu, self.rss = [], [], [], [], []

    def measure(self, directory, upstream, seconds):
        check_one(self)
        for _ in range(3):
            before, cpu = seen(upstream), self.proxy.cpu()
            load = wrk(directory, self.proxy.port, self.webhook, self.in_flight, seconds)
            cpu = self.proxy.cpu() - cpu
            if load:
                break
        else:
            raise SystemExit(f"{self.name}: wrk measured nothing; is the machine busy?")
        check_all(self, load, seen(upstream) - before)
        self.cpu.append(cpu / load["count"] * 1e6)
        self.rate.append(load["rate"])
        self.p50.append(load["p50"])
        self.p99.append(load["p99"])
        self.rss.append(self.proxy.rss())


def check_one(row):
    """Checks the exact status, which wrk does not report."""
    client = rig.Client(row.proxy.port)
    status = client.exchange(row.webhook)
    client.close()
    if status != row.webhook.status:
        raise SystemExit(f"{row.name}: {status} where {row.webhook.status} was due")


def check_all(row, load, forwarded):
    """Checks that every response has the expected status and that the upstream received proven requests
    only. wrk does not count requests in flight at its end; the upstream may."""
    refused = load["count"] if row.webhook.status >= 400 else 0
    least = load["count"] if row.forwards else 0
    most = least + row.in_flight if row.forwards else 0
    if load["errors"] or load["non2xx"] != refused or not least <= forwarded <= most:
        raise SystemExit(f"{row.name}: {load}, {forwarded} seen by the upstream, {least} to {most} due")


def seen(upstream):
    """Returns the number of requests that the upstream has served, without those of this function."""
    time.sleep(0.05)
    client = rig.Client(upstream.port)
    client.socket.sendall(b"GET /counted HTTP/1.1\r\nHost: counted\r\nConnection: close\r\n\r\n")
    text = b""
    while more := client.socket.recv(65536):
        text += more
    client.close()
    upstream.asked = getattr(upstream, "asked", 0) + 1
    return int(re.search(rb"\n *\d+ \d+ (\d+)", text).group(1)) - upstream.asked


def wrk(directory, port, webhook, in_flight, seconds):
    script = directory / "load.lua"
    script.write_text(webhook.lua())
    command = [
        rig.find("taskset"), "-c", str(LOAD_CORE), rig.find("wrk"), "-t1", f"-c{in_flight}", f"-d{seconds}s",
        "--latency", "-s", str(script), f"http://127.0.0.1:{port}",
    ]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "nan" in text:
        return None  # wrk was never scheduled
    count, period = re.search(r"(\d+) requests in ([\d.]+)s", text).groups()
    non2xx = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return {
        "count": int(count),
        "rate": int(count) / float(period),
        "non2xx": int(non2xx.group(1)) if non2xx else 0,
        "errors": "Socket errors" in text,
        "p50": milliseconds(re.search(r"^ +50% +(\S+)", text, re.M).group(1)),
        "p99": milliseconds(re.search(r"^ +99% +(\S+)", text, re.M).group(1)),
    }


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


# --- the comparison ------------------------------------------------------------------------------


def rows_of(proxies):
    gate, floor = proxies["gate"], proxies["floor"]
    nginx, haproxy = proxies["nginx"], proxies["HAProxy"]
    voice, forged, unsigned = rig.signed(), rig.forged(), rig.unsigned()
    big = rig.signed(body=rig.form_of(65536))
    teapot = rig.unsigned(target="/teapot")
    return [
        Row("signed, forwarded: gate", gate, voice),
        Row("signed, forwarded: floor", floor, voice),
        Row("passed: nginx", nginx, voice),
        Row("passed: HAProxy", haproxy, voice),
        Row("forged, refused: gate", gate, forged, forwards=False),
        Row("forged, refused: floor", floor, forged, forwards=False),
        Row("unsigned, refused: gate", gate, unsigned, forwards=False),
        Row("unsigned, refused: floor", floor, unsigned, forwards=False),
        Row("`return 418`: nginx", nginx, teapot, forwards=False),
        Row("64 KiB, signed: gate", gate, big),
        Row("64 KiB, signed: floor", floor, big),
        Row("64 KiB, passed: nginx", nginx, big),
        Row("64 KiB, passed: HAProxy", haproxy, big),
        Row("one in flight, signed: gate", gate, voice, in_flight=1),
        Row("one in flight, signed: floor", floor, voice, in_flight=1),
        Row("one in flight, passed: nginx", nginx, voice, in_flight=1),
        Row("one in flight, passed: HAProxy", haproxy, voice, in_flight=1),
    ]


# (description, measure, row, row to compare with, goal)
GOALS = [
    ("signed, forwarded, CPU ÷ nginx passing", "cpu", "signed, forwarded: gate", "passed: nginx", 1.0),
    ("signed, forwarded, CPU ÷ HAProxy passing", "cpu", "signed, forwarded: gate", "passed: HAProxy", 1.0),
    ("signed, forwarded, CPU ÷ floor", "cpu", "signed, forwarded: gate", "signed, forwarded: floor", None),
    ("forged, CPU ÷ nginx passing", "cpu", "forged, refused: gate", "passed: nginx", 0.5),
    ("forged, CPU ÷ floor", "cpu", "forged, refused: gate", "forged, refused: floor", None),
    ("unsigned, CPU ÷ nginx `return 418`", "cpu", "unsigned, refused: gate", "`return 418`: nginx", 0.95),
    ("64 KiB, CPU ÷ nginx passing", "cpu", "64 KiB, signed: gate", "64 KiB, passed: nginx", 2.0),
    ("64 KiB, CPU ÷ floor", "cpu", "64 KiB, signed: gate", "64 KiB, signed: floor", None),
    ("p99, 32 in flight, ÷ nginx", "p99", "signed, forwarded: gate", "passed: nginx", 1.0),
    ("p50, one in flight, ÷ nginx", "p50", "one in flight, signed: gate", "one in flight, passed: nginx", 1.0),
]


def compare(options):
    with rig.workshop() as (directory, started):
        upstream = start_upstream(directory)
        started.append(upstream)
        proxies = {}
        for name in contestants(options):
            proxies[name] = start(name, options, directory, upstream.port)
            started.append(proxies[name])
        idle = {name: proxy.rss() for name, proxy in proxies.items()}
        rows = rows_of(proxies)
        for round_number in range(options.rounds):
            turn = round_number * 5 % len(rows)
            for row in rows[turn:] + rows[:turn]:
                row.measure(directory, upstream, options.seconds)
            print(f"round {round_number + 1} of {options.rounds}", file=sys.stderr)
    print_rows(rows)
    print_ratios(rows)
    print("\nResident at start, MB: " + ", ".join(f"{name} {kib / 1024:.1f}" for name, kib in idle.items()))


def print_rows(rows):
    print("\n| row | requests/s | p50 ms | p99 ms | CPU µs per request (least to most) | RSS MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        middle = statistics.median
        print(
            f"| {row.name} | {middle(row.rate):.0f} | {middle(row.p50):.2f} | {middle(row.p99):.2f} "
            f"| {middle(row.cpu):.1f} ({min(row.cpu):.1f} to {max(row.cpu):.1f}) | {max(row.rss) / 1024:.1f} |"
        )


def print_ratios(rows):
    by_name = {row.name: row for row in rows}
    print("\n| ratio within a round | median | least to most | goal |")
    print("| --- | --- | --- | --- |")
    for what, measure, ours, theirs, goal in GOALS:
        pairs = zip(getattr(by_name[ours], measure), getattr(by_name[theirs], measure))
        ratios = [our / their for our, their in pairs]
        target = f"≤ {goal:.2f}" if goal else ""
        print(f"| {what} | {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} | {target} |")


# --- idle connections ----------------------------------------------------------------------------


def connect(port, count, webhook=None):
    """Opens connections that send nothing, or one request. They come from several addresses, because of
    the gate's limit per peer."""
    clients = []
    for number in range(count):
        client = rig.Client(port, source=f"127.0.0.{2 + number % 100}")
        if webhook and client.exchange(webhook) != webhook.status:
            raise SystemExit("a wrong answer")
        clients.append(client)
    return clients


def idle_cost(name, options, count, webhook):
    """Returns resident KiB per connection, without the kernel's part."""
    with rig.workshop() as (directory, started):
        upstream = start_upstream(directory)
        started.append(upstream)
        proxy = start(name, options, directory, upstream.port)
        started.append(proxy)
        proxy.settle()
        first = rig.Client(proxy.port)
        first.exchange(rig.signed())
        before = proxy.rss()
        clients = connect(proxy.port, count, webhook)
        time.sleep(1.5)
        cost = (proxy.rss() - before) / count
        if webhook is None:
            check_alive(clients[-1])
        for client in clients:
            client.close()
        first.close()
    return cost


def check_alive(client):
    if client.exchange(rig.signed()) != 200:
        raise SystemExit("an idle connection no longer serves")


def print_idle(options):
    rig.raise_limits()
    head = [f"{kind}, {count}" for kind in ("silent", "after one request") for count in IDLE]
    print("\n| kB per idle connection | " + " | ".join(head) + " |")
    print("| --- |" + " --- |" * len(head))
    for name in contestants(options):
        cells = []
        for webhook in (None, rig.signed()):
            for count in IDLE:
                most = rig.haproxy_connections() - 50 if name == "HAProxy" else count
                cells.append(f"{idle_cost(name, options, min(count, most), webhook):.1f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


# --- growth --------------------------------------------------------------------------------------


def powers(most):
    return [10**power for power in range(int(math.log10(most)) + 1)]


def many_routes(directory, count):
    blocks = (f'[[route]]\npath = "/app{number}/voice"' for number in range(count))
    webhook = rig.signed(target=f"/app{count // 2}/voice?tenant=7")
    return {"extra": "\n".join(blocks)}, webhook


def many_accounts(directory, count):
    """The request is for the account in the middle of the file."""
    account = re.search(r"AccountSid=(AC\w+)", rig.VOICE).group(1)
    lines = []
    for number in range(count):
        sid = account if number == count // 2 else f"AC{number:032x}"
        lines.append(f'{sid} = "{number:032x}"\n')
    file = directory / "accounts.toml"
    file.write_text("".join(lines))
    tokens = f'accounts_file = "{file}"'
    return {"tokens": tokens}, rig.signed(token=f"{count // 2:032x}")


def many_parameters(directory, count):
    return {}, rig.signed(body="&".join(
        f"Parameter{number * 7919 % 100003:06}=value+{number}" for number in range(count)
    ))


def big_body(directory, kib):
    return {}, rig.signed(body=rig.form_of(kib * 1024))


# Large configurations are counted over more exchanges, because the cost of a start varies.
GROWTH = [
    ("routes", powers(10000), many_routes, 2000),
    ("subaccounts", powers(10000), many_accounts, 2000),
    ("parameters", powers(1000), many_parameters, 100),
    ("body, KiB", [1, 4, 16, 64, 256], big_body, 100),
]


def cost_of(options, size, make, exchanges):
    """Returns thousands of instructions per exchange."""
    with rig.workshop() as (directory, _):
        config, webhook = make(directory, size)

        def command_of(directory, port, upstream):
            return [options.gate, "run", "-c", rig.gate_config(directory, port, upstream, **config)]

        def count(exchanges):
            return exchange.instructions(directory, command_of, webhook, exchanges)

        return exchange.per_exchange(count, 50, 50 + exchanges) / 1000


def print_growth(options):
    """Prints instructions, which are repeatable; the slope is the exponent of the last step."""
    print("\n| what grows | instructions per exchange, thousands | slope of the last step |")
    print("| --- | --- | --- |")
    for what, sizes, make, exchanges in GROWTH:
        print_slope(what, sizes, [cost_of(options, size, make, exchanges) for size in sizes])
    print("\n| what grows | CPU µs per request | slope of the last step |")
    print("| --- | --- | --- |")
    sizes = powers(10000)
    print_slope("idle connections beside the load", sizes, [beside_idle(options, size) for size in sizes])
    sizes = powers(1000)
    print_slope("connections in use", sizes, [in_use(options, size) for size in sizes])


def print_slope(what, sizes, costs):
    cells = ", ".join(f"{size}: {cost:.1f}" for size, cost in zip(sizes, costs))
    step = math.log(sizes[-1] / sizes[-2])
    slope = math.log(costs[-1] / costs[-2]) / step
    print(f"| {what} | {cells} | {slope:+.2f} |", flush=True)


def beside_idle(options, count):
    rig.raise_limits()
    with rig.workshop() as (directory, started):
        upstream = start_upstream(directory)
        started.append(upstream)
        gate = start("gate", options, directory, upstream.port)
        started.append(gate)
        clients = connect(gate.port, count, rig.unsigned())
        row = Row("beside idle connections", gate, rig.signed())
        for _ in range(options.rounds):
            row.measure(directory, upstream, options.seconds)
        for client in clients:
            client.close()
    return statistics.median(row.cpu)


def in_use(options, count):
    """Starts new processes for each round. When many connect at once, some are accepted a second later;
    requests that wrk leaves in flight would count in the next round, and exceed its limits."""
    rig.raise_limits()
    return statistics.median(in_use_once(options, count) for _ in range(options.rounds))


def in_use_once(options, count):
    with rig.workshop() as (directory, started):
        upstream = start_upstream(directory)
        started.append(upstream)
        gate = start("gate", options, directory, upstream.port)
        started.append(gate)
        row = Row("connections in use", gate, rig.signed(), in_flight=count)
        row.measure(directory, upstream, options.seconds)
    return row.cpu[0]


# --- the machine ---------------------------------------------------------------------------------


def print_machine():
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    busy = os.getloadavg()[0]
    print(
        f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"{congestion}, load average {busy:.1f} at start, {time.strftime('%Y-%m-%d')}"
    )
    for command in (["nginx", "-v"], ["haproxy", "-v"]):
        version = subprocess.run([rig.find(command[0]), *command[1:]], capture_output=True, text=True)
        print((version.stdout + version.stderr).splitlines()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gate", type=Path, default=rig.ROOT / "target/release/gatekeeper")
    parser.add_argument("--floor", type=Path, default=rig.ROOT / "target/release/examples/floor")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--no-build", action="store_true", help="measure the existing binaries")
    parser.add_argument("--growth", action="store_true", help="only how cost grows")
    parser.add_argument("--idle", action="store_true", help="only idle connections")
    options = parser.parse_args()
    if not options.no_build:
        build()
    print_machine()
    if options.growth:
        return print_growth(options)
    if not options.idle:
        compare(options)
    return print_idle(options)


if __name__ == "__main__":
    sys.exit(main())
