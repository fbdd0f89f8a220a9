// An Express app that checks with twilio.webhook(), once for each way of knowing its own URL, and
// WebSockets that check with validateRequest. It counts what it is asked.

const http = require("node:http");
const express = require("express");
const twilio = require("twilio");
const { WebSocketServer } = require("ws");

const token = process.env.TWILIO_AUTH_TOKEN;
const seen = { requests: 0, handshakes: 0, frames: 0 };

const app = express();
app.set("trust proxy", process.env.TRUST_PROXY === "off" ? false : "loopback");
app.get("/seen", (_, response) => response.json(seen)); // for the tests, which ask the app itself
app.use((_, __, next) => {
  seen.requests += 1;
  next();
});
app.use(express.urlencoded({ extended: false }));
app.use(express.json({ verify: (request, _, raw) => (request.rawBody = raw.toString()) }));

const say = (text) => (_, response) => {
  const answer = new twilio.twiml.VoiceResponse();
  answer.say(text);
  response.type("text/xml").send(answer.toString());
};

// Host as it arrives; only the scheme has to be told.
app.all("/voice", twilio.webhook({ protocol: "https" }), say("Ahoy from Express"));
app.post("/events", twilio.webhook({ protocol: "https" }), (request, response) => {
  response.json({ events: request.body.length });
});
// Scheme by X-Forwarded-Proto of a proxy in front.
app.all("/trusting", twilio.webhook(), say("Ahoy from behind a proxy"));
// Host was rewritten on the way.
app.all("/named", twilio.webhook({ protocol: "https", host: process.env.PUBLIC_HOST }), say("Ahoy by name"));
// Scheme and host as a proxy in front tells them.
app.all(
  "/told",
  (request, response, next) => twilio.webhook({ host: request.hostname })(request, response, next),
  say("Ahoy by the name of the day"),
);
// A prefix of the path was stripped on the way.
app.all(
  "/prefixed",
  (request, response, next) =>
    twilio.webhook({ url: `https://${process.env.PUBLIC_HOST}/prefix${request.originalUrl}` })(request, response, next),
  say("Ahoy from under a prefix"),
);
app.get("/health", (_, response) => response.json({ well: true }));

const server = http.createServer(app);
const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] });

server.on("upgrade", (request, socket, head) => {
  seen.handshakes += 1;
  const path = request.url.split("?")[0];
  if (path === "/ws/busy") {
    const text = "no line is free";
    socket.end(`HTTP/1.1 409 Conflict\r\nX-Reason: busy\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`);
    return;
  }
  const url = `wss://${process.env.PUBLIC_HOST}${request.url}`;
  const signature = request.headers["x-twilio-signature"];
  if (!path.startsWith("/open/") && !twilio.validateRequest(token, signature, url, {})) {
    socket.end("HTTP/1.1 403 Forbidden\r\nX-Refused-By: app\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    return;
  }
  sockets.handleUpgrade(request, socket, head, (peer) => {
    (path === "/media-stream" ? mediaStream : echo)(peer);
  });
});

// Text and binary come back as they came; "close CODE REASON" closes.
function echo(peer) {
  peer.on("message", (data, binary) => {
    seen.frames += 1;
    const [, code, reason] = (!binary && /^close (\d+) (.*)$/.exec(data.toString())) || [];
    if (code) peer.close(Number(code), reason);
    else peer.send(data, { binary });
  });
}

// A Media Streams agent that says what it hears, and at the end how many frames it heard in order.
function mediaStream(peer) {
  let heard = 0;
  peer.on("message", (data) => {
    const message = JSON.parse(data.toString());
    const { event, streamSid } = message;
    if (event === "media") {
      seen.frames += 1;
      if (Number(message.media.chunk) === heard + 1) heard += 1;
      peer.send(JSON.stringify({ event, streamSid, media: { payload: message.media.payload } }));
    } else if (event === "stop") {
      peer.send(JSON.stringify({ event: "mark", streamSid, mark: { name: `heard ${heard}` } }));
    }
  });
}

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify(server.address())));
