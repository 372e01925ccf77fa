// A page with assistant-ui, whose runtime stands on useChat.
import { useChat } from '@ai-sdk/react';
import { AssistantRuntimeProvider, ComposerPrimitive, MessagePrimitive, ThreadPrimitive } from '@assistant-ui/react';
import { useAISDKRuntime } from '@assistant-ui/react-ai-sdk';
import { DefaultChatTransport } from 'ai';
import { createRoot } from 'react-dom/client';

const query = new URLSearchParams(location.search);
const hub = query.get('hub');
const { HubChatTransport } = query.has('socket') ? await import(/* @vite-ignore */ hub + '/transport.js') : {};
const transport = HubChatTransport ? new HubChatTransport({ url: hub }) : new DefaultChatTransport({ api: hub + '/api/chat' });

const message = (role) => () => (
  <MessagePrimitive.Root data-role={role}><MessagePrimitive.Parts /></MessagePrimitive.Root>
);
const components = { UserMessage: message('user'), AssistantMessage: message('assistant') };

function Page() {
  const chat = useChat({ id: query.get('id'), transport });
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
