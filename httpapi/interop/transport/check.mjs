// node check.mjs http://localhost:8080
//
// The AI SDK's own chat, in each version, over HubChatTransport against a running hub. Connections are cut at random
// while replies stream; what the chat holds in the end must be what the hub holds.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import WebSocket from 'ws';

const [hub] = process.argv.slice(2);
const { HubChatTransport } = await import('data:text/javascript,' + encodeURIComponent(await (await fetch(hub + '/transport.js')).text()));
const versions = Object.keys(JSON.parse(readFileSync(new URL('package.json', import.meta.url))).dependencies).filter((name) => name.startsWith('ai-'));

/** A WebSocket that breaks after a few messages, as long as it is told to. */
class Shaky extends WebSocket {
  static cuts = 0;
  static seed = 1;
  constructor(...args) {
    super(...args);
    Shaky.seed = (Shaky.seed * 48271) % 2147483647;
    let left = 3 + (Shaky.seed % 7);
    this.on('message', () => {
      if (Shaky.cuts > 0 && --left === 0) {
        Shaky.cuts--;
        this.terminate();
      }
    });
  }
}

const text = (message) => message.parts.map((part) => part.text ?? '').join('');
/** Waits until the n-th message has some text. */
const written = async (chat, n) => {
  while (!chat.messages[n - 1] || !text(chat.messages[n - 1])) await new Promise(setImmediate);
};
const session = async (id) => (await fetch(`${hub}/sessions/${id}`)).json();

for (const version of versions) {
  const { AbstractChat } = await import(version);
  class Chat extends AbstractChat {
    constructor(id, transport, messages = []) {
      const state = {
        status: 'ready', error: undefined, messages,
        pushMessage: (m) => (state.messages = [...state.messages, m]),
        popMessage: () => (state.messages = state.messages.slice(0, -1)),
        replaceMessage: (i, m) => (state.messages = state.messages.with(i, m)),
        snapshot: structuredClone,
      };
      super({ id, transport, state, onError: (error) => { throw error; } });
    }
  }
  const open = () => new HubChatTransport({ url: hub, WebSocket: Shaky });
  const same = async (chat, id) => {
    assert.equal(chat.error, undefined, `${version}: ${chat.error}`);
    assert.deepEqual(chat.messages.map((m) => [m.role, text(m)]), (await session(id)).messages.map((m) => [m.role, m.content]), version);
    for (const m of chat.messages) assert.equal(m.parts.filter((p) => p.type === 'text').length, 1, version);
  };

  // The first message makes the conversation of that id; drops are not noticed.
  const id = crypto.randomUUID();
  const transport = open();
  const chat = new Chat(id, transport);
  await chat.sendMessage({ text: 'I am unhappy about my code.' });
  await same(chat, id);
  assert.equal(chat.messages[1].metadata.finish_reason, 'stop');
  Shaky.cuts = 3;
  await chat.sendMessage({ text: 'My mother never liked computers, and I dreamt of them.' });
  await same(chat, id);
  assert.ok(Shaky.cuts < 3, `${version}: the connection was not cut`);
  Shaky.cuts = 0;

  // The last reply anew, an older one anew (which cuts what follows), an edit.
  await chat.regenerate();
  await same(chat, id);
  assert.equal(chat.messages.length, 4);
  await chat.regenerate({ messageId: chat.messages[1].id });
  await same(chat, id);
  assert.equal(chat.messages.length, 2);
  await chat.sendMessage({ text: 'I am happy after all.', messageId: chat.messages[0].id });
  await same(chat, id);
  assert.equal(text(chat.messages[0]), 'I am happy after all.');

  // stop() ends the model's work, not only the view of it.
  const stopped = chat.sendMessage({ text: 'Tell me more.' });
  await written(chat, 4);
  await chat.stop();
  await stopped;
  let last;
  do last = (await session(id)).messages.at(-1); while (last.role !== 'assistant');
  assert.equal(last.finish_reason, 'stopped', version);
  assert.ok(last.content.startsWith(text(chat.messages.at(-1))), version);

  // A page that loads in mid-reply goes on with it, and shows no text twice.
  const asked = chat.sendMessage({ text: 'Are you a computer?' });
  await written(chat, 6);
  transport.close();
  const later = open();
  const again = new Chat(id, later, chat.messages.slice(0, -1));
  Shaky.cuts = 2;
  await again.resumeStream();
  assert.equal(text(again.messages.at(-1)), (await session(id)).messages.at(-1).content, version);
  assert.equal(again.messages.at(-1).parts.filter((p) => p.type === 'text').length, 1, version);
  assert.equal(await later.reconnectToStream({ chatId: id }), null);
  assert.equal(await later.reconnectToStream({ chatId: crypto.randomUUID() }), null);
  void asked;

  // An id of the SDK's own making.
  const own = open();
  const free = new Chat('not-a-uuid', own);
  await free.sendMessage({ text: 'Hello' });
  await free.sendMessage({ text: 'Bye' });
  await same(free, own.conversationOf('not-a-uuid'));
  Shaky.cuts = 0;
  own.close();
  later.close();
  console.log(version, 'ok');
}
