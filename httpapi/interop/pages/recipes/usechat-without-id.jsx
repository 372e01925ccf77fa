// useChat without an id: a new conversation for each visit.
import { useChat } from '@ai-sdk/react';
import { DefaultChatTransport } from 'ai';
import { createRoot } from 'react-dom/client';

const hub = window.HUB ?? 'http://localhost:8080';
const transport = new DefaultChatTransport({ api: hub + '/api/chat' });

function Page() {
  const chat = useChat({ transport });
  return (
    <main data-status={chat.status}>
      {chat.messages.map((m) => (
        <p key={m.id} data-role={m.role}>{m.parts.map((part) => (part.type === 'text' ? part.text : ''))}</p>
      ))}
      <form onSubmit={(e) => { e.preventDefault(); chat.sendMessage({ text: new FormData(e.target).get('text') }); }}>
        <input name="text" /><button>Send</button>
      </form>
    </main>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
