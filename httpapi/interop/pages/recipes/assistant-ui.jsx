// assistant-ui on a chat of the AI SDK's.
import { useChat } from '@ai-sdk/react';
import { AssistantRuntimeProvider, ComposerPrimitive, MessagePrimitive, ThreadPrimitive } from '@assistant-ui/react';
import { useAISDKRuntime } from '@assistant-ui/react-ai-sdk';
import { DefaultChatTransport } from 'ai';
import { createRoot } from 'react-dom/client';

const hub = window.HUB ?? 'http://localhost:8080';
const id = (sessionStorage.chat ??= crypto.randomUUID());
const transport = new DefaultChatTransport({ api: hub + '/api/chat' });
const message = (role) => () => (
  <MessagePrimitive.Root data-role={role}><MessagePrimitive.Parts /></MessagePrimitive.Root>
);
const components = { UserMessage: message('user'), AssistantMessage: message('assistant') };

function Page() {
  const chat = useChat({ id, transport });
  return (
    <AssistantRuntimeProvider runtime={useAISDKRuntime(chat)}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Messages components={components} />
        <ComposerPrimitive.Root><ComposerPrimitive.Input name="text" /><ComposerPrimitive.Send>Send</ComposerPrimitive.Send></ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
