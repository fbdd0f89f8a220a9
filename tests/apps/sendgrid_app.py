"""A Flask application that verifies SendGrid's requests with SendGrid's own library."""

import os

from flask import Flask, request
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

app = Flask(__name__)


@app.route("/events", methods=["POST"])
@app.route("/mail", methods=["POST"])
def events():
    webhook = EventWebhook(os.environ["SENDGRID_KEY"])
    signature = request.headers.get(EventWebhookHeader.SIGNATURE, "")
    timestamp = request.headers.get(EventWebhookHeader.TIMESTAMP, "")
    # The raw body, before anything parses it.
    body = request.get_data().decode()
    if not webhook.verify_signature(body, signature, timestamp):
        return "not signed", 401
    return f"SendGrid signed {len(request.get_data())} bytes"
