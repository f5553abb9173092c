// Receives webhooks with Node alone (20 or newer): verifies each, and takes each change once.
//
//     WEBHOOK_SECRET=whsec_… node examples/receive_webhooks.mjs 9000
//
// prints a line for each change. See docs/webhooks.md.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const TOLERANCE_SECONDS = 5 * 60;
const MAX_BODY = 1024 * 1024;
const REMEMBERED = 10_000;

/** The id of a message that bears a signature by the secret (Standard Webhooks); throws for any other. */
export function verify(secret, headers, body, now = Date.now() / 1000) {
  const id = headers['webhook-id'];
  const sentAt = headers['webhook-timestamp'];
  if (!id || !/^\d+$/.test(sentAt ?? '')) throw new Error('no message of a webhook');
  if (Math.abs(now - Number(sentAt)) > TOLERANCE_SECONDS) throw new Error('too old, or the clocks differ');
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const signed = Buffer.concat([Buffer.from(`${id}.${sentAt}.`), body]);
  const expected = Buffer.from(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
  // several while a secret is replaced
  const given = (headers['webhook-signature'] ?? '').split(' ').map((one) => Buffer.from(one));
  if (!given.some((one) => one.length === expected.length && timingSafeEqual(one, expected))) {
    throw new Error('no signature by this secret');
  }
  return id;
}

/** A server that answers 204 to what it has taken, also before; 401 to what is not verified. */
export function receiver(secret, take) {
  const seen = new Set();
  return createServer((request, response) => {
    const answer = (status) => response.writeHead(status, { 'content-length': 0 }).end();
    const parts = [];
    let length = 0;
    request.on('data', (part) => {
      length += part.length;
      if (length > MAX_BODY) return request.destroy();
      parts.push(part);
    });
    request.on('end', () => {
      const body = Buffer.concat(parts);
      let id;
      try {
        id = verify(secret, request.headers, body);
      } catch {
        return answer(401);
      }
      if (!seen.has(id)) {
        seen.add(id);
        if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
        take(JSON.parse(body));
      }
      answer(204);
    });
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const take = ({ type, data }) => console.log(type, data.entity_type ?? '', data.entity_id ?? '');
  receiver(process.env.WEBHOOK_SECRET ?? '', take).listen(Number(process.argv[2] ?? 9000), '127.0.0.1');
}
