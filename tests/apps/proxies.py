"""Proxies that end TLS in front of the gate, set up as ngrok, an ALB and cloudflared present requests."""

import shutil

import trustme
from running import BIN, EVERY_HOST, HOST, Process, accepts, free_port

# What each adds, in the words of its own documentation.
FORWARDED = {
    "ngrok": {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": HOST, "X-Forwarded-Proto": "https"},
    "alb": {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
        "X-Amzn-Trace-Id": "Root=1-67891233-abcdef012345678912345678",
    },
    "cloudflared": {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "Cf-Connecting-Ip": "203.0.113.9",
        "Cf-Ray": "8f0000000000abcd-SJC",
        "Cf-Visitor": '{"scheme":"https"}',
        "Cdn-Loop": "cloudflare; loops=1",
    },
}


# A tunnel whose name is another one every day: it tells the one that it was asked by.
TUNNEL = "tunnel"


class Proxy(Process):
    """One of them, before this port. `host` replaces Host; `strip` takes /prefix off the path."""

    def __init__(self, folder, upstream, manner, host=None, strip=False):
        self.port = free_port()
        self.authority = trustme.CA()
        certificate = self.authority.issue_cert(HOST, EVERY_HOST)
        self.folder = folder
        self.pem = folder / "certificate.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(self.pem)
        headers = self.told if manner == TUNNEL else {"Host": HOST, **FORWARDED[manner]}
        headers = {**headers, **({"Host": host} if host else {})}
        file = folder / self.file
        file.write_text(self.configuration(upstream, headers, strip))
        super().__init__(*self.command(file), XDG_DATA_HOME=folder, XDG_CONFIG_HOME=folder)
        self.wait_for(lambda: accepts(self.port), type(self).__name__)


class Caddy(Proxy):
    file = "Caddyfile"
    told = {}  # X-Forwarded-Host and -Proto are its own custom

    @staticmethod
    def missing():
        return None

    def command(self, file):
        return BIN / "caddy", "run", "--adapter", "caddyfile", "--config", file

    def configuration(self, upstream, headers, strip):
        ups = "".join(f"        header_up {name} {quoted(value)}\n" for name, value in headers.items())
        return f"""
{{
    admin off
    auto_https off
    persist_config off
}}
https://:{self.port} {{
    bind 127.0.0.1
    tls {self.pem} {self.pem}
    {"uri strip_prefix /prefix" if strip else ""}
    reverse_proxy 127.0.0.1:{upstream} {{
{ups}    }}
}}
"""


class Nginx(Proxy):
    file = "nginx.conf"
    told = {"Host": "$http_host", "X-Forwarded-Host": "$http_host", "X-Forwarded-Proto": "$scheme"}

    @staticmethod
    def missing():
        return None if shutil.which("nginx") else "nginx is not installed"

    def command(self, file):
        return "nginx", "-p", self.folder, "-c", file, "-e", "stderr"

    def configuration(self, upstream, headers, strip):
        sets = "".join(f"            proxy_set_header {name} {quoted(value)};\n" for name, value in headers.items())
        # $request_uri is the target as it came; nginx's own $uri is decoded.
        prefix = 'if ($request_uri ~ "^/prefix(/.*)$") { set $target $1; }' if strip else ""
        return f"""
daemon off;
master_process off;
pid {self.folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi;
    scgi_temp_path {self.folder}/scgi;
    map $http_upgrade $upgraded {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{self.port} ssl;
        server_name {HOST};
        ssl_certificate {self.pem};
        ssl_certificate_key {self.pem};
        location / {{
            set $target $request_uri;
            {prefix}
            proxy_pass http://127.0.0.1:{upstream}$target;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $upgraded;
{sets}        }}
    }}
}}
"""


class Haproxy(Proxy):
    file = "haproxy.cfg"
    told = {"X-Forwarded-Host": "%[req.hdr(host)]", "X-Forwarded-Proto": "https"}

    @staticmethod
    def missing():
        return None if shutil.which("haproxy") else "haproxy is not installed"

    def command(self, file):
        return "haproxy", "-db", "-f", file

    def configuration(self, upstream, headers, strip):
        sets = "".join(f"    http-request set-header {name} {quoted(value)}\n" for name, value in headers.items())
        return f"""
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 60s
frontend public
    bind 127.0.0.1:{self.port} ssl crt {self.pem}
{sets}    {"http-request replace-path /prefix(/.*) " + chr(92) + "1" if strip else ""}
    default_backend gate
backend gate
    server gate 127.0.0.1:{upstream}
"""


def quoted(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
