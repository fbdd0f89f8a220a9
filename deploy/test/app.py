#!/usr/bin/env python3
"""The app behind the gate in these tests: responds with Huzzah, after `?wait=SECONDS` if given."""

import http.server
import sys
import time
import urllib.parse


class App(http.server.BaseHTTPRequestHandler):
    """Answers every POST with the same TwiML."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):  # noqa: N802, the base class's name
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(float(query.get("wait", ["0"])[0]))
        scheme = self.headers.get("X-Forwarded-Proto")
        told = f"<!-- called by {scheme} -->" if scheme else ""
        answer = f"<Response><Say>Huzzah!</Say>{told}</Response>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), App).serve_forever()
