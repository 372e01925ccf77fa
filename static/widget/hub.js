// One conversation with the hub, over a WebSocket that comes back by itself and resumes where it was
// (PROTOCOL.md, "WebSocket"). The widget and the AI SDK transport both stand on it.

// For a connection to say `ready`; silence after which it is asked whether it lives; for the answer.
const [CONNECT_MS, QUIET_MS, PONG_MS] = [15000, 25000, 8000];
// Close codes after which only a person, or the page, connects again.
const FINAL = { 4401: 'denied', 4404: 'expired', 1003: 'failed', 1007: 'failed', 1009: 'failed' };

// An object URL ends in a UUID, also where crypto.randomUUID is missing (a page without TLS).
const uuid = () => crypto.randomUUID?.() ?? URL.createObjectURL(new Blob()).slice(-36);

/**
 * `on(what, message, delta)` is told of every change: 'state'; 'unanswered', a connection ended before it began, which
 * may mean that the hub does not let this page in; 'list', messages came, went or were replaced;
 * 'text', a reply grew by delta, or, where that is empty, its reasoning; 'end', a reply ended; 'refused', with the error in place of the message, and in place
 * of delta the text that was refused, if it was one.
 * State: idle, connecting, ready, reconnecting, or one that lasts until connect() is called: denied (the token), expired
 * (no such conversation), failed (the hub will not have us); or unavailable: the hub does not list this page's origin,
 * and is asked again now and then.
 *
 * When another client takes the conversation, the hub watches it. Only what a person does here takes it back.
 */
class Hub {
  constructor({ server, id = '', unsent = [], token, Socket = WebSocket, on }) {
    Object.assign(this, { server: server.replace(/\/+$/, ''), token, Socket, on });
    this.client = uuid();
    // Counts connections, so that a token that comes late cannot open one too many.
    this.attempt = 0;
    this.clear(id, unsent);
    this.life = new AbortController();
    for (const type of ['online', 'offline', 'pageshow', 'visibilitychange'])
      globalThis.addEventListener?.(type, () => this.wake(), this.life);
  }

  clear(id, unsent) {
    this.state = 'idle';
    this.id = id;
    // The messages the hub has: {id, role, content, finish, error, offset, epoch}, a reply that came as a
    // stream has parts: {said, at, text}, in which `at` is an offset.
    this.messages = [];
    // Those it has not acknowledged: {id, role, content, behind, edit}.
    this.unsent = unsent;
    // The reply to stop and the one to replace, as long as the hub has not answered.
    this.stopping = this.replacing = '';
    // The id of the reply being written.
    this.running = '';
    // Whether another client has the conversation, and this one watches.
    this.watching = false;
    // Connections lost since the last `ready`.
    this.tries = 0;
    // Whether the hub has older messages than those held.
    this.more = false;
    // Whether it is known not to list this page's origin.
    this.barred = false;
  }

  /** Connects, or connects anew. `again`: the page does it by itself, and yields to another client. */
  async connect(again) {
    this.drop();
    if (!again) this.barred = false;
    const { attempt, messages } = this;
    this.set(this.tries ? 'reconnecting' : 'connecting');
    this.wait(CONNECT_MS, () => this.closed(1006));
    try {
      const bearer = await this.bearer();
      if (attempt !== this.attempt) return;
      const query = new URLSearchParams({ client: this.client, reasoning: 1 });
      if (again) query.set('again', 1);
      if (this.watching) query.set('watch', 1);
      const { id, role, finish, offset, epoch } = messages.at(-1) ?? {};
      if (id) query.set('after', id);
      if (role === 'assistant' && !finish) {
        query.set('offset', offset);
        if (epoch) query.set('epoch', epoch);
      }
      const ws = (this.ws = new this.Socket(`${this.server.replace(/^http/, 'ws')}/ws${this.id && '/' + encodeURIComponent(this.id)}?${query}`,
        ['chathub.v1', ...(bearer ? ['bearer.' + bearer] : [])]));
      ws.onmessage = (e) => {
        if (this.state === 'ready') this.listen();
        this.take(JSON.parse(e.data));
      };
      ws.onclose = (e) => this.closed(e.code);
    } catch {
      // No token, or an address that no socket can be opened for.
      if (attempt === this.attempt) this.closed(1007);
    }
  }

  async bearer() {
    const { token } = this;
    return typeof token === 'function' ? token() : token;
  }

  /** Says something; the answer is the message, in `unsent` until the hub has it or refuses it. */
  send(content) {
    const message = { id: uuid(), role: 'user', content };
    this.unsent.push(message);
    this.on('list');
    this.post();
    return message;
  }

  stop() {
    this.stopping = this.running || this.last.id;
    this.post();
  }

  regenerate(id) {
    this.replacing = id;
    this.post();
  }

  /** Leaves the conversation for another, or for a new one. */
  reset(id = '') {
    this.drop();
    this.clear(id, []);
    this.on('list');
  }

  dispose() {
    this.life.abort();
    this.drop();
  }

  /** Sends whatever has no answer yet; the hub does nothing twice. */
  post() {
    if (this.state === 'idle') this.connect();
    if (this.state !== 'ready') return;
    // What is said waits for the end of a reply, whoever asked for that.
    const unsent = this.running || this.messages.at(-1)?.role === 'user' ? [] : this.unsent;
    if (this.watching) {
      if (!this.stopping && !this.replacing && !unsent[0]) return;
      this.watching = false;
      return this.connect();
    }
    const say = (type, frame) => this.ws.send(JSON.stringify({ type, ...frame }));
    for (const message of unsent) say('message', message);
    if (this.replacing) say('regenerate', { of: this.replacing });
    if (this.stopping) say('stop', { id: this.stopping });
  }

  set(state) {
    this.state = this.barred && /connecting$/.test(state) ? 'unavailable' : state;
    this.on('state');
  }

  wait(ms, then) {
    clearTimeout(this.timer);
    this.timer = setTimeout(then, ms);
  }

  listen(quiet = QUIET_MS) {
    this.wait(quiet, () => {
      this.ws.send('{"type":"ping"}');
      this.wait(PONG_MS, () => this.closed(1006));
    });
  }

  /** Network or person came back, or went: find out at once instead of waiting for a timer. */
  wake() {
    if (globalThis.document?.hidden) return;
    if (this.state === 'ready') this.listen(0);
    if (this.state === 'reconnecting' || this.barred) this.connect(true);
  }

  /** Forgets the connection; what it still says and how it ends do not matter any more. */
  drop() {
    clearTimeout(this.timer);
    this.attempt++;
    if (!this.ws) return;
    this.ws.onmessage = this.ws.onclose = null;
    this.ws.close();
    this.ws = null;
  }

  closed(code) {
    this.drop();
    const greeted = this.state === 'ready';
    const error = { 1009: { code: 'message_too_large' }, 4404: { text: '' } }[code];
    if (error) for (const m of this.unsent) this.refuse(error, m);
    if (code === 4001) {
      this.watching = true;
      this.replacing = this.stopping = '';
      for (const m of this.unsent) m.lost = true;
    }
    if (FINAL[code]) return this.set(FINAL[code]);
    const most = Math.min(30000, 500 * 2 ** ++this.tries);
    this.wait(this.barred ? 60000 : (code === 1008 ? 10000 : 0) + Math.random() * most, () => this.connect(true));
    this.set('reconnecting');
    if (code === 1006 && !this.barred && !greeted) this.on('unanswered');
  }

  refuse(error, message) {
    this.unsent = this.unsent.filter((m) => m !== message);
    this.on('list');
    this.on('refused', error, message?.content);
  }

  get last() {
    return this.unsent.at(-1) ?? this.messages.at(-1);
  }

  index(id) {
    return this.messages.findIndex((m) => m.id === id);
  }

  /** Drops what is held behind the message `after`; all of it when there is none. */
  cut(after) {
    const i = this.index(after);
    if (i >= 0 || !after) this.messages.length = i + 1;
  }

  put(message) {
    const { id } = message;
    const i = this.index(id);
    this.messages[i < 0 ? this.messages.length : i] = message;
    this.unsent = this.unsent.filter((m) => m.id !== id);
  }

  end(reply, finish, error) {
    this.running = '';
    if (reply) this.on('end', Object.assign(reply, { finish, error }));
    if (this.unsent[0]) this.post();
  }

  take(f) {
    const { messages } = this;
    const reply = messages[this.index(this.running)];
    // A part is said, or thought.
    const said = f.type[0] === 't';
    switch (f.type.replace('reasoning', 'text')) {
      case 'ready':
        this.id = f.conversation_id;
        this.cut(f.after);
        for (const m of f.messages) this.put({ ...m, finish: m.finish_reason });
        this.running = f.running;
        this.watching = f.watching;
        if (!f.after) this.more = !!f.more;
        this.tries = 0;
        this.barred = false;
        this.listen();
        this.on('list');
        this.set('ready');
        for (const m of this.unsent) if (m.lost) this.refuse({ code: 'taken' }, (this.returned = m));
        this.post();
        break;
      case 'message': {
        // An acknowledgement may come again, and then what follows the message stays.
        const i = this.index(f.id);
        const known = messages[i]?.content === f.content && (!i || messages[i - 1].id === f.after);
        if (!known) this.cut(f.after);
        this.put(known ? messages[i] : f);
        this.on('list');
        break;
      }
      case 'start': {
        const id = f.messageId;
        const held = messages[this.index(id)] ?? { id, role: 'assistant' };
        const { epoch, offset } = f;
        this.cut(f.after);
        // Of its parts what is before the offset stays.
        const parts = (held.parts ?? []).filter((p) => p.at < offset);
        // Offsets count UTF-8 bytes, JavaScript UTF-16 units.
        for (const p of parts) p.text = p.text.slice(0, new TextEncoder().encodeInto(p.text, new Uint8Array(offset - p.at)).read);
        const content = parts.map((p) => (p.said ? p.text : '')).join('');
        this.put(Object.assign(held, { parts, content, offset, epoch, finish: '' }));
        if (this.replacing !== id) this.replacing = '';
        this.running = id;
        this.on('list');
        break;
      }
      case 'text-start':
        // One that is gone on with becomes two.
        reply.parts.push({ said, at: f.offset, text: '' });
        break;
      case 'text-delta':
        reply.offset = f.offset;
        reply.parts.at(-1).text += f.delta;
        if (said) reply.content += f.delta;
        this.on('text', reply, said && f.delta);
        break;
      case 'finish':
        if (reply) reply.timestamp = f.messageMetadata.timestamp;
        this.end(reply, f.messageMetadata.finish_reason);
        break;
      case 'abort':
        this.end(reply, 'stopped');
        break;
      case 'error': {
        const error = { code: f.code, text: f.errorText };
        if (f.id) this.end(messages[this.index(f.id)], 'error', error);
        // Draining: what is unsent goes out again on the next connection.
        else if (f.code !== 'draining') {
          this.replacing = '';
          this.refuse(error, this.unsent.find((m) => m.id === f.ref));
        }
        break;
      }
      case 'stopped':
        this.stopping = '';
    }
  }
}
