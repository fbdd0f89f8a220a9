#!/usr/bin/env bash
# Static checks: Kubernetes objects, configurations, units and alert rules, each with its own tool.
source "$(dirname "$0")/common.sh"
need systemd-analyze systemd
need promtool prometheus
need_gatekeeper
from_pypi kubernetes-validate==1.37.0

say "Kubernetes objects, against the API schemas"
for version in 1.30 1.33 1.37; do
    "$venv/bin/kubernetes-validate" --quiet --strict -k "$version" deploy/kubernetes/*.yaml
done
sed 's/terminationGracePeriodSeconds/terminationGraceSeconds/' deploy/kubernetes/sidecar.yaml >"$work/misspelt.yaml"
! "$venv/bin/kubernetes-validate" --strict -k 1.37 "$work/misspelt.yaml" >/dev/null 2>&1 ||
    { echo "a misspelt key was not seen" >&2; exit 1; }
"$venv/bin/python" "$test_folder/kubernetes_sense.py" "$work"

say "every shipped configuration, as the gate reads it"
printf '%s\n' "$token" | tee "$work/auth_token" >"$work/twilio_auth_token"
for file in deploy/*/*.toml deploy/compose/*/gate/*.toml "$work"/*.toml; do
    sed "s|file = \"[^\"]*/\([a-z_]*\)\"|file = \"$work/\1\"|; s|file = \"\([a-z_]*\)\"|file = \"$work/\1\"|" "$file" >"$work/read.toml"
    TWILIO_AUTH_TOKEN=$token "$gatekeeper" check -c "$work/read.toml" >"$work/read.log" ||
        { echo "$file" >&2; cat "$work/read.log" >&2; exit 1; }
    echo "$file: ok"
    rm "$work/read.toml"
done

say "systemd units"
mkdir -p "$work/units"
# The unit names /usr/bin/gatekeeper and its man page, which only the package installs.
sed "s|^ExecStart=/usr/bin/gatekeeper|ExecStart=$(realpath "$gatekeeper")|; /^Documentation=/d" \
    deploy/systemd/gatekeeper.service >"$work/units/gatekeeper.service"
sed '/^Documentation=/d' deploy/systemd/gatekeeper.socket >"$work/units/gatekeeper.socket"
said=$(systemd-analyze verify "$work/units/gatekeeper.service" "$work/units/gatekeeper.socket" 2>&1 | grep -F gatekeeper || true)
[ -z "$said" ] || { echo "$said" >&2; exit 1; }
systemd-analyze security --offline=true --threshold=20 "$work/units/gatekeeper.service" | tail -1

say "alert rules"
promtool check rules deploy/prometheus/gatekeeper.rules.yml
promtool test rules deploy/prometheus/gatekeeper.test.yml
promtool check config deploy/prometheus/prometheus.yml
say "files: all passed"
