#!/usr/bin/env bash
# Checks that the gate exports every metric in the dashboard and the alert rules: starts a gate, makes
# it export all of them, and compares.
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

[limits]
max_connections = 4
END
start "$work/app.log" python3 "$test_folder/app.py" 127.0.0.1 "$app_port"
start "$work/gate.log" "$gatekeeper" run -c "$work/gatekeeper.toml"
here=(https://localhost/twiml --to "https://localhost:$port" --ca "$work/cert.pem")
ask signed "${here[@]}" --within 10 || { cat "$work/gate.log" >&2; exit 1; }
ask unsigned "${here[@]}" --expect 418
ask forged "${here[@]}" --expect 403
# More connections than max_connections, none of them idle: this counter is not exported before its
# first increment.
python3 - "$port" <<'END'
import socket, sys, time

held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(8)]
for one in held:
    one.send(b"\x16\x03\x01")
time.sleep(0.5)
late = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(4)]
time.sleep(0.5)
END
python3 -c 'import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())' \
    "http://127.0.0.1:$admin_port/metrics" >"$work/metrics.txt"
promtool check metrics <"$work/metrics.txt"
python3 "$test_folder/metric_names.py" "$work/dashboard.rules.json" "$work/metrics.txt"
promtool check rules "$work/dashboard.rules.json"
say "sight: all passed"
