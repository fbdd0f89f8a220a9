#!/usr/bin/env bash
# `gatekeeper doctor` behind Caddy and nginx with TLS: with the right public_url, and with each wrong
# one. The fronts' mistakes are sites of their own.
source "$(dirname "$0")/common.sh"
source "$test_folder/servers.sh"
need_gatekeeper
name=hooks.example.com

app_port=$(free_port)
gate_port=$(free_port)
admin_port=$(free_port)
closed_port=$(free_port)
export TWILIO_AUTH_TOKEN=$token
start "$work/app.log" python3 "$test_folder/app.py" 127.0.0.1 "$app_port"

# configuration PUBLIC_URL
configuration() {
    cat <<END
listen      = "127.0.0.1:$gate_port"
public_url  = "$1"
upstream    = "http://127.0.0.1:$app_port"
auth_tokens = [{ env = "TWILIO_AUTH_TOKEN" }]

[admin]
listen = "127.0.0.1:$admin_port"
END
}
configuration "https://$name" >"$work/gate.toml"
start "$work/gate.log" "$gatekeeper" run -c "$work/gate.toml"
healthy() { "$gatekeeper" health -c "$work/gate.toml" >/dev/null 2>&1; }
until_true 10 healthy

# diagnose EXIT_CODE CA PUBLIC_URL TEXT…: each text must be in the report.
diagnose() {
    local expected=$1 ca=$2 url=$3 code=0 text resolve=()
    shift 3
    local authority=${url#*://}
    authority=${authority%%/*}
    case $authority in
    *.invalid*) ;;
    *) resolve=(--resolve "$authority:127.0.0.1") ;;
    esac
    configuration "$url" >"$work/doctor.toml"
    "$gatekeeper" doctor -c "$work/doctor.toml" ${ca:+--cacert "$ca"} "${resolve[@]}" >"$work/report" 2>&1 || code=$?
    for text in "$@"; do
        grep -qF -- "$text" "$work/report" || { echo "$url: no \"$text\" in:"; cat "$work/report"; return 1; }
    done
    [ "$code" -eq "$expected" ] || { echo "$url: exit code $code"; cat "$work/report"; return 1; }
    echo "$url: ok"
}
leads="leads to this gate; arrives from 127.0.0.1"

say "Caddy"
http_port=$(free_port)
port=$(free_port)
gate="127.0.0.1:$gate_port"
export GATEKEEPER=$gate
start_caddy "$http_port" "$port" "import $root/deploy/caddy/Caddyfile
stripped.example.com {
	handle_path /prod/* {
		reverse_proxy $gate
	}
}
rewritten.example.com {
	reverse_proxy $gate {
		header_up Host {upstream_hostport}
	}
}
added.example.com {
	rewrite * /gate{uri}
	reverse_proxy $gate
}
moved.example.com {
	redir https://$name{uri}
}
down.example.com {
	reverse_proxy 127.0.0.1:$closed_port
}"
listens() { (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
until_true 15 listens
until_true 15 diagnose 0 "$caddy_ca" "https://$name:$port" "$leads" "X-Forwarded-Proto: https" \
    "ok    certificate" "ok    signed" "ok    around" || { tail -20 "$work/caddy.log" >&2; exit 1; }
diagnose 0 "$caddy_ca" "https://stripped.example.com:$port/prod" "$leads" "ok    signed"
diagnose 1 "$caddy_ca" "https://stripped.example.com:$port" "is answered by something else: 200, Server: Caddy"
diagnose 1 "$caddy_ca" "https://$name:$port/prod" "/prod of public_url is not stripped" "public_url = \"https://$name:$port\""
diagnose 1 "$caddy_ca" "https://added.example.com:$port" "the path arrives with /gate before it"
diagnose 1 "$caddy_ca" "https://rewritten.example.com:$port" "Host arrives as $gate" "allowed_hosts = [\"$gate\"]"
diagnose 1 "$caddy_ca" "http://$name:$http_port" "redirects (308) to https://$name" 'write public_url = "https://'
diagnose 1 "$caddy_ca" "http://$name:$port" "is answered by something else: 400" "write https:// in public_url"
diagnose 1 "$caddy_ca" "https://$name:$http_port" "does not speak TLS"
diagnose 1 "$caddy_ca" "https://moved.example.com:$port" "redirects (302)" "public_url = \"https://$name\""
diagnose 1 "$caddy_ca" "https://down.example.com:$port" "something else: 502" "forward to the gate, which listens on $gate"
diagnose 1 "$caddy_ca" "https://other.example.com:$port" "FAIL  certificate"
diagnose 1 "$caddy_ca" "https://$name:$closed_port" "connection refused" "correct the port"
diagnose 1 "$caddy_ca" "https://$name.invalid" "has no address"
diagnose 1 "" "https://$name:$port" "the chain leads to no trusted CA" "Twilio trusts public CAs only"

say "nginx"
http_port=$(free_port)
port=$(free_port)
# A root, an intermediate, and a certificate for all sites but one.
certificate() { # NAME ISSUER EXTENSIONS
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null
    openssl x509 -req -days 30 -in "$work/$1.csr" -CA "$work/$2.crt" -CAkey "$work/$2.key" -CAcreateserial \
        -extfile <(printf '%s\n' "$3") -out "$work/$1.crt" 2>/dev/null
}
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=root" -keyout "$work/root.key" -out "$work/root.crt" 2>/dev/null
certificate intermediate root "basicConstraints=critical,CA:TRUE"
certificate leaf intermediate "subjectAltName=DNS:$name,DNS:stripped.example.com,DNS:rewritten.example.com,DNS:added.example.com,DNS:short.example.com,DNS:web.example.com,DNS:down.example.com"
cat "$work/leaf.crt" "$work/intermediate.crt" >"$work/fullchain.pem"
cp "$work/leaf.key" "$work/privkey.pem"
# site NAME LINES: another server on the same port.
site() {
    printf 'server { listen 127.0.0.1:%s ssl; server_name %s.example.com; ssl_certificate %s; ssl_certificate_key %s; %s }\n' \
        "$port" "$1" "${3:-$work/fullchain.pem}" "$work/privkey.pem" "$2"
}
start_nginx "$(
    shipped_nginx "$port" "$gate_port"
    site stripped 'location /prod/ { proxy_pass http://gatekeeper/; proxy_set_header Host $http_host; }'
    site rewritten 'location / { proxy_pass http://gatekeeper; }'
    site added 'location / { proxy_pass http://gatekeeper/gate/; proxy_set_header Host $http_host; }'
    site short 'location / { proxy_pass http://gatekeeper; proxy_set_header Host $http_host; }' "$work/leaf.crt"
    site web 'location /app/ { proxy_pass http://gatekeeper; }'
    site down "location / { proxy_pass http://127.0.0.1:$closed_port; }"
    echo "server { listen 127.0.0.1:$http_port; return 301 https://\$host\$request_uri; }"
)"
ca="$work/root.crt"
until_true 15 listens
diagnose 0 "$ca" "https://$name:$port" "$leads" "2 certificates are sent" "ok    signed" || {
    tail -20 "$work/nginx.log" "$work/nginx.out" >&2
    exit 1
}
diagnose 0 "$ca" "https://stripped.example.com:$port/prod" "$leads" "ok    signed"
diagnose 1 "$ca" "https://$name:$port/prod" "/prod of public_url is not stripped"
diagnose 1 "$ca" "https://added.example.com:$port" "the path arrives with /gate before it"
diagnose 1 "$ca" "https://rewritten.example.com:$port" "Host arrives as gatekeeper" 'proxy_set_header Host $http_host'
diagnose 1 "$ca" "http://$name:$http_port" "redirects (301) to https://$name" 'write public_url = "https://'
diagnose 1 "$ca" "http://$name:$port" "is answered by something else: 400, Server: nginx" "write https:// in public_url"
diagnose 1 "$ca" "https://$name:$http_port" "does not speak TLS"
diagnose 1 "$ca" "https://web.example.com:$port" "is answered by something else: 404, Server: nginx"
diagnose 1 "$ca" "https://down.example.com:$port" "something else: 502"
diagnose 1 "$ca" "https://short.example.com:$port" "an intermediate certificate is missing: 1 certificate is sent"
diagnose 1 "$ca" "https://other.example.com:$port" "not for other.example.com"
diagnose 1 "$ca" "https://$name:$closed_port" "connection refused"
say "doctor: all passed"
