// A person approves held writes, or does not, in a client made of a TypeScript SDK, over stdio.
// Usage: node approvals.mjs sdk legacy | client legacy|auto|2026-07-28, with the binary in $PORTCULLIS.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { base, connect, defaultTimeout, end, error, isModern, log, name, seen } from "./sample.mjs";

const MISSING_REQUIRED_CLIENT_CAPABILITY = -32021;
const REMOVE = { method: "DELETE", path: "/items/7" };
const REPLACE = { method: "PUT", path: "/items/blue", body: { name: "b", n: 1.5 } };
const REMOVED = ["DELETE", "/items/7", ""];
const REPLACED = ["PUT", "/items/blue", '{"name":"b","n":1.5}'];

const accept = (content) => ({ action: "accept", content });
const YES = accept({ confirm: true });
const TYPED = accept({ confirm: "blue" });
const DECLINE = { action: "decline" };
const CANCEL = { action: "cancel" };
// Three refusals in a row would close writes.
const REMOVALS = [
  ...[DECLINE, accept(), YES],
  ...[accept({ confirm: false }), accept({}), YES],
  ...[CANCEL, accept({ confirm: "true" }), YES],
];
const REPLACEMENTS = [YES, accept({ confirm: "Blue" }), TYPED, accept(), DECLINE, TYPED];

// Gives one answer to every form: at once, after `pause` milliseconds, or (without an answer) never. Keeps the forms.
const person = { answer: undefined, pause: 0, forms: [], closed: 0 };
const answer = async (form, signal) => {
  person.forms.push(form);
  try {
    await sleep(person.answer ? person.pause : 60_000, undefined, { signal });
  } catch (aborted) {
    person.closed += 1;
    throw aborted;
  }
  if (person.answer instanceof Error) throw person.answer;
  return person.answer;
};

// The requests that a person approved.
const approved = [];

// Calls as an agent does; says what came of it, how often the person was asked, and what the API got of it.
const agent = (client) => {
  const call = async (args, answer, options) => {
    person.answer = answer;
    const [asked, before] = [person.forms.length, seen.length];
    const result = await client.call("api_send", args, options).catch((failed) => failed);
    return { result, asked: person.forms.length - asked, requests: seen.slice(before) };
  };
  const sends = async (args, yes, request, options) => {
    const { result, asked, requests } = await call(args, yes, options);
    assert.deepEqual({ asked, requests }, { asked: 1, requests: [request] }, JSON.stringify(result));
    assert.notEqual(result.isError, true);
    approved.push(request);
  };
  const isRefused = async (args, no) => {
    const { result, ...rest } = await call(args, no);
    assert.deepEqual(rest, { asked: 1, requests: [] }, JSON.stringify(no));
    assert.equal(error(result).code, "declined");
  };
  return { call, sends, isRefused };
};

const until = async (isTrue) => {
  for (const deadline = Date.now() + 10_000; !isTrue(); await sleep(10)) assert.ok(Date.now() < deadline);
};

// What the person sees: the request, and one required field.
const forms = async ({ sends, isRefused }) => {
  for (const [args, type, request] of [
    [REMOVE, "boolean", `DELETE ${base}/items/7`],
    [REPLACE, "string", `PUT ${base}/items/blue`],
  ]) {
    await isRefused(args, DECLINE);
    const { message, requestedSchema } = person.forms.at(-1);
    assert.ok(message.includes(request), message);
    const { title, ...rest } = requestedSchema.properties.confirm;
    assert.ok(title);
    assert.deepEqual([requestedSchema.required, Object.keys(requestedSchema.properties)], [["confirm"], ["confirm"]]);
    assert.deepEqual(rest, { type }, "nothing is agreed to beforehand");
  }
  await sends(REMOVE, YES, REMOVED);
};

// What goes out is what was approved, as often as it was.
const answers = async ({ sends, isRefused }) => {
  for (const [args, answers, yes, request] of [
    [REMOVE, REMOVALS, YES, REMOVED],
    [REPLACE, REPLACEMENTS, TYPED, REPLACED],
  ]) {
    for (const answer of answers) await (answer === yes ? sends(args, yes, request) : isRefused(args, answer));
  }
};

// The call was taken back by its id, the form is closed, and the log knows it.
const takenBack = async ({ sent }, closed) => {
  await until(() => person.closed === closed + 1);
  const ids = sent.filter(({ method }) => method === "tools/call").map(({ id }) => id);
  const cancelled = sent.filter(({ method }) => method === "notifications/cancelled");
  assert.equal(cancelled.at(-1).params.requestId, ids.at(-1));
  assert.equal(cancelled.length, closed + 1);
};

// The client's own timeout while the person thinks.
const outOfTime = async (client, { call, sends, isRefused }) => {
  if (isModern) {
    // No call is open meanwhile.
    person.pause = 1_500;
    await sends(REMOVE, YES, REMOVED, { timeout: 1_000 });
    person.pause = 0;
    return;
  }
  const { result, ...rest } = await call(REMOVE, undefined, { timeout: 1_000 });
  assert.match(result.message, /timed out/i);
  assert.deepEqual(rest, { asked: 1, requests: [] });
  await takenBack(client, 0);
  await isRefused(REMOVE, DECLINE);
  const [before, anew] = log("ask").slice(-2);
  assert.notEqual(before.code, anew.code, "the question went with its call");
  await sends(REMOVE, YES, REMOVED);
};

// The client's program gives the call up while the person thinks.
const givenUp = async (client, { call, sends }) => {
  const [shown, closed] = [person.forms.length, person.closed];
  const program = new AbortController();
  const called = call(REMOVE, undefined, { signal: program.signal });
  await until(() => person.forms.length === shown + 1);
  program.abort();
  const { result, ...rest } = await called;
  assert.ok(result instanceof Error, JSON.stringify(result));
  assert.deepEqual(rest, { asked: 1, requests: [] });
  await (isModern ? until(() => person.closed === closed + 1) : takenBack(client, closed));
  await sends(REMOVE, YES, REMOVED);
};

// A client that shows no form after all.
const broken = async ({ call }) => {
  const { result, ...rest } = await call(REMOVE, new Error("no screen"));
  assert.deepEqual(rest, { asked: 1, requests: [] });
  assert.ok(isModern ? result instanceof Error : error(result).approval.code);
};

// Who cannot be asked in the client is asked at the desk, or nowhere.
const nobody = async ({ call }) => {
  const { result, ...rest } = await call(REMOVE);
  const { code, message, approval } = error(result);
  assert.deepEqual({ code, ...rest }, { code: "approval_required", asked: 0, requests: [] });
  assert.match(approval.code, /^[A-Z2-9]{3}-[A-Z2-9]{3}$/);
  assert.ok(message.includes(approval.code), message);

  const { result: unable, ...none } = await call(REPLACE);
  assert.deepEqual(none, { asked: 0, requests: [] });
  if (isModern) return assert.equal(unable.code, MISSING_REQUIRED_CLIENT_CAPABILITY);
  assert.equal(error(unable).code, "approval_required");
  assert.equal(error(unable).approval, undefined);
};

const client = await connect({ capabilities: { elicitation: {} }, answer });
const calls = agent(client);
await forms(calls);
await answers(calls);
await outOfTime(client, calls);
await givenUp(client, calls);
await broken(calls);
await client.close();
for (const capabilities of [{}, { elicitation: { url: {} } }]) {
  const mute = await connect({ capabilities });
  await nobody(agent(mute));
  await mute.close();
}
assert.deepEqual(seen, approved);
assert.equal(log("question").filter(({ code }) => code === "cancelled").length, isModern ? 0 : 2);
end();
const timeout = isModern
  ? "is not out of time while the person thinks"
  : `takes the call back when its timeout (by default ${defaultTimeout / 1000} s) fires`;
console.log(`${name}: approves, declines, ${timeout}, is told where else to ask`);
