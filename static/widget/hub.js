// One conversation with the hub, over a WebSocket that comes back by itself and resumes where it was
// (PROTOCOL.md, "WebSocket"). The widget and the AI SDK transport both stand on it.

const uuid = () => crypto.randomUUID?.() ?? '10000000-1000-4000-8000-100000000000'.replace(/[018]/g,
  (c) => (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));

/** The first n UTF-8 bytes of s: offsets on the wire count bytes, JavaScript counts UTF-16 units. */
const firstBytes = (s, n) => new TextDecoder('utf-8', { ignoreBOM: true })
  .decode(new TextEncoder().encode(s).subarray(0, n));

const CONNECT_MS = 15000; // for a connection to say `ready`
const QUIET_MS = 25000; // silence after which the connection is asked whether it lives
const PONG_MS = 8000; // for the answer
const FINAL = { 4001: 'taken', 4401: 'denied', 4404: 'expired', 1003: 'failed', 1007: 'failed', 1009: 'failed' };

/**
 * `on(what, message, delta)` is told of every change: 'state'; 'list', messages came, went or were replaced;
 * 'text', a reply grew by delta; 'end', a reply ended; 'refused', an error that belongs to no message.
 * State: idle, connecting, ready, reconnecting, or one that lasts until connect() is called: taken (by another
 * client), denied (the token), expired (no such conversation), failed (the hub will not have us).
 */
class Hub {
  constructor({ server, id = '', token, WebSocket = globalThis.WebSocket, on }) {
    Object.assign(this, { server: server.replace(/\/+$/, ''), id, token, Socket: WebSocket, on });
    this.client = uuid();
    this.state = 'idle';
    this.messages = []; // those the hub has: {id, role, content, time, finish, error, offset, epoch}
    this.unsent = []; // those it has not acknowledged: {id, role, content, error}
    this.out = new Map(); // frames without an answer, by key; sent again on every new connection
    this.running = ''; // the id of the reply being written
    this.tries = 0; // connections lost since the last `ready`
    this.attempt = 0; // counts connections, so that a slow token cannot open one too many
    this.life = new AbortController();
    const wake = () => this.wake();
    for (const type of ['online', 'offline', 'pageshow'])
      globalThis.addEventListener?.(type, wake, { signal: this.life.signal });
    globalThis.document?.addEventListener('visibilitychange', wake, { signal: this.life.signal });
  }

  /** Connects, or connects anew. `again`: the page does it by itself, and yields to another client. */
  async connect(again) {
    this.drop();
    const attempt = this.attempt;
    this.set(this.tries ? 'reconnecting' : 'connecting');
    this.wait(CONNECT_MS, () => this.closed(1006));
    try {
      const token = typeof this.token === 'function' ? await this.token() : this.token;
      if (attempt !== this.attempt) return;
      const query = new URLSearchParams({ client: this.client });
      if (again) query.set('again', 1);
      const last = this.messages.at(-1);
      if (last) {
        query.set('after', last.id);
        if (last.role === 'assistant' && !last.finish) {
          query.set('offset', last.offset);
          if (last.epoch !== undefined) query.set('epoch', last.epoch);
        }
      }
      const ws = new this.Socket(`${this.server.replace(/^http/, 'ws')}/ws${this.id && '/' + this.id}?${query}`,
        token ? ['chathub.v1', 'bearer.' + token] : ['chathub.v1']);
      ws.onmessage = (e) => {
        if (this.state === 'ready') this.listen();
        this.take(JSON.parse(e.data));
      };
      ws.onclose = (e) => this.closed(e.code);
      ws.onerror = () => {}; // a close follows
      this.ws = ws;
    } catch {
      if (attempt === this.attempt) this.closed(1007); // no token, or an address no socket can be opened for
    }
  }

  /** Says something; the answer is the message, in `unsent` until the hub has it. */
  send(content) {
    const message = { id: uuid(), role: 'user', content };
    this.unsent.push(message);
    this.retry(message);
    return message;
  }

  /** Sends an unsent message (again), under the id it had: the hub asks only once. */
  retry(message) {
    delete message.error;
    this.on('list');
    this.post(message.id, { type: 'message', id: message.id, content: message.content });
  }

  discard(message) {
    this.unsent = this.unsent.filter((m) => m !== message);
    this.out.delete(message.id);
    this.on('list');
  }

  stop() {
    const id = this.running || this.unsent.at(-1)?.id;
    if (id) this.post('stop', { type: 'stop', id });
  }

  regenerate(of = this.messages.at(-1)?.id) {
    this.post('regenerate', { type: 'regenerate', of });
  }

  /** Leaves the conversation and begins with another, or with a new one. */
  reset(id = '') {
    this.drop();
    Object.assign(this, { id, messages: [], unsent: [], out: new Map(), running: '', tries: 0, more: false });
    this.on('list');
    this.set('idle');
  }

  dispose() {
    this.life.abort();
    this.drop();
    this.set('idle');
  }

  post(key, frame) {
    this.out.set(key, frame);
    if (this.state === 'ready') this.ws.send(JSON.stringify(frame));
    else if (this.state === 'idle') this.connect();
  }

  set(state) {
    this.state = state;
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

  /** Network or person came back (or went): find out at once instead of waiting for a timer. */
  wake() {
    if (globalThis.document?.hidden) return;
    if (this.state === 'ready') this.listen(0);
    else if (this.state === 'reconnecting') this.connect(true);
  }

  /** Forgets the connection; what it still says or how it ends does not matter any more. */
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
    if (code === 1009) for (const m of this.unsent) this.refuse(m, 'message_too_large');
    if (FINAL[code]) return this.set(FINAL[code]);
    const most = Math.min(30000, 500 * 2 ** ++this.tries);
    this.wait((code === 1008 ? 10000 : 0) + Math.random() * most, () => this.connect(true));
    this.set('reconnecting');
  }

  refuse(message, code, text, seconds) {
    message.error = { code, text, seconds };
    this.out.delete(message.id);
    this.on('list');
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
    const i = this.index(message.id);
    this.messages[i < 0 ? this.messages.length : i] = message;
    this.unsent = this.unsent.filter((m) => m.id !== message.id);
    this.out.delete(message.id);
  }

  end(reply, finish, error) {
    this.running = '';
    if (!reply) return;
    Object.assign(reply, { finish, error });
    this.on('end', reply);
  }

  take(f) {
    const reply = this.messages[this.index(this.running)];
    switch (f.type) {
      case 'ready':
        this.id = f.conversation_id;
        this.model = f.model;
        if (!f.after) this.more = f.more;
        this.cut(f.after);
        for (const m of f.messages) this.put({ ...m, time: m.timestamp, finish: m.finish_reason });
        this.running = f.running ?? '';
        this.tries = 0;
        this.listen();
        this.on('list');
        this.set('ready');
        for (const frame of [...this.out.values()]) this.ws?.send(JSON.stringify(frame));
        break;
      case 'message': {
        // An acknowledgement may come again, and then what follows the message stays.
        const i = this.index(f.id);
        if (i < 0 || this.messages[i].content !== f.content || (i && this.messages[i - 1].id !== f.after)) {
          this.cut(f.after);
          this.put({ ...f, time: f.timestamp });
        } else this.put(this.messages[i]);
        this.on('list');
        break;
      }
      case 'start': {
        const held = this.messages[this.index(f.messageId)];
        this.cut(f.after);
        const next = held ?? { id: f.messageId, role: 'assistant', content: '', offset: 0 };
        next.finish = next.error = undefined;
        this.put(next);
        if (this.out.get('regenerate')?.of !== next.id) this.out.delete('regenerate');
        this.running = next.id;
        this.epoch = f.epoch;
        this.on('list');
        break;
      }
      case 'text-start':
        if (!reply) break;
        reply.content = firstBytes(reply.content, f.offset);
        reply.offset = f.offset;
        reply.epoch = this.epoch; // only now: until here the offset belonged to the epoch before
        this.on('list');
        break;
      case 'text-delta':
        if (!reply) break;
        reply.content += f.delta;
        reply.offset = f.offset;
        this.on('text', reply, f.delta);
        break;
      case 'finish':
        this.end(reply, f.messageMetadata?.finish_reason ?? 'stop');
        break;
      case 'abort':
        this.end(reply, 'stopped');
        break;
      case 'error': {
        const error = { code: f.code, text: f.errorText, seconds: f.retry_after };
        const mine = this.unsent.find((m) => m.id === f.ref);
        if (f.id) this.end(this.messages[this.index(f.id)], 'error', error);
        else if (!mine) {
          this.out.delete('regenerate');
          this.on('refused', error);
        } else if (f.code !== 'draining') this.refuse(mine, f.code, f.errorText, f.retry_after); // else: on the next connection
        break;
      }
      case 'stopped':
        this.out.delete('stop');
        this.on('state');
    }
  }
}
