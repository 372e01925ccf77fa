// A chat over the hub's WebSocket, with reconnecting-websocket.
import ReconnectingWebSocket from 'reconnecting-websocket';

const hub = (window.HUB ?? 'http://localhost:8080').replace(/^http/, 'ws');
const client = crypto.randomUUID();
const final = [1003, 1007, 1009, 4001, 4401, 4404]; // PROTOCOL.md, "Close codes"
let id = ''; // the conversation's, as soon as it is known
let messages = []; // {id, role, content}; the last one may be in writing
const unsent = new Map(); // content by id: what the hub has not acknowledged

const address = () => {
  const query = new URLSearchParams({ client, ...(id && { again: '1' }) });
  const last = messages.at(-1);
  if (last) query.set('after', last.id);
  if (last?.writing) query.set('offset', last.offset);
  if (last?.writing && last.epoch) query.set('epoch', last.epoch);
  return `${hub}/ws${id && '/' + id}?${query}`;
};
const post = () => { for (const [id, content] of unsent) socket.send(JSON.stringify({ type: 'message', id, content })); };
const socket = new ReconnectingWebSocket(address, ['chathub.v1']);

/** Drops what is held behind a message. */
const cut = (after) => { messages.length = after ? messages.findIndex((m) => m.id === after) + 1 : 0; };

socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  const last = messages.at(-1);
  switch (frame.type) {
    case 'ready':
      id = frame.conversation_id;
      cut(frame.after);
      messages.push(...frame.messages);
      for (const m of messages) unsent.delete(m.id);
      post(); // sent twice it is asked once
      break;
    case 'message':
      unsent.delete(frame.id);
      if (messages.some((m) => m.id === frame.id && m.content === frame.content)) break;
      cut(frame.after);
      messages.push(frame);
      break;
    case 'start': {
      const held = messages.find((m) => m.id === frame.messageId) ?? { id: frame.messageId, role: 'assistant', content: '' };
      cut(frame.after);
      const content = new TextDecoder().decode(new TextEncoder().encode(held.content).subarray(0, frame.offset));
      messages.push({ ...held, content, writing: true, offset: frame.offset, epoch: frame.epoch });
      break;
    }
    case 'text-delta':
      last.content += frame.delta;
      last.offset = frame.offset;
      break;
    case 'finish': case 'abort':
      last.writing = false;
      break;
    case 'error':
      if (frame.id) last.writing = false;
      else unsent.delete(frame.ref);
      break;
  }
  document.body.replaceChildren(...messages.map((m) => Object.assign(document.createElement('p'), { textContent: `${m.role}: ${m.content}` })));
};
socket.onclose = ({ code }) => { if (final.includes(code)) socket.close(); };

window.say = (content) => {
  unsent.set(crypto.randomUUID(), content);
  if (id) post();
};
