// <chat-widget>: the view of one Hub. A launcher with a panel in the corner of the page or, with the attribute
// `inline`, a chat that fills the box it is placed in.

const script = document.currentScript;
const sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);

class ChatWidget extends HTMLElement {
  static observedAttributes = ['server', 'conversation', 'token', 'title', 'greeting', 'inline'];

  connectedCallback() {
    if (!this.root) this.build();
    this.paint();
    this.begin();
    if (this.inline || this.shown) this.open();
  }

  disconnectedCallback() {
    this.hub.dispose();
  }

  attributeChangedCallback(name, old, value) {
    const { hub } = this;
    if (!hub || old === value) return;
    this.paint();
    if (name === 'token') {
      hub.token = value;
      if (hub.state === 'denied') hub.connect();
    } else if (name === 'server' || name === 'conversation') {
      hub.dispose();
      this.connectedCallback();
    }
  }

  get inline() {
    return this.hasAttribute('inline');
  }

  /** Opens the panel. */
  open() {
    this.shown = true;
    this.root.classList.add('open');
    this.root.classList.remove('unread');
    if (this.hub.state === 'idle') this.hub.connect();
    if (!this.inline) (matchMedia('(pointer: coarse)').matches ? this.panel : this.input).focus();
    this.paint();
  }

  /** Closes the panel; the conversation goes on. */
  close() {
    if (this.inline) return;
    this.shown = false;
    this.root.classList.remove('open');
    this.launcher.focus();
    this.paint();
  }

  /** Says text, as soon as there is a connection. */
  send(text) {
    this.stuck = true;
    this.mine.add(this.hub.send(text).id);
  }

  /** Leaves this conversation for a new one. */
  newChat() {
    this.hub.reset();
    this.store('');
    this.hub.connect();
  }

  /** connecting, ready, waiting, writing, reconnecting, taken, expired, denied, failed; idle until first opened. */
  get state() {
    const { state, running, last } = this.hub;
    if (state !== 'ready') return state;
    if (running && this.rows.get(running)?.text) return 'writing';
    return running || last?.role === 'user' ? 'waiting' : state;
  }

  say = (name) => this.getAttribute(name) ?? TEXTS[name];

  begin() {
    const server = this.getAttribute('server') ?? (script ? new URL('.', script.src).href : location.origin);
    this.key = 'chat ' + server;
    this.rows = new Map();
    // Sent from here and not yet acknowledged.
    this.mine = new Set();
    // Whether the log follows what is written.
    this.stuck = true;
    const conversation = this.getAttribute('conversation');
    const kept = conversation ? { id: conversation } : JSON.parse(this.store() ?? '{}');
    this.hub = new Hub({ server, ...kept, token: this.getAttribute('token'), on: (...args) => this.on(...args) });
    this.sync();
    this.status();
  }

  /** What the site remembers of the conversation; kept anew when given, forgotten when empty. */
  store(value) {
    try {
      if (this.getAttribute('storage') === 'none') return;
      if (value !== undefined) localStorage.setItem(this.key, value);
      return localStorage.getItem(this.key) || undefined;
    } catch {
      // This browser keeps nothing for the site.
    }
  }

  build() {
    const { say } = this;
    const make = (...args) => (this[args[1]] = box(...args));
    const add = (name) => tool(name, say(name));
    const placeholder = say('placeholder');
    this.list = element('div', { className: 'list' });
    this.live = element('div', { className: 'sr', ariaLive: 'polite' });
    this.root = element('section', { className: 'root', title: '' },
      make('div', 'panel', { tabIndex: -1 },
        box('header', 'header', {}, element('div', { className: 'who' }, make('h2', 'heading'), make('p', 'presence')), add('new'), add('close')),
        make('div', 'log', { role: 'log', ariaLive: 'off', ariaLabel: say('log'), tabIndex: 0 },
          element('div', { className: 'column' }, make('p', 'greeting'), this.list,
            element('div', { className: 'dots' }, element('i'), element('i'), element('i')))),
        element('div', { className: 'foot' }, add('jump'), make('div', 'notice', { role: 'status' }),
          box('div', 'composer', {}, make('textarea', 'input', { rows: 1, dir: 'auto', placeholder, ariaLabel: placeholder }),
            (this.go = add('send')))),
        this.live),
      (this.launcher = add('toggle')));
    const { root, input, log } = this;
    Object.assign(this.attachShadow({ mode: 'open' }), { adoptedStyleSheets: [sheet] }).append(root);
    root.onclick = (e) => this.act(e.target.closest('button'));
    root.onkeydown = (e) => {
      if (e.key === 'Escape') this.close();
      if (e.key !== 'Enter' || e.target !== input || e.shiftKey || e.isComposing) return;
      e.preventDefault();
      this.submit();
    };
    input.oninput = () => this.grow();
    log.onscroll = () => {
      // Only a person scrolls up.
      if (log.scrollTop < this.top) this.stuck = false;
      this.top = log.scrollTop;
      if (log.scrollHeight - this.top - log.clientHeight < 8) this.stuck = true;
      root.classList.toggle('behind', !this.stuck);
    };
    new ResizeObserver(() => this.follow()).observe(log);
  }

  /** Shows what depends on the attributes. */
  paint() {
    const { root, panel, inline } = this;
    const title = this.say('title');
    this.launcher.ariaExpanded = !!this.shown;
    root.ariaLabel = this.heading.textContent = title;
    panel.role = inline ? 'group' : 'dialog';
    panel.ariaLabel = title;
    if (this.hub) this.sync();
  }

  act(target) {
    if (!target) return;
    const { hub, log } = this;
    const row = target.closest('.msg')?.row;
    const code = target.closest('figure')?.querySelector('pre').textContent;
    ({
      toggle: () => (this.shown ? this.close() : this.open()),
      close: () => this.close(),
      new: () => {
        this.newChat();
        this.input.focus();
      },
      send: () => (this.busy ? hub.stop() : this.submit()),
      jump: () => {
        this.stuck = true;
        this.follow();
      },
      copy: () => this.copy(target, code ?? row.message.content),
      regenerate: () => {
        hub.regenerate(row.message.id);
        log.focus();
      },
      again: () => {
        if (hub.state === 'expired') this.newChat();
        else hub.connect(hub.state === 'reconnecting');
        log.focus();
      },
    })[target.classList[0]]?.();
  }

  submit() {
    if (this.go.disabled || this.busy) return;
    this.send(this.input.value.trim());
    this.input.value = '';
    this.grow();
    this.input.focus();
  }

  async copy(target, text) {
    await navigator.clipboard.writeText(text);
    const before = [...target.childNodes];
    target.replaceChildren('✓');
    this.live.textContent = this.say('copied');
    setTimeout(() => target.replaceChildren(...before), 1500);
  }

  grow() {
    const { style } = this.input;
    style.height = 'auto';
    style.height = this.input.scrollHeight + 'px';
    this.status();
  }

  on(what, message, delta) {
    if (what === 'text') {
      const row = this.rows.get(message.id);
      row.add(delta);
      this.frame ??= requestAnimationFrame(() => {
        this.frame = null;
        row.flush();
        this.follow();
        this.status();
      });
      return;
    }
    if (what === 'list' || what === 'end') this.sync();
    if (what === 'end') {
      this.live.textContent = this.rows.get(message.id).el.innerText;
      this.root.classList.toggle('unread', !this.shown);
      this.emit('message', message);
    }
    this.status();
    if (what === 'refused') {
      // The text goes back where it was written.
      if (delta) this.input.value = delta + this.input.value;
      this.grow();
      this.notify(this.say('error-' + message.code) ?? message.text);
    }
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent('chat-' + name, { detail, bubbles: true, composed: true }));
  }

  /** Makes the rows what the messages are. */
  sync() {
    const { messages, unsent, id } = this.hub;
    const { list, say } = this;
    const all = [...messages, ...unsent];
    const rows = new Map();
    all.forEach((m, i) => {
      const row = this.rows.get(m.id) ?? new Row(m, say);
      rows.set(m.id, row);
      row.update(m, i >= messages.length);
      if (list.children[i] !== row.el) list.insertBefore(row.el, list.children[i] ?? null);
      if (i < messages.length && this.mine.delete(m.id)) this.emit('message', m);
    });
    while (list.children.length > all.length) list.lastChild.remove();
    this.rows = rows;
    this.root.classList.toggle('talk', all.length);
    this.greeting.textContent = say('greeting');
    if (all.length) this.store(JSON.stringify({ id, unsent }));
    this.follow();
  }

  follow() {
    const { log } = this;
    if (!this.stuck) return;
    log.scrollTop = log.scrollHeight;
    // The event comes later: somebody may have scrolled on by then.
    this.top = log.scrollTop;
  }

  notify(text, action) {
    this.notice.replaceChildren(text, text && action ? box('button', 'again', {}, action) : '');
  }

  /** Shows what is happening. */
  status() {
    const { hub, state, root, go, say } = this;
    const busy = (this.busy = state === 'waiting' || state === 'writing');
    if (state === 'expired' && !hub.messages.length && !this.hasAttribute('conversation')) return this.newChat();
    const away = state === 'reconnecting';
    const trouble = away ? hub.tries > 1 && say(navigator.onLine ? 'lost' : 'offline') : say(state + '-long');
    go.disabled = !busy && ((trouble && !away) || !this.input.value.trim());
    if (this.seen === state + trouble) return;
    this.seen = state + trouble;
    root.dataset.state = state;
    root.classList.toggle('busy', busy);
    root.classList.toggle('on', hub.state === 'ready');
    go.replaceChildren(icon(busy ? 'stop' : 'send'));
    go.title = go.ariaLabel = say(busy ? 'stop' : 'send');
    this.presence.textContent = say(state) ?? say('idle');
    if (state === 'waiting') this.live.textContent = say(state);
    this.notify(trouble || '', say(state + '-action') ?? say('retry'));
    this.emit('state', { state });
  }
}

customElements.define('chat-widget', ChatWidget);

// The script alone puts a chat on the page, unless the page has one; its data-* become the attributes.
const place = () => {
  if (!script || document.querySelector('chat-widget')) return;
  const el = document.createElement('chat-widget');
  for (const { name, value } of script.attributes) if (name.startsWith('data-')) el.setAttribute(name.slice(5), value);
  document.body.append(el);
};
if (document.body) place();
else addEventListener('DOMContentLoaded', place);
