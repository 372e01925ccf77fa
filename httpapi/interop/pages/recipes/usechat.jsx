// useChat with an id: the conversation is there again after a reload, also in mid-reply.
import { useChat } from '@ai-sdk/react';
import { DefaultChatTransport } from 'ai';
import { createRoot } from 'react-dom/client';

const hub = window.HUB ?? 'http://localhost:8080'; // its ALLOWED_ORIGINS names this page's origin
const id = (sessionStorage.chat ??= crypto.randomUUID());
const found = await fetch(`${hub}/sessions/${id}`);
const messages = !found.ok ? [] : (await found.json()).messages.map(({ id, role, content }) =>
  ({ id, role, parts: [{ type: 'text', text: content }] }));
const transport = new DefaultChatTransport({ api: hub + '/api/chat' });

function Page() {
  const chat = useChat({ id, messages, transport, resume: true });
  // The SDK's own stop() drops the request alone: the model would go on.
  const stop = async () => {
    await fetch(`${hub}/api/chat/${id}/stop`, { method: 'POST' });
    await chat.stop();
  };
  return (
    <main data-status={chat.status}>
      {chat.messages.map((m) => (
        <p key={m.id} data-role={m.role}>{m.parts.map((part) => (part.type === 'text' ? part.text : ''))}</p>
      ))}
      {chat.error && <button onClick={() => chat.regenerate()}>Try again</button>}
      <button id="stop" onClick={stop}>Stop</button>
      <form onSubmit={(e) => { e.preventDefault(); chat.sendMessage({ text: new FormData(e.target).get('text') }); }}>
        <input name="text" /><button>Send</button>
      </form>
    </main>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
