// Serves the pages on port 8080.
const http = require("node:http");
const { page } = require("./pages");

http
  .createServer((request, response) => {
    const html = page(request.url.slice(1) || "index");
    response.writeHead(html ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
    response.end(html ?? "not found\n");
  })
  .listen(8080);
