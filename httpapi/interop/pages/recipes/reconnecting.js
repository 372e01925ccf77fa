// A chat over the hub's WebSocket. PartySocket's WebSocket has the same constructor: import { WebSocket } from 'partysocket'.
import ReconnectingWebSocket from 'reconnecting-websocket';

const hub = (window.HUB ?? 'http://localhost:8080').replace(/^http/, 'ws');
const client = crypto.randomUUID();
const final = [1003, 1007, 1009, 4001, 4401, 4404]; // PROTOCOL.md, "Close codes"
let id = ''; // the conversation's, as soon as it is known
let messages = []; // {id, role, content}; the last one may be in writing

const address = () => {
  const query = new URLSearchParams({ client, ...(id && { again: '1' }) });
  const last = messages.at(-1);
  if (last) query.set('after', last.id);
  if (last?.writing) query.set('offset', last.offset);
  if (last?.writing && last.epoch) query.set('epoch', last.epoch);
  return `${hub}/ws${id && '/' + id}?${query}`;
};
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
      break;
    case 'message':
      if (messages.some((m) => m.id === frame.id && m.content === frame.content)) break;
      cut(frame.after);
      messages.push(frame);
      break;
    case 'start':
      if (last?.id === frame.messageId) { last.epoch = frame.epoch; break; }
      cut(frame.after);
      messages.push({ id: frame.messageId, role: 'assistant', content: '', offset: 0, epoch: frame.epoch });
      break;
    case 'text-start':
      last.writing = true;
      last.offset = frame.offset;
      last.content = new TextDecoder().decode(new TextEncoder().encode(last.content).subarray(0, frame.offset));
      break;
    case 'text-delta':
      last.content += frame.delta;
      last.offset = frame.offset;
      break;
    case 'finish': case 'abort':
      last.writing = false;
      break;
    case 'error':
      if (frame.id) last.writing = false;
      break;
  }
  document.body.replaceChildren(...messages.map((m) => Object.assign(document.createElement('p'), { textContent: `${m.role}: ${m.content}` })));
};
socket.onclose = ({ code }) => { if (final.includes(code)) socket.close(); };

window.say = (content) => socket.send(JSON.stringify({ type: 'message', id: crypto.randomUUID(), content }));
