"""A Flask app that checks signatures over `request.url`, as Twilio's examples do, with Flask's own server.

PROXY_FIX=1 makes it believe the scheme and host that one proxy in front states.
"""

import os

from flask import Flask, Response, request
from twilio.request_validator import RequestValidator
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
if os.environ.get("PROXY_FIX"):
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)
validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])


@app.route("/trusting", methods=["GET", "POST"])
def trusting():
    signature = request.headers.get("X-Twilio-Signature", "")
    if not validator.validate(request.url, request.form, signature):
        return Response("refused by the app", 403)
    return Response("<Response><Say>Ahoy by the app's own URL</Say></Response>", mimetype="application/xml")
