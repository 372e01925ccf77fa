// What the pages of the tests have in common: where the hub is, the way to it, and what is stored.
import { DefaultChatTransport } from 'ai';

const query = new URLSearchParams(location.search);
const hub = query.get('hub');
const { HubChatTransport } = query.has('socket') ? await import(/* @vite-ignore */ hub + '/transport.js') : {};

/** Bodies other than the default: the last two messages of the list, and the last one alone. */
const bodies = {
  two: ({ id, messages, trigger, messageId }) => ({ body: { id, messages: messages.slice(-2), trigger, messageId } }),
  alone: ({ id, messages }) => ({ body: { id, message: messages.at(-1) } }),
};
const transport = HubChatTransport ? new HubChatTransport({ url: hub })
  : new DefaultChatTransport({ api: hub + '/api/chat', prepareSendMessagesRequest: bodies[query.get('body')] });
const stored = await load(query.get('id'));

/** What a page of the hub's conversation begins with. */
async function load(id) {
  const response = id && (await fetch(`${hub}/sessions/${id}`));
  if (!response?.ok) return [];
  return (await response.json()).messages.map((m) => ({ id: m.id, role: m.role, parts: [{ type: 'text', text: m.content }] }));
}

window.transport = transport;
window.thoughts = () => [...document.querySelectorAll('[data-thought]')].map((p) => p.textContent);

/** For useChat. */
export const options = {
  ...(query.has('id') && { id: query.get('id') }), ...(stored.length && { messages: stored }),
  transport, resume: query.has('resume'),
};
