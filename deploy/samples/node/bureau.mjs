/*
 * A bureau's client with amqplib and jose: copy it, it imports nothing of Zhida's.
 *
 *   node bureau.mjs SHEET receive STORE [--idle SECONDS]   take what waits, each event once, into STORE
 *   node bureau.mjs SHEET gaps STORE                       numbers that never came
 *   node bureau.mjs SHEET replay --since 2026-11-01 [--type entitlement.*]
 *   node bureau.mjs SHEET death --certificate GA-1 --died-on 2026-10-20 --division 421083108007
 *                                                          (the identity number on stdin)
 *   node bureau.mjs SHEET refusals                         what was not taken, and why
 *
 * SHEET is the connection sheet (JSON). STORE is a file of one event a line. Prints JSON lines.
 */

import { randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";

import amqp from "amqplib";
import { CompactEncrypt, importJWK } from "jose";

const PREFETCH = 200;
/** Type of the message that ends a replay; no event. */
const FINISHED = "zhida.replay_finished";

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

/** What was stored before. */
function stored(store) {
  if (!existsSync(store)) return [];
  return readFileSync(store, "utf-8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/**
 * Store each event once, then acknowledge; end when nothing came for so many seconds.
 *
 * Deliveries repeat (a broken connection, a replay), so what is known by its id is left out. An
 * event is acknowledged only once it is safely stored: killed at any moment, nothing is lost.
 */
async function receive(sheet, store, idleSeconds) {
  const known = new Set(stored(store).map((event) => event.id));
  const file = openSync(store, "a");
  const connection = await amqp.connect(sheet.amqp_uri, { heartbeat: 30 });
  const channel = await connection.createChannel();
  await channel.prefetch(PREFETCH);
  let count = 0;
  let last = Date.now();
  await channel.consume(sheet.queue, (message) => {
    if (message === null) throw new Error("the queue is gone");
    last = Date.now();
    const { headers, type } = message.properties;
    const id = headers["cloudEvents:id"];
    if (type === FINISHED) {
      say({ replayed: JSON.parse(message.content) });
    } else if (!known.has(id)) {
      const event = {
        id,
        type: headers["cloudEvents:type"],
        source: headers["cloudEvents:source"],
        time: headers["cloudEvents:time"],
        sequence: headers["cloudEvents:sequence"],
        replayed: "x-replayed-for" in headers,
        data: JSON.parse(message.content),
      };
      writeSync(file, JSON.stringify(event) + "\n");
      fsyncSync(file);
      known.add(id);
      count += 1;
    }
    channel.ack(message);
  });
  while (Date.now() - last < idleSeconds * 1000) await pause(100);
  await channel.close(); // what was acknowledged is on its way before this returns
  await connection.close();
  closeSync(file);
  return count;
}

/**
 * Numbers that are missing between the first and the last that came, per type and county.
 *
 * Only who sees whole counties can tell: a town's events are some of its county's numbers. Answers
 * to one bureau (bureau_event.…) are numbered among those to others and are left out.
 */
function gaps(store) {
  const series = new Map();
  for (const { type, sequence } of stored(store)) {
    if (type.startsWith("bureau_event.")) continue;
    const [county, number] = sequence.split(":");
    const key = `${type} ${county}`;
    if (!series.has(key)) series.set(key, new Set());
    series.get(key).add(Number(number));
  }
  const found = [];
  for (const [key, numbers] of [...series].sort()) {
    const [type, county] = key.split(" ");
    const missing = [];
    for (let n = Math.min(...numbers); n < Math.max(...numbers); n += 1) {
      if (!numbers.has(n)) missing.push(n);
    }
    if (missing.length) found.push({ type, county, missing });
  }
  return found;
}

/** The number for registry's eyes alone. It is sent in no other form. */
async function sealed(sheet, number) {
  const key = await importJWK(sheet.public_key, "ECDH-ES");
  return new CompactEncrypt(new TextEncoder().encode(number))
    .setProtectedHeader({ alg: "ECDH-ES", enc: "A256GCM", kid: sheet.public_key.kid })
    .encrypt(key);
}

/**
 * Publish an event and wait until the broker has it; sent again under the same id if not.
 *
 * What comes of it is said by bureau_event.accepted.v1 in the queue or by a refusal.
 */
async function send(sheet, event, division, body) {
  const name = `${sheet.bureau}.${event}`;
  const id = randomUUID();
  const words = [[0, 2], [2, 4], [4, 6], [6, 9], [9, 12]].map(([from, to]) => division.slice(from, to));
  const key = [name, ...words.filter(Boolean)].join(".");
  for (const seconds of [1, 5, 25, null]) {
    try {
      await publish(sheet, key, id, name, body);
      return { event_id: id, confirmed_at: Date.now() / 1000 };
    } catch (trouble) {
      process.stderr.write(`${trouble}\n`); // away, busy or refused: say which, try again
      if (seconds === null) throw trouble;
      await pause(seconds * 1000);
    }
  }
}

async function publish(sheet, key, id, name, body) {
  const connection = await amqp.connect(sheet.amqp_uri, { heartbeat: 30 });
  try {
    const channel = await connection.createConfirmChannel();
    await new Promise((done, fail) => {
      channel.on("error", fail); // no right to do this: the broker closes the channel
      connection.on("error", fail);
      channel.on("return", () => fail(new Error("no queue takes this event")));
      channel.publish(
        sheet.exchange,
        key,
        Buffer.from(JSON.stringify(body)),
        {
          contentType: "application/json",
          contentEncoding: "utf-8",
          persistent: true,
          mandatory: true,
          userId: sheet.user_id,
          messageId: id,
          headers: {
            "cloudEvents:specversion": "1.0",
            "cloudEvents:id": id,
            "cloudEvents:source": `/${sheet.bureau}`,
            "cloudEvents:type": name,
            "cloudEvents:time": new Date().toISOString(),
          },
        },
        (refused) => (refused ? fail(refused) : done()),
      );
    });
  } finally {
    await connection.close().catch(() => {});
  }
}

/** Print and take what was refused. */
async function refusals(sheet) {
  const connection = await amqp.connect(sheet.amqp_uri, { heartbeat: 30 });
  const channel = await connection.createChannel();
  for (let message; (message = await channel.get(sheet.refusals)); ) {
    say(JSON.parse(message.content));
    channel.ack(message);
  }
  await channel.close();
  await connection.close();
}

async function main() {
  const { positionals, values: given } = parseArgs({
    allowPositionals: true,
    options: {
      idle: { type: "string", default: "5" },
      since: { type: "string" },
      type: { type: "string", multiple: true, default: [] },
      certificate: { type: "string" },
      "died-on": { type: "string" },
      division: { type: "string" },
    },
  });
  const [file, command, store] = positionals;
  const sheet = JSON.parse(readFileSync(file, "utf-8"));
  if (command === "receive") {
    say({ stored: await receive(sheet, store, Number(given.idle)) });
  } else if (command === "gaps") {
    gaps(store).forEach(say);
  } else if (command === "replay") {
    const body = { division: sheet.division, from_date: given.since, types: given.type };
    say(await send(sheet, "replay_requested.v1", sheet.division, body));
  } else if (command === "death") {
    const number = readFileSync(0, "utf-8").trim();
    const body = {
      certificate_no: given.certificate,
      division: given.division,
      identity_number: await sealed(sheet, number),
      died_on: given["died-on"],
    };
    say(await send(sheet, "death_registered.v1", given.division, body));
  } else if (command === "refusals") {
    await refusals(sheet);
  } else {
    throw new Error(`unknown command ${command}`);
  }
}

await main();
