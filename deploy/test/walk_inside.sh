# The steps inside the fresh Debian; started by walk.sh.
# shellcheck shell=bash
package=$1
token=0123456789abcdef0123456789abcdef
second_token=fedcba9876543210fedcba9876543210
here=(https://hooks.example.com/twiml --to http://127.0.0.1:8080)

say() { printf -- '--- %s\n' "$1"; }
ask() { python3 /test/ask.py "$@"; }

say "the app"
systemd-run -q --unit app python3 /test/app.py 127.0.0.1 3030

say "install"
dpkg -i "$package"
gatekeeper --version
man -w gatekeeper gatekeeper-run >/dev/null 2>&1 || ls /usr/share/man/man1/gatekeeper-run.1.gz
test -s /usr/share/bash-completion/completions/gatekeeper
! systemctl is-active -q gatekeeper

say "the token, and the unit"
install -m 640 -g gatekeeper-keys /dev/stdin /etc/gatekeeper/keys/twilio_auth_token <<<"$token"
gatekeeper check -c /etc/gatekeeper/gatekeeper.toml
systemctl start gatekeeper # returns once the gate has notified that it is ready
ask signed "${here[@]}" --has Huzzah
ask unsigned "${here[@]}" --expect 418
ask forged "${here[@]}" --expect 403
gatekeeper health -c /etc/gatekeeper/gatekeeper.toml
id=$(systemctl show -P MainPID gatekeeper)
echo "process $id runs as user $(stat -c %u "/proc/$id"), $(awk '/VmRSS/ { print $2 }' "/proc/$id/status") kB resident"
[ "$(stat -c %u "/proc/$id")" -ne 0 ]
python3 - <<'END'
import re, urllib.request

metrics = urllib.request.urlopen("http://127.0.0.1:9090/metrics", timeout=5).read().decode()
for name in ("gatekeeper_requests_total{", "process_start_time_seconds ", "process_resident_memory_bytes ", "process_open_fds "):
    values = re.findall(rf"^{name}.*?([0-9.e+]+)$", metrics, re.M)
    assert max(map(float, values)) > 0, name
END

say "the token changes, the process does not"
install -m 640 -g gatekeeper-keys /dev/stdin /etc/gatekeeper/keys/next <<<"$second_token"
mv /etc/gatekeeper/keys/next /etc/gatekeeper/keys/twilio_auth_token
ask signed "${here[@]}" --token "$second_token" --within 15
ask signed "${here[@]}" --token "$token" --expect 403
[ "$(systemctl show -P MainPID gatekeeper)" = "$id" ]

say "reload, and a faulty file"
systemctl reload gatekeeper
cp /etc/gatekeeper/gatekeeper.toml /root/good.toml
echo 'nonsense = 1' >>/etc/gatekeeper/gatekeeper.toml
systemctl reload gatekeeper || true
sleep 1
ask signed "${here[@]}" --token "$second_token" # the old configuration stays
cp /root/good.toml /etc/gatekeeper/gatekeeper.toml

say "a credential that root alone can read; the port held by systemd"
install -m 600 /dev/stdin /etc/gatekeeper/credentials/twilio_auth_token <<<"$token"
sed -i 's/file = "keys\/twilio_auth_token"/credential = "gatekeeper_twilio_auth_token"/; s/^listen .*8080".*/listen = "systemd"/' \
    /etc/gatekeeper/gatekeeper.toml
systemctl stop gatekeeper
systemctl start gatekeeper.socket
! systemctl is-active -q gatekeeper
ask signed "${here[@]}" # the first connection starts the gate
systemctl is-active gatekeeper
ask unsigned "${here[@]}" --expect 418
ask signed "https://hooks.example.com/twiml?wait=2" --to http://127.0.0.1:8080 &
slow=$!
sleep 0.5
systemctl restart gatekeeper # requests in flight finish, new ones wait
wait "$slow"
ask signed "${here[@]}"

say "purge"
systemctl stop gatekeeper.socket gatekeeper.service
dpkg --purge gatekeeper
! [ -e /etc/gatekeeper ]
! [ -e /usr/bin/gatekeeper ]
! getent group gatekeeper-keys
