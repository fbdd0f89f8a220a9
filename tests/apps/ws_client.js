// The `ws` client before the gate: does what each argument says and prints what came of it, as JSON.

const { WebSocket } = require("ws");

const { port, host, calls } = JSON.parse(process.argv[2]);

// path, headers, protocols, send: [[kind, text or size]…]; resolves to what was got back.
function call({ path, headers, protocols, send }) {
  return new Promise((resolve) => {
    const got = { messages: [] };
    const peer = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols ?? [], {
      headers: { Host: host, ...headers },
      handshakeTimeout: 10_000,
    });
    const wanted = send.filter(([kind]) => kind !== "close").length;
    const isDone = () => got.messages.length === wanted && send.every(([kind]) => kind !== "close");
    peer.on("unexpected-response", (_, response) => {
      const { socket } = response;
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        const body = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode, headers: response.headers, body });
        socket.destroy();
      });
    });
    peer.on("open", () => {
      got.protocol = peer.protocol;
      for (const [kind, what] of send) {
        if (kind === "ping") peer.ping(what);
        else if (kind === "binary") peer.send(Buffer.from(Array.from({ length: what }, (_, index) => index % 251)));
        else peer.send(kind === "close" ? `close ${what}` : what);
      }
    });
    const keep = (kind, what) => {
      got.messages.push([kind, what]);
      if (isDone()) peer.close(1000, "done");
    };
    peer.on("pong", (data) => keep("ping", data.toString()));
    peer.on("message", (data, binary) => {
      const isSame = binary && data.every((byte, index) => byte === index % 251);
      keep(binary ? "binary" : "text", binary ? (isSame ? data.length : "changed") : data.toString());
    });
    peer.on("close", (code, reason) => resolve({ ...got, code, reason: reason.toString() }));
    peer.on("error", (error) => resolve({ ...got, error: error.message }));
  });
}

Promise.all(calls.map(call)).then((answers) => console.log(JSON.stringify(answers)));
