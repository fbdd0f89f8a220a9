"""The weather API of the tests: knows one place, counts its calls."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

ANSWERS = {
    "/geo/1.0/direct": [{"name": "San Francisco", "state": "California", "lat": 37.77, "lon": -122.42}],
    "/data/2.5/weather": {"main": {"temp": 61.3}},
}


class WeatherApi:
    def __init__(self):
        self.calls = 0
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self._server.server_port

    def _handler(api):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with api._lock:
                    api.calls += 1
                body = json.dumps(ANSWERS[self.path.split("?")[0]]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
