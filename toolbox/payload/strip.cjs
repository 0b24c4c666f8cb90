// Take the types out of TypeScript, one program after the other: a length and a program in, a status, a length and
// JavaScript out, until the end of input.
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

process.removeAllListeners('warning');
for (;;) {
  const code = read(read(4).readUInt32LE(0)).toString('utf8');
  let [status, text] = [0, ''];
  try {
    text = strip(code);
  } catch {
    status = 1;
  }
  const body = Buffer.from(text, 'utf8');
  const head = Buffer.alloc(5);
  head.writeUInt8(status, 0);
  head.writeUInt32LE(body.length, 1);
  write(Buffer.concat([head, body]));
}
