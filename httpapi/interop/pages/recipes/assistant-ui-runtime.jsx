// assistant-ui with useChatRuntime, whose own ids of threads name no conversation: the page sends one of its own.
import { AssistantRuntimeProvider, ComposerPrimitive, MessagePrimitive, ThreadPrimitive } from '@assistant-ui/react';
import { AssistantChatTransport, useChatRuntime } from '@assistant-ui/react-ai-sdk';
import { createRoot } from 'react-dom/client';

const hub = window.HUB ?? 'http://localhost:8080';
const id = (sessionStorage.chat ??= crypto.randomUUID());
const transport = new AssistantChatTransport({
  api: hub + '/api/chat',
  prepareSendMessagesRequest: ({ messages, trigger, messageId }) => ({ body: { id, messages, trigger, messageId } }),
  prepareReconnectToStreamRequest: () => ({ api: `${hub}/api/chat/${id}/stream` }),
});
const message = (role) => () => (
  <MessagePrimitive.Root data-role={role}><MessagePrimitive.Parts /></MessagePrimitive.Root>
);
const components = { UserMessage: message('user'), AssistantMessage: message('assistant') };

function Page() {
  return (
    <AssistantRuntimeProvider runtime={useChatRuntime({ transport })}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Messages components={components} />
        <ComposerPrimitive.Root><ComposerPrimitive.Input name="text" /><ComposerPrimitive.Send>Send</ComposerPrimitive.Send></ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

createRoot(document.getElementById('root')).render(<Page />);
