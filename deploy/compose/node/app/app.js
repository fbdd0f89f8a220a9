const http = require("node:http");

const server = http.createServer((request, response) => {
  request.resume();
  response.setHeader("Content-Type", "application/xml");
  response.end("<Response><Say>Ahoy from Node!</Say></Response>");
});

server.listen(3000, "0.0.0.0");
process.on("SIGTERM", () => server.close());
