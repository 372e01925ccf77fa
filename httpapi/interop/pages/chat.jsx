// A page with useChat. The test drives it as a person does: by what stands on it.
import { useChat } from '@ai-sdk/react';
import { DefaultChatTransport } from 'ai';
import { createRoot } from 'react-dom/client';

const query = new URLSearchParams(location.search);
const hub = query.get('hub');
const { HubChatTransport } = query.has('socket') ? await import(/* @vite-ignore */ hub + '/transport.js') : {};
const stored = await load(query.get('id'));

/** What a page of the hub's conversation begins with. */
async function load(id) {
  const response = id && (await fetch(`${hub}/sessions/${id}`));
  if (!response?.ok) return [];
  return (await response.json()).messages.map((m) => ({ id: m.id, role: m.role, parts: [{ type: 'text', text: m.content }] }));
}

/** Bodies other than the default: the last two messages of the list, and the last one alone. */
const bodies = {
  two: ({ id, messages, trigger, messageId }) => ({ body: { id, messages: messages.slice(-2), trigger, messageId } }),
  alone: ({ id, messages }) => ({ body: { id, message: messages.at(-1) } }),
};
const transport = HubChatTransport ? new HubChatTransport({ url: hub })
  : new DefaultChatTransport({ api: hub + '/api/chat', prepareSendMessagesRequest: bodies[query.get('body')] });
window.transport = transport;
window.thoughts = () => [...document.querySelectorAll('[data-thought]')].map((p) => p.textContent);

function Page() {
  const chat = useChat({
    ...(query.has('id') && { id: query.get('id') }), ...(stored.length && { messages: stored }),
    transport, resume: query.has('resume'),
  });
  window.chat = chat;
  return (
    <main data-status={chat.status}>
      {chat.messages.map((m) => (
        <div key={m.id}>
          {m.parts.filter((p) => p.type === 'reasoning').map((p, i) => <p key={i} data-thought={p.state}>{p.text}</p>)}
          <p data-role={m.role}>{m.parts.filter((p) => p.type === 'text').map((p) => p.text).join('')}</p>
        </div>
      ))}
      {chat.error && <p role="alert">{chat.error.message}</p>}
    </main>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
