"""200 Media Streams at once; 20 s each under CI=true, 2 s elsewhere. No frame is lost, either way."""

import json
import os
import subprocess

from running import CACHE, HERE, HOST
from signing import handshake

STREAMS = 200
SECONDS = 20 if os.environ.get("CI") == "true" else 2


def test_concurrent_streams_lose_no_frame(before_express, express):
    path, frames = "/media-stream", SECONDS * 50
    task = {
        "port": before_express.port,
        "host": HOST,
        "path": path,
        "signature": handshake(path),
        "streams": STREAMS,
        "seconds": SECONDS,
    }
    environment = {"PATH": os.environ["PATH"], "NODE_PATH": str(CACHE / "node_modules")}
    before = express.seen()["frames"]
    done = subprocess.run(
        ["node", "streams.js", json.dumps(task)], cwd=HERE, env=environment, timeout=180, check=True, stdout=subprocess.PIPE
    )
    result = json.loads(done.stdout)
    whole = {"sent": frames, "back": frames, "wrong": 0, "heard": frames, "code": 1000}
    broken = [stream for stream in result["all"] if stream != whole]
    assert not broken, f"{len(broken)} of {STREAMS} streams: {broken[:3]}"
    assert len(result["all"]) == STREAMS
    assert express.seen()["frames"] - before == STREAMS * frames
    print(f"{STREAMS} streams, {STREAMS * frames} frames there and back in {result['seconds']:.1f} s")
