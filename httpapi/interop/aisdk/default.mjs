// useChat's default transport, of the version that is named, against /api/chat.
import assert from 'node:assert/strict';
import { answer, args, asked, cut, hub, line, open, play, reached, scenario, stored, until } from '../harness.mjs';
import { chats, lastText, pieces, text, texts } from './chat.mjs';

const sdk = await import(args[0]);
const { page, reload } = chats(sdk);
const newID = () => crypto.randomUUID();
const fine = (chat) => {
  assert.equal(chat.error, undefined);
  assert.equal(chat.status, 'ready');
};

const odd = ['Grüße', ', 👋🏽 ', 'naïve\n\n', '```js\n', 'a < b && "c"\\n', '\u2028', '漢字', '\n```'];

scenario('two turns, exact, under the ids that the hub stored', async () => {
  const id = newID(), chat = page(id);
  await answer('odd', odd);
  await chat.sendMessage({ text: 'odd' });
  fine(chat);
  await chat.sendMessage({ text: 'two' });
  fine(chat);
  assert.deepEqual(texts(chat), ['odd', odd.join(''), 'two', 'You said: two']);
  const kept = await stored(id);
  assert.deepEqual(kept.map((m) => m.content), texts(chat));
  assert.equal(chat.messages[1].id, kept[1].id);
  assert.equal(chat.messages[3].id, kept[3].id);
  assert.equal(chat.messages[3].metadata.conversation_id, id);
  assert.equal(chat.messages[3].metadata.finish_reason, 'stop');
});

scenario('a long reply', async () => {
  const id = newID(), chat = page(id);
  const tokens = Array.from({ length: 3000 }, (_, i) => ` wört${i}`);
  await answer('long', tokens);
  await chat.sendMessage({ text: 'long' });
  fine(chat);
  assert.equal(lastText(chat), tokens.join(''));
  assert.equal(pieces(chat), 1);
});

scenario('stop, then another message: the hub stops what still runs', async () => {
  const id = newID(), chat = page(id);
  await answer('slow', ['some ', 'more ', 'never'], { hold: 2 });
  const sending = chat.sendMessage({ text: 'slow' });
  await until('text comes', () => chat.messages.length === 2 && lastText(chat) === 'some more ');
  await chat.stop();
  await sending;
  fine(chat);
  await chat.sendMessage({ text: 'next' });
  fine(chat);
  assert.deepEqual(texts(chat), ['slow', 'some more ', 'next', 'You said: next']);
  const kept = await stored(id);
  assert.deepEqual(kept.map((m) => m.content), texts(chat));
  assert.equal(kept[1].finish_reason, 'stopped');
});

scenario('the hub\'s own stop ends the stream as an abort', async () => {
  const id = newID(), chat = page(id);
  await answer('stop me', ['a ', 'b ', 'c'], { hold: 2 });
  const sending = chat.sendMessage({ text: 'stop me' });
  await until('text comes', () => chat.messages.length === 2 && lastText(chat) === 'a b ');
  const stop = await fetch(`${hub}/api/chat/${id}/stop`, { method: 'POST' });
  assert.deepEqual(await stop.json(), { outcome: 'stopped' });
  await sending;
  fine(chat);
  assert.deepEqual(texts(chat), ['stop me', 'a b ']);
  assert.equal((await stored(id))[1].finish_reason, 'stopped');
});

scenario('regenerate the last reply, and an earlier one', async () => {
  const id = newID(), chat = page(id);
  await answer('again', ['first']);
  await chat.sendMessage({ text: 'again' });
  await answer('again', ['sec', 'ond']);
  await chat.regenerate();
  fine(chat);
  assert.deepEqual(texts(chat), ['again', 'second']);
  await chat.sendMessage({ text: 'later' });
  await answer('again', ['third']);
  await chat.regenerate({ messageId: chat.messages[1].id });
  fine(chat);
  assert.deepEqual(texts(chat), ['again', 'third']);
  assert.deepEqual((await stored(id)).map((m) => m.content), ['again', 'third']);
});

scenario('regenerate while a reply runs', async () => {
  const id = newID(), chat = page(id);
  await answer('hang', ['one ', 'two'], { hold: 1 });
  const sending = chat.sendMessage({ text: 'hang' });
  await until('text comes', () => chat.messages.length === 2 && lastText(chat) === 'one ');
  await chat.stop();
  await sending;
  await answer('hang', ['anew']);
  await chat.regenerate();
  fine(chat);
  assert.deepEqual(texts(chat), ['hang', 'anew']);
  assert.deepEqual((await stored(id)).map((m) => m.content), ['hang', 'anew']);
});

scenario('edit an earlier message', async () => {
  const id = newID(), chat = page(id);
  await chat.sendMessage({ text: 'mistaken' });
  await chat.sendMessage({ text: 'more' });
  await chat.sendMessage({ text: 'mended', messageId: chat.messages[0].id });
  fine(chat);
  assert.deepEqual(texts(chat), ['mended', 'You said: mended']);
  assert.deepEqual((await stored(id)).map((m) => m.content), ['mended', 'You said: mended']);
});

scenario('a page loaded in mid-reply shows all of it, once', async () => {
  const id = newID(), first = page(id);
  await answer('go on', ['begun ', 'and ', 'ended'], { hold: 2 });
  const sending = first.sendMessage({ text: 'go on' });
  await reached('go on');
  const second = await reload(id);
  assert.deepEqual(texts(second), ['go on']);
  const resuming = second.resumeStream();
  await until('the beginning comes', () => second.messages.length === 2 && lastText(second) === 'begun and ');
  await open('go on');
  await Promise.all([sending, resuming]);
  for (const chat of [first, second]) {
    fine(chat);
    assert.deepEqual(texts(chat), ['go on', 'begun and ended']);
    assert.equal(pieces(chat), 1);
  }
  assert.equal(second.messages[1].id, first.messages[1].id);
  await second.resumeStream(); // nothing runs
  fine(second);
  assert.deepEqual(texts(second), ['go on', 'begun and ended']);
});

const shown = (chat) => chat.messages.at(-1).parts.filter((part) => part.type !== 'step-start').map((part) => [part.type, part.text, part.state]);

scenario('reasoning is shown in its place, also by a page loaded in mid-thought', async () => {
  const id = newID(), first = page(id);
  await answer('think', odd, { think: { 0: odd, 3: ['hm', ' 👋🏽'] }, hold: 4 });
  const sending = first.sendMessage({ text: 'think' });
  await until('it thinks', () => first.messages.length === 2 && shown(first).length > 0);
  const early = await reload(id);
  const resuming = early.resumeStream();
  await reached('think');
  const late = await reload(id);
  const again = late.resumeStream();
  await until('both parts come', () => late.messages.length === 2 && shown(late).length === 4);
  await open('think');
  await Promise.all([sending, resuming, again]);
  for (const chat of [first, early, late]) {
    fine(chat);
    assert.deepEqual(shown(chat), [
      ['reasoning', odd.join(''), 'done'], ['text', odd.slice(0, 3).join(''), 'done'],
      ['reasoning', 'hm 👋🏽', 'done'], ['text', odd.slice(3).join(''), 'done'],
    ]);
  }
  const kept = (await stored(id))[1];
  assert.equal(kept.content, odd.join(''));
  assert.equal(kept.reasoning, odd.join('') + '\n\n' + 'hm 👋🏽');
  await first.sendMessage({ text: 'on' }); // with the reasoning in its list
  fine(first);
  assert.equal(lastText(first), 'You said: on');
});

scenario('thinking that is stopped has no text', async () => {
  const id = newID(), chat = page(id);
  await answer('ponder', ['never'], { think: { 0: ['well'] }, hold: 0 });
  const sending = chat.sendMessage({ text: 'ponder' });
  await until('it thinks', () => chat.messages.length === 2 && shown(chat).length === 1);
  await (await fetch(`${hub}/api/chat/${id}/stop`, { method: 'POST' })).json();
  await sending;
  fine(chat);
  assert.deepEqual(shown(chat), [['reasoning', 'well', 'done']]);
});

scenario('resume with nothing to resume, and of an unknown chat', async () => {
  const chat = page(newID());
  await chat.resumeStream();
  fine(chat);
  assert.deepEqual(chat.messages, []);
});

scenario('the network breaks in mid-reply: the page says so, and a reload has it all', async () => {
  const id = newID(), chat = page(id, { api: `${line}/api/chat` });
  await answer('break', ['half ', 'whole'], { hold: 1 });
  const sending = chat.sendMessage({ text: 'break' });
  await until('text comes', () => chat.messages.length === 2 && lastText(chat) === 'half ');
  await cut();
  await sending;
  assert.equal(chat.status, 'error');
  const again = await reload(id);
  const resuming = again.resumeStream();
  await until('the beginning comes', () => again.messages.length === 2);
  await open('break');
  await resuming;
  fine(again);
  assert.deepEqual(texts(again), ['break', 'half whole']);
  assert.equal(pieces(again), 1);
});

scenario('the model refuses: an error, and another try', async () => {
  const id = newID(), chat = page(id);
  await answer('fail', [], { status: 401 });
  await chat.sendMessage({ text: 'fail' });
  assert.equal(chat.status, 'error');
  assert.match(chat.error.message, /\w+ \w+/);
  assert.doesNotMatch(chat.error.message, /validation|not-a-real-key/i);
  assert.equal((await stored(id))[1].finish_reason, 'error');
  await answer('fail', ['works']);
  await chat.regenerate();
  fine(chat);
  assert.equal(lastText(chat), 'works');
  assert.deepEqual((await stored(id)).map((m) => m.content), ['fail', 'works']);
});

scenario('the same message sent again is asked once', async () => {
  const id = newID(), before = await asked();
  const message = { id: 'msg-not-a-uuid', role: 'user', parts: [{ type: 'text', text: 'once' }] };
  await answer('once', ['on', 'ce'], { hold: 1 });
  const first = page(id), second = page(id);
  const one = first.sendMessage(message);
  await reached('once');
  const two = second.sendMessage(message);
  await until('the second has the beginning', () => second.messages.length === 2 && lastText(second) === 'on');
  await open('once');
  await Promise.all([one, two]);
  const third = page(id);
  await third.sendMessage(message); // it ended meanwhile
  for (const chat of [first, second, third]) {
    fine(chat);
    assert.deepEqual(texts(chat), ['once', 'once']);
    assert.equal(chat.messages[1].id, first.messages[1].id);
  }
  assert.equal(await asked(), before + 1);
});

scenario('an unknown chat with a history is not made', async () => {
  const id = newID();
  const chat = page(id, { messages: [
    { id: 'a', role: 'user', parts: [{ type: 'text', text: 'hello' }] },
    { id: 'b', role: 'assistant', parts: [{ type: 'text', text: 'hi' }] },
  ] });
  await chat.sendMessage({ text: 'and now' });
  assert.equal(chat.status, 'error');
  assert.match(chat.error.message, /session_not_found/);
  assert.equal((await fetch(`${hub}/sessions/${id}`)).status, 404);
});

scenario('an id that useChat made itself names a chat, also on another page', async () => {
  const chat = page(undefined);
  await chat.sendMessage({ text: 'hello' });
  fine(chat);
  const again = page(chat.id, { messages: chat.messages });
  await again.sendMessage({ text: 'more' });
  fine(again);
  assert.deepEqual((await stored(chat.id)).map((m) => m.content), texts(again));
});

scenario('a name of the page\'s own says what to do', async () => {
  const chat = page('support');
  await chat.sendMessage({ text: 'hello' });
  assert.equal(chat.status, 'error');
  assert.match(chat.error.message, /prepareSendMessagesRequest/);
});

scenario('a send that failed is tried again', async () => {
  const id = newID(), chat = page(id, { api: 'http://127.0.0.1:1/api/chat' });
  await chat.sendMessage({ text: 'first' });
  assert.equal(chat.status, 'error');
  const online = page(id, { messages: chat.messages });
  await online.regenerate();
  fine(online);
  assert.deepEqual(texts(online), ['first', 'You said: first']);
  assert.deepEqual((await stored(id)).map((m) => m.content), texts(online));
});

scenario('the list is cut, edited, branched and trimmed: the hub follows', async () => {
  const id = newID(), chat = page(id);
  const same = async () => {
    fine(chat);
    assert.deepEqual((await stored(id)).map((m) => m.content), texts(chat));
  };
  for (const text of ['one', 'two']) await chat.sendMessage({ text });
  const branch = chat.messages;
  chat.messages = branch.slice(0, 2);
  await chat.sendMessage({ text: 'three' });
  await same();
  chat.messages = branch;
  await chat.sendMessage({ text: 'four' });
  await same();
  // The chat template's edit.
  chat.messages = [{ ...branch[0], parts: [{ type: 'text', text: 'uno' }] }];
  await chat.regenerate();
  await same();
  chat.messages = branch.slice(0, 3);
  await chat.sendMessage();
  await same();
  const greeting = { id: 'greeting', role: 'assistant', parts: [{ type: 'text', text: 'Hello!' }] };
  const greeted = page(newID(), { messages: [greeting] });
  await greeted.sendMessage({ text: 'one' });
  fine(greeted);
  assert.deepEqual((await stored(greeted.id)).map((m) => m.content), texts(greeted).slice(1));
  // A list that shows what the hub never had.
  chat.messages = [...branch.slice(0, 2), { ...branch[2], id: 'other' }, { ...branch[3], id: newID() }];
  await chat.sendMessage({ text: 'five' });
  assert.equal(chat.status, 'error');
  assert.match(chat.error.message, /conversation_changed/);
});

scenario('a list of the last two, and a message alone', async () => {
  const id = newID();
  const trimmed = new sdk.DefaultChatTransport({ api: `${hub}/api/chat`,
    prepareSendMessagesRequest: ({ id, messages, trigger }) => ({ body: { id, messages: messages.slice(-2), trigger } }) });
  const alone = new sdk.DefaultChatTransport({ api: `${hub}/api/chat`,
    prepareSendMessagesRequest: ({ id, messages }) => ({ body: { id, message: messages.at(-1) } }) });
  const chat = page(id, { transport: trimmed });
  for (const text of ['one', 'two', 'three']) await chat.sendMessage({ text });
  const later = page(id, { transport: alone, messages: chat.messages });
  await later.sendMessage({ text: 'four' });
  fine(later);
  assert.deepEqual((await stored(id)).map((m) => m.content), texts(later));
});

scenario('a file is refused, not dropped', async () => {
  const chat = page(newID());
  await chat.sendMessage({ role: 'user', parts: [{ type: 'text', text: 'see' }, { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,AA==' }] });
  assert.equal(chat.status, 'error');
  assert.match(chat.error.message, /invalid_request/);
});

scenario('readUIMessageStream takes every chunk', async () => {
  await answer('odd', odd);
  const transport = new sdk.DefaultChatTransport({ api: `${hub}/api/chat` });
  const stream = await transport.sendMessages({
    chatId: newID(), trigger: 'submit-message', messageId: undefined, abortSignal: undefined,
    messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'odd' }] }],
  });
  let last;
  const onError = (error) => { throw error; };
  for await (const message of sdk.readUIMessageStream({ stream, onError, terminateOnError: true })) last = message;
  assert.equal(text(last), odd.join(''));
});

await play();
