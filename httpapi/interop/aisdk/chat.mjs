// A page's chat, as useChat has it: AbstractChat is the class under the hook.
import { hub, stored } from '../harness.mjs';

/** The state that a page keeps; React's has the same shape. */
class State {
  status = 'ready';
  error = undefined;
  constructor(messages) { this.messages = messages; }
  pushMessage = (message) => { this.messages = [...this.messages, message]; };
  popMessage = () => { this.messages = this.messages.slice(0, -1); };
  replaceMessage = (index, message) => { this.messages = this.messages.with(index, structuredClone(message)); };
  snapshot = (thing) => structuredClone(thing);
}

/** Makes pages of one version of the SDK. */
export function chats(sdk) {
  class Chat extends sdk.AbstractChat {}

  /** A page of this conversation, with the default transport unless told otherwise. */
  function page(id, { messages = [], api = `${hub}/api/chat`, transport = new sdk.DefaultChatTransport({ api }) } = {}) {
    return new Chat({ id, state: new State(messages), transport });
  }

  /** A page that is loaded again: it has what GET /sessions/{id} tells. */
  async function reload(id, options) {
    const messages = (await stored(id)).map((m) => ({ id: m.id, role: m.role, parts: [{ type: 'text', text: m.content }] }));
    return page(id, { messages, ...options });
  }

  return { page, reload };
}

export const text = (message) => message.parts.filter((part) => part.type === 'text').map((part) => part.text).join('');
export const texts = (chat) => chat.messages.map(text);
export const lastText = (chat) => text(chat.messages.at(-1));
/** How many pieces of text the last message is shown in: more than one is a text shown twice. */
export const pieces = (chat) => chat.messages.at(-1).parts.filter((part) => part.type === 'text').length;
