"""Prints README.md with the part between its two markers made anew from sdk.json."""

import json
import sys
from pathlib import Path

TIERS = ("core", "lenient", "ws", "policy", "config", "sharedkey")
BEGIN, END = "<!-- conformance table: begin, written by make_table.py -->", "<!-- conformance table: end -->"


def word(answer):
    return {True: "accept", False: "refuse"}.get(answer) or f"`{answer.removeprefix('error:')}`"


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
        yield row("vector", "the gate must", "python", "node", "why")
        yield row(*["---"] * 5)
        for v in of:
            yield row(f"`{v['id']}`", word(v["valid"]), word(v["python"]), word(v["node"]), v["note"])


def table(vectors):
    versions = sorted({v["source"].split(") ")[0].removeprefix("generated: ") + ")" for v in vectors if " (" in v["source"]})
    dissent = list(disagreements(vectors))
    yield f"SDKs: {', '.join(versions)}.\n"
    yield from counts(vectors)
    yield f"\nWhere the two SDKs and the gate are not of one mind ({sum(line.startswith('| `') for line in dissent)} of {len(vectors)}):"
    yield from dissent


vectors = json.loads(Path(sys.argv[1]).read_text())
before, rest = Path(sys.argv[2]).read_text().split(BEGIN)
after = rest.split(END)[1]
print(before + BEGIN + "\n\n" + "\n".join(table(vectors)) + "\n\n" + END + after, end="")
