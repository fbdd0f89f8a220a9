#!/usr/bin/env python3
"""Checks that the objects match each other, which no schema does. Writes their configurations into a folder."""

import pathlib
import sys
import tomllib

import yaml

SECONDS = {"drain_delay": 0, "drain_timeout": 20, "tunnel_drain_timeout": 10}


def main() -> None:
    for path in sorted((pathlib.Path(__file__).parent.parent / "kubernetes").glob("*.yaml")):
        objects = list(yaml.safe_load_all(path.read_text()))
        for one in objects:
            if one["kind"] == "ConfigMap":
                text = one["data"]["gatekeeper.toml"]
                (pathlib.Path(sys.argv[1]) / f"{path.stem}.toml").write_text(text)
                deployment = next(other for other in objects if other["kind"] == "Deployment")
                fits(deployment["spec"]["template"], tomllib.loads(text), objects)
    print("objects fit each other")


def fits(template: dict, config: dict, objects: list[dict]) -> None:
    pod, labels = template["spec"], template["metadata"]["labels"]
    containers = pod.get("initContainers", []) + pod["containers"]
    gate = next(one for one in containers if one["name"] == "gate")
    ports = {port["name"]: port["containerPort"] for port in gate["ports"]}
    assert config["listen"].endswith(f":{ports['gate']}")
    assert config["admin"]["listen"].endswith(f":{ports['admin']}")
    mounts = [mount["mountPath"] for mount in gate["volumeMounts"]]
    assert all(any(key["file"].startswith(path + "/") for path in mounts) for key in config["auth_tokens"])
    assert not any("subPath" in mount for mount in gate["volumeMounts"]), "a subPath never changes"
    limits = config.get("limits", {})
    drain = sum(int(str(limits.get(key, f"{default}s")).rstrip("s")) for key, default in SECONDS.items())
    assert pod["terminationGracePeriodSeconds"] > drain
    for one in objects:
        if one["kind"] == "Service":
            assert one["spec"]["selector"].items() <= labels.items()
            assert [port["targetPort"] for port in one["spec"]["ports"]] == ["gate"], "a way around the gate"
        if one["kind"] == "PodDisruptionBudget":
            assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()


if __name__ == "__main__":
    main()
