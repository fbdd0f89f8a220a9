# Starts a separate docker daemon on a socket in the run's folder, so that no other daemon is touched.
# With DOCKER_HOST set, that daemon is used. To be sourced after common.sh.
# shellcheck shell=bash

need dockerd docker.io iptables
export DOCKER_BUILDKIT=0 # the builder of the daemon itself
mine=() # the containers that this run started

start_daemon() {
    start "$work/dockerd.log" dockerd --storage-driver="$1" --data-root "$work/docker" \
        --exec-root "$work/exec" --pidfile "$work/dockerd.pid" -H "unix://$work/docker.sock"
    export DOCKER_HOST="unix://$work/docker.sock"
    for _ in $(seq 100); do
        docker version >/dev/null 2>&1 && return
        kill -0 "${started[-1]}" 2>/dev/null || return 1
        sleep 0.2
    done
    return 1
}

at_end() {
    [ ${#mine[@]} -eq 0 ] || docker rm -f "${mine[@]}" >/dev/null 2>&1 || true
    docker network rm calls >/dev/null 2>&1 || true
    end_started
    # Mounts of the daemon would prevent the removal of its folder.
    grep -o "$work/[^ ]*" /proc/mounts | sort -ru | xargs -r -n1 umount 2>/dev/null || true
}

say "a docker daemon"
[ -n "${DOCKER_HOST:-}" ] || start_daemon overlay2 || start_daemon vfs || { tail -20 "$work/dockerd.log" >&2; exit 1; }
