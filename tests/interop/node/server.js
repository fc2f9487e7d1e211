// An echo server on ws that checks Origin against Host as a careful application would, and
// serves the browser's page. Prints the same JSON lines as go-server.
//
//   node server.js [PAGE]        (NODE_PATH points to where ws is installed)
'use strict';
const fs = require('fs');
const http = require('http');
const { WebSocketServer } = require('ws');

const say = (fields) => process.stdout.write(JSON.stringify(fields) + '\n');
const page = process.argv[2] && fs.readFileSync(process.argv[2]);

const server = http.createServer((request, response) => {
  if (request.url === '/report') {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      say({ event: 'report', body: JSON.parse(Buffer.concat(parts).toString()) });
      response.end();
    });
    return;
  }
  response.writeHead(page ? 200 : 404, { 'Content-Type': 'text/html; charset=utf-8' });
  response.end(page || '');
});

const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: 64 * 1024 * 1024,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (protocols) => (protocols.has('chat') ? 'chat' : false),
});

server.on('upgrade', (request, socket, head) => {
  const { host, origin } = request.headers;
  say({
    event: 'handshake',
    host,
    origin: origin || '',
    extensions: request.headers['sec-websocket-extensions'] || '',
    protocols: request.headers['sec-websocket-protocol'] || '',
  });
  if (origin && new URL(origin).host !== host) {
    say({ event: 'refused', error: `origin ${origin} is not ${host}` });
    socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  sockets.handleUpgrade(request, socket, head, (ws) => {
    ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
    ws.on('close', (code) => say({ event: 'closed', code }));
    ws.on('error', () => {});
  });
});

server.listen(0, '127.0.0.1', () => say({ event: 'listening', port: server.address().port }));
