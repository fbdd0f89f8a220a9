// Adds what SendGrid's Node library answers to the vectors on stdin, and prints one vector per line.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { EventWebhook } = createRequire(new URL(".cache/", import.meta.url))("@sendgrid/eventwebhook");

// The body as bytes: the library's documentation says to keep it raw.
function answer({ key, signature, timestamp, body_b64 }) {
  const library = new EventWebhook();
  try {
    const body = Buffer.from(body_b64, "base64");
    return library.verifySignature(library.convertPublicKeyToECDSA(key), body, signature, timestamp);
  } catch (error) {
    return error.name;
  }
}

const vectors = JSON.parse(readFileSync(0, "utf8"));
const lines = vectors.map(({ id, valid, python, ...rest }) =>
  JSON.stringify({ id, valid, python, node: answer(rest), ...rest }),
);
console.log(`[\n${lines.join(",\n")}\n]`);
