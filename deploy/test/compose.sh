# Starts both compose projects as they are shipped. Sourced by docker.sh, which provides the daemon
# and the images.
# shellcheck shell=bash

# compose_works NAME TEXT: runs a copy of the project, because its secrets are not in the repository.
compose_works() {
    say "compose: $1"
    local project="$work/compose/$1" port
    port=$(free_port)
    export GATEKEEPER_PORT=$port
    mkdir -p "$work/compose"
    cp -a "deploy/compose/$1" "$project"
    install -d -m 755 "$project/secrets"
    install -m 400 -o 65532 /dev/stdin "$project/secrets/twilio_auth_token" <<<"$token"
    docker build -q --network host --build-arg BASE=base-apps -t "gatekeeper-example-$1" "$project/app" \
        >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" >&2; return 1; }
    (
        cd "$project"
        docker-compose config -q
        docker-compose --ansi never up -d --no-build
        here=(https://hooks.example.com/twiml --to "http://127.0.0.1:$port")
        ask signed "${here[@]}" --has "$2" --within 20 || { docker-compose logs >&2; exit 1; }
        ask unsigned "${here[@]}" --expect 418
        ask forged "${here[@]}" --expect 403
        published=$(docker-compose port app 3030 2>/dev/null || docker-compose port app 3000 2>/dev/null || true)
        [ -z "$published" ] || { echo "the app is published on $published" >&2; exit 1; }
        install -m 400 -o 65532 /dev/stdin secrets/next <<<"$second_token"
        mv secrets/next secrets/twilio_auth_token
        ask signed "${here[@]}" --token "$second_token" --within 15
        ask signed "${here[@]}" --token "$token" --expect 403
        until_true 30 sh -c '[ "$(docker inspect -f "{{.State.Health.Status}}" "$(docker-compose ps -q gate)")" = healthy ]'
        docker-compose --ansi never down -v 2>/dev/null
    )
}

compose_works flask Huzzah
compose_works node Ahoy
