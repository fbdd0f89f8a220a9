#!/usr/bin/env bash
# TLS in front of the gate, with the shipped files: starts Caddy and nginx. ngrok's agent is not
# available here, so the gate gets requests like those that it forwards.
source "$(dirname "$0")/common.sh"
source "$test_folder/servers.sh"
need_gatekeeper
name=hooks.example.com

app_port=$(free_port)
gate_port=$(free_port)
start "$work/app.log" python3 "$test_folder/app.py" 127.0.0.1 "$app_port"
# gate CONFIGURATION…: starts the gate on gate_port.
gate() {
    TWILIO_AUTH_TOKEN=$token start "$work/gate.log" "$gatekeeper" run "$@" \
        --listen "127.0.0.1:$gate_port" --upstream "http://127.0.0.1:$app_port"
    gate=${started[-1]}
}
gate --public-url "https://$name"

# through FRONT PORT CA
through() {
    local here=("https://$name/twiml" --to "https://127.0.0.1:$2" --ca "$3")
    ask signed "${here[@]}" --has Huzzah --within 15 || return 1
    # What an app needs that checks signatures over its own URL.
    ask signed "${here[@]}" --has "called by https" || return 1
    ask unsigned "${here[@]}" --expect 418
    ask forged "${here[@]}" --expect 403
    # Bytes that a proxy might normalize.
    ask signed "https://$name/a//b/%7Ec?x=%2F&y=a+b&&z" --to "https://127.0.0.1:$2" --ca "$3"
    echo "through $1: ok"
}

say "Caddy"
port=$(free_port)
# The site is the shipped one.
export GATEKEEPER="127.0.0.1:$gate_port"
start_caddy "$(free_port)" "$port" "import $root/deploy/caddy/Caddyfile"
through Caddy "$port" "$caddy_ca" || { tail -20 "$work/caddy.log" >&2; exit 1; }

say "nginx"
port=$(free_port)
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$name" -addext "subjectAltName=DNS:$name" \
    -keyout "$work/privkey.pem" -out "$work/fullchain.pem" 2>/dev/null
start_nginx "$(shipped_nginx "$port" "$gate_port")"
through nginx "$port" "$work/fullchain.pem" || { tail -20 "$work/nginx.log" >&2; exit 1; }

say "as ngrok passes it on"
kill "$gate"
wait "$gate" 2>/dev/null || true
gate -c deploy/ngrok/fixed.toml
ask signed https://hooks.example.ngrok.app/twiml --to "http://127.0.0.1:$gate_port" --within 5
kill "$gate"
wait "$gate" 2>/dev/null || true
gate -c deploy/ngrok/trust.toml
changing=(https://abcd-1234.ngrok-free.app/twiml --to "http://127.0.0.1:$gate_port")
ask signed "${changing[@]}" --forwarded --within 5
ask unsigned "${changing[@]}" --forwarded --expect 418
ask signed https://elsewhere.example.com/twiml --to "http://127.0.0.1:$gate_port" --forwarded --expect 403
"$venv/bin/python" -m pip install -q pyyaml
"$venv/bin/python" - <<'END'
import yaml

agent = yaml.safe_load(open("deploy/ngrok/ngrok.yml"))
assert agent["version"] == "3" and agent["endpoints"][0]["upstream"]["url"] == 8080
END
say "front: all passed"
