const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What useChat() makes for an id by itself. Without tokens no other id that is no UUID names a conversation at the hub. */
const RANDOM = /^(?=(?:[a-z]*[A-Z\d]){3})[A-Za-z\d]{16}$/;
const BLANK = '\n\n';
const BEGINNING = '00000000-0000-0000-0000-000000000000';

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

const text = (message) => message.parts.map((part) => (part.type === 'text' ? part.text : '')).join('');

/**
 * What a reply has said ('text') and thought ('reasoning'), in turn. `thought` is all that it has thought, joined as the
 * hub stores it.
 */
function partsOf(parts) {
  const runs = [];
  let thought = '';
  for (const { kind, text } of parts) {
    if (!text) continue;
    const last = runs.at(-1);
    if (last?.kind === kind) last.text += text;
    else {
      runs.push({ kind, text });
      if (kind === 'reasoning' && thought) thought += BLANK;
    }
    if (kind === 'reasoning') thought += text;
  }
  return { runs, thought };
}

/** Those of a reply at the hub: where their order is not known any more, what was thought comes first. */
const held = ({ parts, content, reasoning }) => partsOf(parts
  ? parts.map(({ said, text }) => ({ kind: said ? 'text' : 'reasoning', text }))
  : [{ kind: 'reasoning', text: reasoning }, { kind: 'text', text: content }]);

/** A Hub that several streams may listen to, and that keeps what a reply's end says of it. */
class Line extends Hub {
  constructor(options) {
    super({ ...options, on: (...event) => this.listeners.forEach((listener) => listener(...event)) });
    this.listeners = new Set();
    this.metadata = {};
    // The ids of all messages that the hub ever told of, on whatever branch.
    this.known = new Set();
    // What came last of a reply, said or thought.
    this.fresh = {};
  }

  take(frame) {
    if (frame.delta) this.fresh = { kind: frame.type.replace('-delta', ''), text: frame.delta };
    if (frame.type === 'finish') this.metadata = frame.messageMetadata;
    for (const { id } of frame.messages ?? []) this.known.add(id);
    if (frame.type === 'start') this.known.add(frame.messageId);
    if (frame.type === 'message') this.known.add(frame.id);
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
 * stops the model. A chat's id names the conversation as it does at /api/chat: a UUID, what useChat() makes for itself,
 * with a token any name. Any other id names a new conversation for as long as the page lives. Of several tabs each
 * shows all of a chat, and what is said in one waits for the reply that another has asked for.
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
    const at = messages.findLastIndex((m) => m.role === 'user');
    if (at < 0) throw new Error('There is no message to answer.');
    const other = messages[at].parts.find(({ type }) => type !== 'text' && !type.startsWith('data-'));
    if (other) throw new Error(`A part of type ${other.type} cannot be sent: a message is text.`);
    const content = text(messages[at]);
    let state = await line.ready(abortSignal);
    if (state === 'expired') {
      // The first message, or one in a conversation that is gone: the hub knows.
      await this.post(line, chatId, trigger, messages, abortSignal);
      state = await line.ready(abortSignal);
      trigger = 'submit-message';
    }
    if (state !== true) throw new Error(REASONS[state]);

    const ids = await Promise.all(messages.map((m) => this.idOf(line, line.id, m)));
    const id = ids[at];
    const i = line.index(id);
    const same = line.messages[i]?.content === content;
    const reply = line.messages[i + 1];
    const anew = trigger === 'regenerate-message' && same;
    // The message follows the last one before it that the hub knows.
    const k = ids.slice(0, at).findLastIndex((before) => line.known.has(before));
    // What that may be on a branch that was never told here, or is the page's own, the hub decides.
    const unsure = messages.slice(k + 1).some((m, n) => m.role === 'assistant' && k + 1 + n !== at + 1 && !line.known.has(ids[k + 1 + n]));
    const isLast = i >= 0 && i + 2 >= line.messages.length;
    const attach = same && !anew && isLast;
    if (line.running && !(attach && (!reply || reply.id === line.running))) {
      if (!line.watching) line.stop();
      await line.until(() => (line.running ? undefined : true), abortSignal);
    }
    // The reply that stands there now is not the one that is asked for.
    const old = anew || (i >= 0 && !same) || reply?.finish === 'error' ? reply?.id : undefined;
    const find = (from) => {
      const n = from.index(id);
      const next = from.messages[n + 1];
      return from.messages[n]?.content === content && next?.role === 'assistant' && next.id !== old ? next : undefined;
    };
    const shown = messages.length > at + 1 ? messages.at(-1) : undefined;
    const stream = this.stream(line, find, abortSignal, shown && { id: ids.at(-1), text: text(shown), ...partsOf(shown.parts.map(({ type, text }) => ({ kind: type, text }))) });
    try {
      if (attach && reply && !old) return stream;
      if (anew && isLast && reply) line.regenerate(reply.id);
      else if (anew || same || unsure) await this.post(line, line.id, trigger, messages.map((m, n) => ({ ...m, id: ids[n] })), abortSignal);
      else {
        const behind = k < 0 ? BEGINNING : ids[k];
        line.unsent.push({ id, role: 'user', content, behind, ...(i >= 0 && { edit: true }) });
        line.post();
      }
    } catch (error) {
      await stream.cancel();
      throw error;
    }
    return stream;
  }

  /**
   * @param {Parameters<import('ai').ChatTransport<MESSAGE>['reconnectToStream']>[0]} request
   * @returns {Promise<ReadableStream<import('ai').UIMessageChunk> | null>}
   */
  async reconnectToStream({ chatId }) {
    if (!this.names(chatId) && !this.lines.has(chatId)) return null;
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
      line = new Line({ ...this.options, id: this.names(chatId) ? chatId : '' });
      this.lines.set(chatId, line);
    }
    return line;
  }

  /** Whether the hub takes a chat's id for a conversation's. */
  names(chatId) {
    return UUID.test(chatId) || RANDOM.test(chatId) || Boolean(this.options.token && chatId);
  }

  /** The id of a message at the hub; the same for the same message, so that it is asked once however often it is sent. */
  async idOf(line, conversation, { id }) {
    if (UUID.test(id)) return id.toLowerCase();
    line.ids ??= new Map();
    // Without TLS there is no crypto.subtle; then ids hold as long as the page.
    if (!line.ids.has(id)) line.ids.set(id, crypto.subtle ? await uuid5(conversation, id) : uuid());
    return line.ids.get(id);
  }

  /** What no frame can say (a new conversation of that id, an older reply again, a branch not told here) goes to /api/chat. */
  async post(line, conversation, trigger, messages, signal) {
    const { server, token, fetch } = this.options;
    const bearer = typeof token === 'function' ? await token() : token;
    const response = await fetch(server + '/api/chat', {
      method: 'POST',
      signal,
      headers: { 'Content-Type': 'application/json', ...(bearer && { Authorization: 'Bearer ' + bearer }) },
      body: JSON.stringify({ id: conversation, trigger, messages }),
    });
    if (!response.ok) throw new Error((await response.json().catch(() => null))?.error?.message ?? REASONS.failed);
    // The reply belongs to the conversation, and comes over the WebSocket.
    await response.body?.cancel();
  }

  /**
   * The chunks of the reply that find() has, through every reconnection; of one that the page shows, what that lacks, as
   * parts of their own.
   */
  stream(line, find, signal, shown) {
    let listen, abort;
    const leave = () => {
      line.listeners.delete(listen);
      signal?.removeEventListener('abort', abort);
    };
    return new ReadableStream({
      start: (controller) => {
        let id;
        // What the page has of each kind, the kind that came last, and the part that is open.
        const has = { text: '', reasoning: '' };
        let last, open;
        // The reply's parts, when the page has all of them: these only grow.
        let parts;
        const close = () => open && controller.enqueue({ type: open + '-end', id });
        const end = (...chunks) => {
          leave();
          close();
          for (const chunk of chunks) controller.enqueue(chunk);
          controller.close();
        };
        abort = () => {
          line.stop();
          end({ type: 'abort' });
        };
        const tell = (kind, delta) => {
          if (open !== kind) {
            close();
            controller.enqueue({ type: kind + '-start', id });
            open = kind;
          }
          if (kind === 'reasoning' && last === 'text' && has.reasoning) has.reasoning += BLANK;
          last = kind;
          has[kind] += delta;
          controller.enqueue({ type: kind + '-delta', id, delta });
        };
        const begin = (reply) => {
          id = reply.id;
          controller.enqueue({ type: 'start', messageId: id, messageMetadata: { conversation_id: line.id } });
          if (shown?.id !== id) return;
          has.text = shown.text;
          last = shown.runs.at(-1)?.kind;
          // A page may leave out what was thought before the text that it shows.
          const before = [];
          let n = 0;
          for (const run of held(reply).runs) {
            if (n >= shown.text.length) break;
            before.push(run);
            if (run.kind === 'text') n += run.text.length;
          }
          const { thought } = partsOf(before);
          has.reasoning = shown.thought.startsWith(thought) ? shown.thought : thought;
        };
        /** Tells all of the reply that the page lacks; false: what the page has is not the reply's. */
        const catchUp = (reply) => {
          const { runs, thought } = held(reply);
          const whole = { text: reply.content, reasoning: thought };
          const passed = { text: 0, reasoning: 0 };
          for (const kind in has) if (!whole[kind].startsWith(has[kind].slice(0, whole[kind].length))) return false;
          for (const { kind, text } of runs) {
            if (kind === 'reasoning' && passed.reasoning) passed.reasoning += BLANK.length;
            // After a restart from an earlier offset the reply comes again; only what is beyond is new.
            let delta = text.slice(Math.max(has[kind].length - passed[kind], 0));
            passed[kind] += text.length;
            // Where the order is not known any more the blank line between two thoughts is no part of either.
            if (!reply.parts && kind === 'reasoning' && last === 'text' && delta.startsWith(BLANK)) delta = delta.slice(BLANK.length);
            if (delta) tell(kind, delta);
          }
          parts = has.text === whole.text && has.reasoning === whole.reasoning ? reply.parts : undefined;
          return true;
        };
        listen = (what, about) => {
          if (what === 'refused' && !id) return end({ type: 'error', errorText: about.text ?? REASONS[about.code] ?? REASONS.failed });
          if (REASONS[line.state]) return end({ type: 'error', errorText: REASONS[line.state] });
          const reply = find(line);
          if (!reply) return;
          if (!id) begin(reply);
          if (what === 'text' && about === reply && parts && parts === reply.parts) tell(line.fresh.kind, line.fresh.text);
          else if (!catchUp(reply)) return end({ type: 'error', errorText: 'The reply was written anew. Please load the chat again.' });
          const { finish, error } = reply;
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
