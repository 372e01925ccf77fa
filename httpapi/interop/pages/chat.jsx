// A page with useChat. The test drives it as a person does: by what stands on it.
import { useChat } from '@ai-sdk/react';
import { createRoot } from 'react-dom/client';
import { options } from './setup.js';

function Page() {
  const chat = useChat(options);
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
