// A Node application that verifies SendGrid's requests with SendGrid's own library.
const http = require("node:http");
const { EventWebhook, EventWebhookHeader } = require("@sendgrid/eventwebhook");

const webhook = new EventWebhook();
const key = webhook.convertPublicKeyToECDSA(process.env.SENDGRID_KEY);

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const header = (name) => request.headers[name.toLowerCase()] ?? "";
    const body = Buffer.concat(chunks);
    const [signature, timestamp] = [EventWebhookHeader.SIGNATURE(), EventWebhookHeader.TIMESTAMP()].map(header);
    let signed = false;
    try {
      signed = webhook.verifySignature(key, body, signature, timestamp);
    } catch {
      // not base64, or no signature
    }
    response.statusCode = signed ? 200 : 401;
    response.end(signed ? `SendGrid signed ${body.length} bytes` : "not signed");
  });
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
