"""Many source addresses that are not loopback, in a network of this process's own.

The gate exempts loopback from its bounds per address, since a tunnel stands for all clients.
"""

import os
import subprocess
import sys

ENTERED = "GATEKEEPER_FAULTS_NETWORK"
# RFC 2544: for tests of network devices. Nothing leaves the loopback interface.
PRIVATE = "198.18.0."
ENTER = ["unshare", "--user", "--map-root-user", "--net"]


def enter() -> None:
    """Starts this program again in a network namespace, where the system permits it."""
    if ENTERED in os.environ:
        return
    try:
        possible = subprocess.run([*ENTER, "ip", "link"], capture_output=True).returncode == 0
    except FileNotFoundError:
        possible = False
    os.environ[ENTERED] = "yes" if possible else "no"
    if not possible:
        print("no network namespace here: all clients are loopback, whose share is not bounded")
        return
    script = f'ip link set lo up && ip address add {PRIVATE}1/24 dev lo && exec "$@"'
    os.execvp(ENTER[0], [*ENTER, "sh", "-c", script, "sh", sys.executable, *sys.argv])


def prefix() -> str:
    return PRIVATE if os.environ.get(ENTERED) == "yes" else "127.0.0."


def gate() -> str:
    """The address at which the gate is reached."""
    return prefix() + "1"


def genuine() -> str:
    """The address of the signed requests."""
    return prefix() + "250"


def attackers(many: bool) -> list[str]:
    return [f"{prefix()}{2 + at}" for at in range(60 if many else 1)]
