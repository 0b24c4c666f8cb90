// Strip the types from TypeScript programs until the end of input. Each message in either direction is preceded by its
// length in four bytes, big-endian. Out: a status byte, 0 for success, and JavaScript; first of all "ready".
'use strict';
const fs = require('node:fs');
const { stripTypeScriptTypes } = require('node:module');
const FD = 0;

function read(size) {
  const buffer = Buffer.alloc(size);
  let done = 0;
  while (done < size) {
    const count = fs.readSync(FD, buffer, done, size - done, null);
    if (count === 0) process.exit(0);
    done += count;
  }
  return buffer;
}

function write(buffer) {
  let done = 0;
  while (done < buffer.length) done += fs.writeSync(FD, buffer, done, buffer.length - done);
}

function strip(code) {
  try {
    return stripTypeScriptTypes(code, { mode: 'strip' });
  } catch (error) {
    if (error.code !== 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') throw error;
    return stripTypeScriptTypes(code, { mode: 'transform', sourceMap: false });
  }
}

function send(status, text) {
  const body = Buffer.from(text, 'utf8');
  const head = Buffer.alloc(5);
  head.writeUInt32BE(1 + body.length, 0);
  head.writeUInt8(status, 4);
  write(Buffer.concat([head, body]));
}

process.removeAllListeners('warning');
send(0, 'ready');
for (;;) {
  const code = read(read(4).readUInt32BE(0)).toString('utf8');
  let [status, text] = [0, ''];
  try {
    text = strip(code);
  } catch {
    status = 1;
  }
  send(status, text);
}
