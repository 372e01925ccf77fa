// The npm package eventsource against GET /sessions/{id}/stream.
import assert from 'node:assert/strict';
import { EventSource } from 'eventsource';
import { answer, cut, cuts, hub, line, open, play, reached, scenario, until } from '../harness.mjs';

const newSession = async () => (await (await fetch(`${hub}/sessions`, { method: 'POST' })).json()).id;

/** Follows the reply of a session through the breakable line, until the hub says that there is no more. */
function follow(id) {
  const source = new EventSource(`${line}/sessions/${id}/stream`);
  const seen = { text: '', types: [], done: 0, opened: 0, source };
  source.onopen = () => { seen.opened++; };
  source.onmessage = ({ data }) => {
    if (data === '[DONE]') return void seen.done++;
    const chunk = JSON.parse(data);
    if (chunk.type === 'text-delta') seen.text += chunk.delta;
    else seen.types.push(chunk.type);
    if (chunk.type === 'start') seen.text = ''; // a reply that begins anew
  };
  return seen;
}

const tokens = Array.from({ length: 60 }, (_, i) => ` nâch ${i} 👋`);
const whole = ['start', 'text-start', 'text-end', 'finish'];

async function say(id, message) {
  const response = await fetch(`${hub}/chat`, {
    method: 'POST', headers: { accept: 'text/event-stream' }, body: JSON.stringify({ message, conversation_id: id }),
  });
  assert.equal(response.status, 200);
  await response.body.cancel();
}

for (const at of [1, 30]) {
  scenario(`the connection is cut behind ${at} tokens`, async () => {
    const id = await newSession();
    const question = `cut at ${at}`;
    await answer(question, tokens, { hold: at });
    await say(id, question);
    await reached(question);
    const seen = follow(id);
    await until('the beginning comes', () => seen.text === tokens.slice(0, at).join(''));
    await cut();
    await until('it has come back', () => seen.opened === 2);
    await open(question);
    await until('the hub says 204', () => seen.source.readyState === EventSource.CLOSED);
    assert.equal(seen.text, tokens.join(''));
    assert.deepEqual(seen.types, whole);
    assert.equal(seen.done, 1);
  });
}

scenario('connections that break at any byte', async () => {
  const id = await newSession();
  await answer('break', tokens, { hold: 50 });
  await say(id, 'break');
  await reached('break');
  const before = await cuts();
  await cut(900, 1500); // the next two, each in the midst of an event
  const seen = follow(id);
  await until('both have broken', async () => (await cuts()) >= before + 2);
  await open('break');
  await until('the hub says 204', () => seen.source.readyState === EventSource.CLOSED);
  assert.equal(seen.text, tokens.join(''));
  assert.deepEqual(seen.types.slice(seen.types.lastIndexOf('start')), whole);
});

await play();
