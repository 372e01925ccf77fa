// A page with assistant-ui, whose runtime stands on useChat.
import { useChat } from '@ai-sdk/react';
import { AssistantRuntimeProvider, ComposerPrimitive, MessagePrimitive, ThreadPrimitive } from '@assistant-ui/react';
import { useAISDKRuntime } from '@assistant-ui/react-ai-sdk';
import { createRoot } from 'react-dom/client';
import { options } from './setup.js';

const parts = {
  Text: ({ text }) => <span data-text>{text}</span>,
  Reasoning: ({ text, status }) => <i data-thought={status.type === 'running' ? 'streaming' : 'done'}>{text}</i>,
};
const message = (role) => () => (
  <MessagePrimitive.Root data-role={role}><MessagePrimitive.Parts components={parts} /></MessagePrimitive.Root>
);
window.seen = () => [...document.querySelectorAll('[data-role]')]
  .map((m) => m.dataset.role + ': ' + [...m.querySelectorAll('[data-text]')].map((p) => p.textContent).join(''));
const components = { UserMessage: message('user'), AssistantMessage: message('assistant') };

function Page() {
  const chat = useChat(options);
  const runtime = useAISDKRuntime(chat);
  window.chat = chat;
  window.thread = runtime.thread;
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <main data-status={chat.status}>
        <ThreadPrimitive.Root>
          <ThreadPrimitive.Messages components={components} />
          <ComposerPrimitive.Root><ComposerPrimitive.Input /><ComposerPrimitive.Send>Send</ComposerPrimitive.Send></ComposerPrimitive.Root>
        </ThreadPrimitive.Root>
      </main>
    </AssistantRuntimeProvider>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
