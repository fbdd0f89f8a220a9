"""The apps, each started once, and a gate before each."""

import json

import pytest
from running import BIN, CACHE, HOST, TOKEN, Gate, Process, accepts, ask, free_port, guarded
from weather_api import WeatherApi


@pytest.fixture(scope="session")
def weather_api():
    api = WeatherApi()
    yield api
    api.stop()


class Flask(Process):
    """The article's application under gunicorn, which logs a line for each request."""

    def __init__(self, weather_api):
        self.port = free_port()
        bind, log = f"127.0.0.1:{self.port}", "--access-logfile=-"
        variables = {"TWILIO_AUTH_TOKEN": TOKEN, "WEATHER_API": weather_api.url, "WEATHER_API_KEY": "none"}
        super().__init__(BIN / "gunicorn", "flask_app:app", "--bind", bind, "--threads=4", "--no-control-socket", log, **variables)
        self.wait_for(lambda: accepts(self.port), "gunicorn")

    def requests(self):
        return sum('"TwilioProxy/1.1"' in line for line in list(self.lines))


class Express(Process):
    """The Express application, which reports the requests that it received."""

    def __init__(self, **more):
        variables = {**more, "TWILIO_AUTH_TOKEN": TOKEN, "PUBLIC_HOST": HOST, "NODE_PATH": str(CACHE / "node_modules")}
        super().__init__("node", "express_app.js", **variables)
        self.port = json.loads(self.first_line())["port"]

    def seen(self):
        return json.loads(ask(self.port, "GET", "/seen").text)


class Validating(Process):
    """A Flask app that checks signatures over its own `request.url`."""

    def __init__(self, **more):
        self.port = free_port()
        command = (BIN / "flask", "--app", "validating_app", "run", "--port", self.port)
        super().__init__(*command, TWILIO_AUTH_TOKEN=TOKEN, **more)
        self.wait_for(lambda: accepts(self.port), "flask")


@pytest.fixture(scope="session")
def flask(weather_api):
    with Flask(weather_api) as app:
        yield app


@pytest.fixture(scope="session")
def express():
    with Express() as app:
        yield app


@pytest.fixture
def before_flask(flask, tmp_path):
    with Gate(tmp_path, guarded(flask.port)) as gate:
        yield gate


@pytest.fixture
def before_express(express, tmp_path):
    public = '[[route]]\npath = "/*"\n[[route]]\npath = "/health"\naccess = "public"\n'
    sockets = '[[route]]\npath = "/open/*"\naccess = "public"\n'
    with Gate(tmp_path, guarded(express.port, public + sockets)) as gate:
        yield gate
