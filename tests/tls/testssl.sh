#!/usr/bin/env bash
# What Debian's testssl.sh finds on a listener with TLS: anything above informational fails.
# testssl.sh GATEKEEPER
set -euo pipefail
gatekeeper=$(realpath "$1")
folder=$(mktemp -d)
cd "$folder"
gate=
end() {
    [ -z "$gate" ] || kill "$gate" 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT

# An authority and a leaf as a public one would issue it; the address of its revocation list is
# looked at and not asked.
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 90 -subj "/CN=Test CA" 2>/dev/null
openssl req "${key[@]}" -keyout key.pem -out leaf.csr -subj "/CN=localhost" 2>/dev/null
cat >extensions <<END
subjectAltName=DNS:localhost
basicConstraints=CA:FALSE
keyUsage=digitalSignature
extendedKeyUsage=serverAuth
crlDistributionPoints=URI:http://localhost/none.crl
END
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 80 \
    -extfile extensions -out cert.pem 2>/dev/null

cat >gatekeeper.toml <<END
listen = "127.0.0.1:0"
public_url = "https://localhost"
upstream = "http://127.0.0.1:1"
auth_tokens = ["0123456789abcdef0123456789abcdef"]
[tls]
cert = "cert.pem"
key = "key.pem"
END
"$gatekeeper" run -c gatekeeper.toml 2>log &
gate=$!
for _ in $(seq 50); do
    port=$(sed -n 's/.*"message":"listening","address":"127.0.0.1:\([0-9]*\)".*/\1/p' log)
    [ -z "$port" ] || break
    sleep 0.1
done
[ -n "$port" ] || { cat log >&2; exit 1; }

# Protocols, ciphers, forward secrecy, preferences, certificate, vulnerabilities. Headers are the
# app's business. Its own exit code counts other things too.
testssl --quiet --color 0 --warnings off --nodns none --ip 127.0.0.1 --add-ca "$folder/ca.pem" \
    -p -s -f -P -S -U --jsonfile "$folder/found.json" "localhost:$port" >"$folder/testssl.txt" || true
python3 - "$folder/found.json" <<'END'
import json, sys

found = json.load(open(sys.argv[1], encoding="utf-8"))
tests = {one["id"] for one in found}
assert {"TLS1_2", "TLS1_3", "heartbleed"} <= tests, tests
# "WARN" is of testssl.sh's own means, as an OpenSSL without old engines.
above = [one for one in found if one["severity"] not in ("OK", "INFO", "WARN")]
for one in above:
    print(one["severity"], one["id"], one["finding"])
print(f"{len(found)} findings, {len(above)} above informational")
sys.exit(1 if above else 0)
END
