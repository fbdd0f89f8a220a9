#!/usr/bin/env python3
"""Compares the metrics in the dashboard and the alert rules with those that the gate exports.

metric_names.py RULES METRICS…: METRICS are outputs of /metrics. The dashboard's expressions are
written to RULES, for promtool.
"""

import json
import pathlib
import re
import sys

DEPLOY = pathlib.Path(__file__).resolve().parent.parent
NAME = re.compile(r"\b(?:gatekeeper|process)_[a-z_]+\b")


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana/gatekeeper.json").read_text())
    asking = [*dashboard["annotations"]["list"]]
    for panel in dashboard["panels"]:
        asking += panel.get("targets", [])
    return [one["expr"] for one in asking]


def promtool_rules(expressions: list[str]) -> str:
    def plain(text: str) -> str:
        return text.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$job", ".*")

    rules = [{"record": f"dashboard:{n}", "expr": plain(e)} for n, e in enumerate(expressions)]
    return json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})


def families(texts: list[str]) -> set[str]:
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", "\n".join(texts), re.M):
        ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {name + end for end in ends}
    return found


def main() -> int:
    expressions = dashboard_expressions()
    pathlib.Path(sys.argv[1]).write_text(promtool_rules(expressions))
    shown = families([pathlib.Path(path).read_text() for path in sys.argv[2:]])
    rules = (DEPLOY / "prometheus/gatekeeper.rules.yml").read_text()
    asked = set(NAME.findall("\n".join([*expressions, rules])))
    assert len(asked) > 15, f"only {len(asked)} names found"
    missing = sorted(asked - shown)
    unused = sorted(name for name in shown - asked if name.startswith("gatekeeper_") and not name.endswith(("_sum", "_count")))
    print(f"{len(asked)} metrics asked for, {len(missing)} unknown; not asked for: {', '.join(unused) or 'none'}")
    print("\n".join(missing), file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
