"""Prints README.md with the part between its two markers made anew.

What the SDKs answer stands in sdk.json; what the gate answered was just asked.
"""

import json
import sys
from pathlib import Path

TIERS = ("core", "lenient", "ws", "policy", "config", "sharedkey")
BEGIN, END = "<!-- conformance table: begin, written by make_table.py -->", "<!-- conformance table: end -->"


def word(answer):
    return {True: "accept", False: "refuse"}.get(answer) or f"`{answer.removeprefix('error:')}`"


def gate(v):
    return word(v["valid"]) if v["valid"] else f"{word(v['valid'])}, {v['status']}"


def sdks(v):
    return word(v["python"]), word(v["node"])


def check(vectors):
    for v in vectors:
        assert (v["status"] in (200, 101)) == v["valid"], f"{v['id']}: the gate answered {v['status']}"
        is_exception = not v["valid"] and True in (v["python"], v["node"])
        assert ("left_open" in v) == is_exception, f"{v['id']}: left_open is for what an SDK accepts and the gate refuses"


def row(*cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def counts(vectors):
    yield row("tier", "vectors", "accept", "refuse", "signed by python", "signed by node", "python agrees", "node agrees")
    yield row("---", *["---:"] * 7)
    for tier in (*TIERS, "all"):
        of = [v for v in vectors if tier in (v["tier"], "all")]
        number = lambda test: sum(map(test, of))
        yield row(
            tier,
            len(of),
            number(lambda v: v["valid"]),
            number(lambda v: not v["valid"]),
            number(lambda v: "(PyPI)" in v["source"]),
            number(lambda v: "(npm)" in v["source"]),
            number(lambda v: v["python"] == v["valid"]),
            number(lambda v: v["node"] == v["valid"]),
        )


def disagreements(vectors):
    for tier in TIERS:
        of = [v for v in vectors if v["tier"] == tier and not v["valid"] == v["python"] == v["node"]]
        if not of:
            continue
        yield f"\n### {tier}\n"
        yield row("vector", "gate", "python", "node", "why")
        yield row(*["---"] * 5)
        for v in of:
            yield row(f"`{v['id']}`", gate(v), *sdks(v), v["note"])


def exceptions(vectors):
    yield row("vector", "python", "node", "what accepting it would leave unproven")
    yield row(*["---"] * 4)
    for v in vectors:
        if "left_open" in v:
            yield row(f"`{v['id']}`", *sdks(v), v["left_open"])


def everything(vectors):
    yield row("vector", "gate", "python", "node")
    yield row(*["---"] * 4)
    for v in vectors:
        yield row(f"`{v['id']}`", gate(v), *sdks(v))


def table(vectors):
    versions = sorted({v["source"].split(") ")[0].removeprefix("generated: ") + ")" for v in vectors if " (" in v["source"]})
    dissent = list(disagreements(vectors))
    exempt = list(exceptions(vectors))
    yield f"SDKs: {', '.join(versions)}. The gate's answers are those of the program itself.\n"
    yield from counts(vectors)
    yield f"\nWhere the two SDKs and the gate are not of one mind ({sum(line.startswith('| `') for line in dissent)} of {len(vectors)}):"
    yield from dissent
    yield "\n### What an SDK accepts and the gate refuses\n"
    yield "The gate accepts whatever one of the SDKs accepts, with these exceptions:\n"
    yield from exempt
    yield "\n### Every vector\n"
    yield from everything(vectors)


statuses = json.loads(Path(sys.argv[2]).read_text())
vectors = [{**v, "status": statuses[v["id"]]} for v in json.loads(Path(sys.argv[1]).read_text())]
check(vectors)
before, rest = Path(sys.argv[3]).read_text().split(BEGIN)
after = rest.split(END)[1]
print(before + BEGIN + "\n\n" + "\n".join(table(vectors)) + "\n\n" + END + after, end="")
