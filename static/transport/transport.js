const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What ends a stream when the conversation cannot go on by itself; the keys are the Hub's lasting states, and an error. */
const REASONS = {
  taken: 'This was not sent: the chat went on in another tab.',
  denied: 'Not authorised.',
  expired: 'There is no such chat any more.',
  failed: 'The chat could not connect.',
};

/** A version 5 UUID (RFC 9562, 5.5): what the hub itself makes of an id that is no UUID. */
async function uuid5(space, name) {
  const seed = [...space.replaceAll('-', '').match(/../g).map((h) => parseInt(h, 16)), ...new TextEncoder().encode(name)];
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-1', Uint8Array.from(seed)));
  hash[6] = (hash[6] & 15) | 80;
  hash[8] = (hash[8] & 63) | 128;
  const hex = [...hash.subarray(0, 16)].map((b) => b.toString(16).padStart(2, '0')).join('');
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
}

/** A Hub that several streams may listen to, and that keeps what a reply's end says of it. */
class Line extends Hub {
  constructor(options) {
    super({ ...options, on: (...event) => this.listeners.forEach((listener) => listener(...event)) });
    this.listeners = new Set();
    this.metadata = {};
  }

  take(frame) {
    if (frame.type === 'finish') this.metadata = frame.messageMetadata;
    super.take(frame);
  }

  /** Resolves with the first value other than undefined that look() has, now or after an event. */
  until(look, signal) {
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        this.listeners.delete(check);
        signal?.removeEventListener('abort', abort);
        settle(value);
      };
      const abort = () => done(reject, signal.reason);
      const check = (...event) => {
        try {
          const value = look(...event);
          if (value !== undefined) done(resolve, value);
        } catch (error) {
          done(reject, error);
        }
      };
      this.listeners.add(check);
      if (signal?.aborted) return abort();
      signal?.addEventListener('abort', abort);
      check();
    });
  }

  /** Resolves with true once connected, with the state when that cannot be. */
  ready(signal) {
    if (this.state === 'idle' || REASONS[this.state]) this.connect();
    return this.until(() => (this.state === 'ready' ? true : REASONS[this.state] ? this.state : undefined), signal);
  }
}

/**
 * The AI SDK's ChatTransport over the hub's WebSocket: `useChat({ id, transport: new HubChatTransport() })`.
 *
 * A dropped connection is resumed by offset, in the middle of a reply too, and nobody notices but by a pause; stop()
 * stops the model. A chat's id is the conversation's when it is a UUID (make a new one with crypto.randomUUID());
 * any other id names a new conversation for as long as the page lives. Of several tabs each shows all of a chat, and what
 * is said in one waits for the reply that another has asked for.
 *
 * @template {import('ai').UIMessage} [MESSAGE=import('ai').UIMessage]
 * @implements {import('ai').ChatTransport<MESSAGE>}
 */
export class HubChatTransport {
  /**
   * @param {object} [options]
   * @param {string} [options.url] where the hub is; by default where this script came from
   * @param {string | (() => string | Promise<string>)} [options.token] a JWT, or what gets one for each connection
   * @param {typeof WebSocket} [options.WebSocket] for Node before version 22: that of the package ws
   * @param {typeof fetch} [options.fetch]
   */
  constructor({ url = new URL('.', import.meta.url).href, token, WebSocket: Socket = globalThis.WebSocket, fetch = globalThis.fetch } = {}) {
    this.options = { server: url.replace(/\/+$/, ''), token, Socket, fetch };
    /** @type {Map<string, Line>} */
    this.lines = new Map();
  }

  /**
   * @param {Parameters<import('ai').ChatTransport<MESSAGE>['sendMessages']>[0]} request
   * @returns {Promise<ReadableStream<import('ai').UIMessageChunk>>}
   */
  async sendMessages({ trigger, chatId, messageId, messages, abortSignal }) {
    const line = this.line(chatId);
    const last = messages.findLast((m) => m.role === 'user');
    if (!last) throw new Error('There is no message to answer.');
    const content = last.parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
    let state = await line.ready(abortSignal);
    if (state === 'expired' && messages.length === 1 && trigger === 'submit-message') {
      await this.post(line, chatId, { trigger }, await this.idOf(line, chatId, last), content, abortSignal);
      state = await line.ready(abortSignal);
    }
    if (state !== true) throw new Error(REASONS[state]);

    const id = await this.idOf(line, line.id, last);
    const edit = trigger === 'submit-message' && messageId !== undefined;
    // The reply that stands there now is not the one that is asked for.
    const old = trigger === 'regenerate-message' || edit ? line.messages[line.index(id) + 1]?.id : undefined;
    const known = line.messages[line.index(id)]?.content === content;
    if (line.running && (old || !known)) {
      if (!line.watching) line.stop();
      await line.until(() => (line.running ? undefined : true), abortSignal);
    }
    const stream = this.stream(line, (from) => {
      const next = from.messages[from.index(id) + 1];
      return from.index(id) >= 0 && next?.role === 'assistant' && next.id !== old ? next : undefined;
    }, abortSignal);
    if (old && (edit || line.messages.at(-1).id !== old)) {
      await this.post(line, line.id, { trigger, ...(edit && { messageId: id }) }, id, content, abortSignal);
    } else if (old) line.regenerate(old);
    else if (!known) {
      line.unsent.push({ id, role: 'user', content });
      line.post();
    }
    return stream;
  }

  /**
   * @param {Parameters<import('ai').ChatTransport<MESSAGE>['reconnectToStream']>[0]} request
   * @returns {Promise<ReadableStream<import('ai').UIMessageChunk> | null>}
   */
  async reconnectToStream({ chatId }) {
    if (!UUID.test(chatId) && !this.lines.has(chatId)) return null;
    const line = this.line(chatId);
    const state = await line.ready();
    if (state === 'expired') return null;
    if (state !== true) throw new Error(REASONS[state]);
    const { running } = line;
    return running ? this.stream(line, () => line.messages[line.index(running)]) : null;
  }

  /** The conversation behind a chat's id, as soon as the hub has named it; for an application that wants to keep it. */
  conversationOf(chatId) {
    return this.lines.get(chatId)?.id || undefined;
  }

  /** Ends all connections; what the hub writes goes on. */
  close() {
    for (const line of this.lines.values()) line.dispose();
    this.lines.clear();
  }

  line(chatId) {
    let line = this.lines.get(chatId);
    if (!line) {
      line = new Line({ ...this.options, id: UUID.test(chatId) ? chatId.toLowerCase() : '' });
      this.lines.set(chatId, line);
    }
    return line;
  }

  /** The id of a message at the hub; the same for the same message, so that it is asked once however often it is sent. */
  async idOf(line, conversation, { id }) {
    if (UUID.test(id)) return id.toLowerCase();
    line.ids ??= new Map();
    // Without TLS there is no crypto.subtle; then ids hold as long as the page.
    if (!line.ids.has(id)) line.ids.set(id, crypto.subtle ? await uuid5(conversation, id) : uuid());
    return line.ids.get(id);
  }

  /** What no frame can say (a new conversation of that id, an edit, an older reply again) goes to /api/chat. */
  async post(line, conversation, extra, id, text, signal) {
    const { server, token, fetch } = this.options;
    const bearer = typeof token === 'function' ? await token() : token;
    const response = await fetch(server + '/api/chat', {
      method: 'POST',
      signal,
      headers: { 'Content-Type': 'application/json', ...(bearer && { Authorization: 'Bearer ' + bearer }) },
      body: JSON.stringify({ id: conversation, messages: [{ id, role: 'user', parts: [{ type: 'text', text }] }], ...extra }),
    });
    if (!response.ok) throw new Error((await response.json().catch(() => null))?.error?.message ?? REASONS.failed);
    // The reply belongs to the conversation, and comes over the WebSocket.
    await response.body?.cancel();
  }

  /** The chunks of the reply that find() has, from its beginning, through every reconnection. */
  stream(line, find, signal) {
    let listen, abort;
    const leave = () => {
      line.listeners.delete(listen);
      signal?.removeEventListener('abort', abort);
    };
    return new ReadableStream({
      start: (controller) => {
        let id;
        let sent = '';
        const end = (...chunks) => {
          leave();
          if (id) controller.enqueue({ type: 'text-end', id });
          for (const chunk of chunks) controller.enqueue(chunk);
          controller.close();
        };
        abort = () => {
          line.stop();
          end({ type: 'abort' });
        };
        listen = (what, about, delta) => {
          if (what === 'refused' && !id) return end({ type: 'error', errorText: about.text ?? REASONS[about.code] ?? REASONS.failed });
          if (REASONS[line.state]) return end({ type: 'error', errorText: REASONS[line.state] });
          const reply = find(line);
          if (!reply) return;
          if (!id) {
            id = reply.id;
            controller.enqueue({ type: 'start', messageId: id, messageMetadata: { conversation_id: line.id } });
            controller.enqueue({ type: 'text-start', id });
          }
          const { content, finish, error } = reply;
          const simple = what === 'text' && sent.length + delta.length === content.length;
          // After a restart from an earlier offset the text comes again; only what is beyond is new.
          if (!simple && !(content.length < sent.length ? sent.startsWith(content) : content.startsWith(sent))) {
            return end({ type: 'error', errorText: 'The reply was written anew. Please load the chat again.' });
          }
          const fresh = simple ? delta : content.slice(sent.length);
          if (fresh) {
            controller.enqueue({ type: 'text-delta', id, delta: fresh });
            sent = content;
          }
          if (finish === 'stopped') end({ type: 'abort' });
          else if (finish === 'error') end({ type: 'error', errorText: error?.text ?? 'Something went wrong.' });
          else if (finish) end({ type: 'finish', messageMetadata: { ...line.metadata, finish_reason: finish } });
        };
        line.listeners.add(listen);
        signal?.addEventListener('abort', abort);
        if (signal?.aborted) abort();
        else listen();
      },
      cancel: leave,
    });
  }
}
