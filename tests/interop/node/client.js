// The common client exercise on ws: see tests/interop/README.md.
//
//   node client.js URL ORIGIN    (NODE_PATH points to where ws is installed)
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const WebSocket = require('ws');

const [url, origin] = process.argv.slice(2);
const ws = new WebSocket(url, ['v2.unknown', 'chat'], { origin, handshakeTimeout: 10000 });
const once = (event) => new Promise((resolve) => ws.once(event, (...values) => resolve(values)));
setTimeout(() => { console.error('no end within 20 s'); process.exit(1); }, 20000).unref();

ws.once('unexpected-response', (_request, response) => {
  console.error(`handshake refused: status ${response.statusCode}`);
  process.exit(3);
});
ws.once('error', (error) => { console.error(String(error)); process.exit(1); });

async function exchange(message) {
  ws.send(message);
  const [data, isBinary] = await once('message');
  assert.strictEqual(isBinary, Buffer.isBuffer(message));
  assert.ok(Buffer.from(message).equals(data), `${message.length} bytes came back changed`);
}

async function run() {
  await once('open');
  await exchange('hello');
  await exchange('');
  await exchange('compressible '.repeat(80660));
  await exchange(Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
  await exchange(crypto.randomBytes(1 << 20));
  ws.ping('are you there');
  const [pong] = await once('pong');
  assert.strictEqual(pong.toString(), 'are you there');
  ws.close(4001, 'done');
  const [code] = await once('close');
  console.log(JSON.stringify({ subprotocol: ws.protocol, extensions: ws.extensions, close_code: code }));
}

run().catch((error) => { console.error(error); process.exit(1); });
