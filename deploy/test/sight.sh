#!/usr/bin/env bash
# The dashboard and the alert rules ask only for what the gate has: a gate is started, made to show
# every metric, and asked for them.
source "$(dirname "$0")/common.sh"
need promtool prometheus
need openssl openssl
need_gatekeeper

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=localhost" -addext "subjectAltName=DNS:localhost" \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
port=$(free_port)
app_port=$(free_port)
admin_port=$(free_port)
cat >"$work/gatekeeper.toml" <<END
listen      = "127.0.0.1:$port"
public_url  = "https://localhost"
upstream    = "http://127.0.0.1:$app_port"
auth_tokens = ["$token"]

[tls]
cert = "cert.pem"
key  = "key.pem"

[admin]
listen = "127.0.0.1:$admin_port"
END
start "$work/app.log" python3 "$test_folder/app.py" 127.0.0.1 "$app_port"
start "$work/gate.log" "$gatekeeper" run -c "$work/gatekeeper.toml"
here=(https://localhost/twiml --to "https://localhost:$port" --ca "$work/cert.pem")
ask signed "${here[@]}" --within 10 || { cat "$work/gate.log" >&2; exit 1; }
ask unsigned "${here[@]}" --expect 418
ask forged "${here[@]}" --expect 403
python3 -c 'import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())' \
    "http://127.0.0.1:$admin_port/metrics" >"$work/metrics.txt"
promtool check metrics <"$work/metrics.txt"
python3 "$test_folder/metric_names.py" "$work/dashboard.rules.json" "$work/metrics.txt"
promtool check rules "$work/dashboard.rules.json"
say "sight: all passed"
