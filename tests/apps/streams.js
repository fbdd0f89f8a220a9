// Many Media Streams at once through the gate: every frame is counted at both ends, and compared.
//
// Twilio sends 20 ms of audio a frame. When the machine is too slow for that, the streams take longer
// than `seconds`, but send as many frames.

const { WebSocket } = require("ws");

const { port, host, path, signature, streams, seconds } = JSON.parse(process.argv[2]);
const FRAMES = seconds * 50;
const PERIOD = 20;

const payloadOf = (stream, chunk) => Buffer.alloc(160, `${stream}.${chunk}.`).toString("base64");
const sidOf = (stream) => `MZ${String(stream).padStart(32, "0")}`;

function run(stream) {
  return new Promise((resolve) => {
    const got = { sent: 0, back: 0, wrong: 0, heard: null, code: null };
    const streamSid = sidOf(stream);
    const peer = new WebSocket(`ws://127.0.0.1:${port}${path}`, {
      headers: { Host: host, "x-twilio-signature": signature },
      perMessageDeflate: false,
    });
    const say = (message) => peer.send(JSON.stringify(message));
    let timer;
    peer.on("open", () => {
      say({ event: "connected", protocol: "Call", version: "1.0.0" });
      say({ event: "start", sequenceNumber: "1", start: { streamSid, tracks: ["inbound"] }, streamSid });
      const began = performance.now() + (stream % PERIOD); // not all in the same millisecond
      timer = setInterval(() => {
        while (got.sent < FRAMES && got.sent * PERIOD <= performance.now() - began) {
          got.sent += 1;
          const chunk = String(got.sent);
          const media = { track: "inbound", chunk, timestamp: String(got.sent * PERIOD), payload: payloadOf(stream, chunk) };
          say({ event: "media", sequenceNumber: String(got.sent + 1), media, streamSid });
        }
        if (got.sent === FRAMES) {
          clearInterval(timer);
          say({ event: "stop", sequenceNumber: String(FRAMES + 2), stop: {}, streamSid });
        }
      }, PERIOD);
    });
    peer.on("message", (data) => {
      const message = JSON.parse(data.toString());
      if (message.event === "mark") {
        got.heard = Number(message.mark.name.split(" ")[1]);
        peer.close(1000, "hung up");
      } else {
        got.back += 1;
        const isRight = message.streamSid === streamSid && message.media.payload === payloadOf(stream, got.back);
        if (!isRight) got.wrong += 1;
      }
    });
    peer.on("unexpected-response", (_, response) => resolve({ ...got, error: `answered ${response.statusCode}` }));
    peer.on("error", (error) => resolve({ ...got, error: error.message }));
    peer.on("close", (code) => {
      clearInterval(timer);
      resolve({ ...got, code });
    });
  });
}

const began = performance.now();
Promise.all(Array.from({ length: streams }, (_, stream) => run(stream))).then((all) => {
  console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000, all }));
  process.exit();
});
