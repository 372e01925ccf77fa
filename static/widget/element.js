// <chat-widget>: the view of one Hub. A launcher with a panel in the corner of the page or, with the attribute
// `inline`, a chat that fills the box it is placed in.

const script = document.currentScript;
const sheet = new CSSStyleSheet();
sheet.replaceSync(CSS);

const LASTING = ['taken', 'expired', 'denied', 'failed'];
const quietly = (f) => {
  try {
    return f();
  } catch { /* no storage here */ }
};

class ChatWidget extends HTMLElement {
  static observedAttributes = ['server', 'conversation', 'token', 'title', 'greeting', 'inline', 'theme'];

  connectedCallback() {
    this.build();
    this.begin();
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.onchange = this.paint = () =>
      this.root.classList.toggle('dark', (this.getAttribute('theme') ?? (dark.matches ? 'dark' : '')) === 'dark');
    this.paint();
    if (this.hasAttribute('inline') || this.remembered('open')) this.open(true);
  }

  disconnectedCallback() {
    this.hub.dispose();
    this.sized.disconnect();
  }

  attributeChangedCallback(name, old, value) {
    if (!this.hub || !this.isConnected || old === value) return;
    if (name === 'token') {
      this.hub.token = value;
      if (this.hub.state === 'denied') this.hub.connect();
    } else if (name === 'server' || name === 'conversation') {
      this.hub.dispose();
      this.begin();
      if (this.shown) this.hub.connect();
    } else {
      this.paint();
      this.label();
      this.status();
    }
  }

  /** Opens the panel. */
  open(quiet) {
    this.shown = true;
    this.root.classList.add('open');
    this.root.classList.remove('unread');
    this.launcher.ariaExpanded = true;
    if (!this.hasAttribute('inline')) this.remember('open', 1);
    if (this.hub.state === 'idle') this.hub.connect();
    if (!quiet && matchMedia('(pointer: fine)').matches) this.input.focus();
    else if (!quiet) this.panel.focus();
    this.follow();
  }

  /** Closes the panel; the conversation goes on. */
  close() {
    this.shown = false;
    this.root.classList.remove('open');
    this.launcher.ariaExpanded = false;
    this.remember('open', null);
    this.launcher.focus();
  }

  /** Says text; it is sent as soon as there is a connection. */
  send(text) {
    if (!text.trim()) return;
    this.stuck = true;
    this.notify();
    this.mine.add(this.hub.send(text).id);
  }

  /** Leaves this conversation for a new one. */
  newChat() {
    this.notify();
    this.hub.reset();
    this.remember('chat', null);
    this.hub.connect();
    this.input.focus();
  }

  /** connecting, ready, waiting, writing, reconnecting, taken, expired, denied or failed. */
  get state() {
    const { state, running, unsent } = this.hub;
    if (state !== 'ready') return state;
    if (running) return this.rows.get(running)?.text ? 'writing' : 'waiting';
    return unsent.some((m) => !m.error) ? 'waiting' : state;
  }

  begin() {
    const server = this.getAttribute('server') ?? (script ? new URL('.', script.src).href : location.origin);
    this.key = 'chat ' + server;
    this.rows = new Map();
    this.mine = new Set(); // sent from here and not yet acknowledged
    this.stuck = true; // the log follows what is written
    this.list.replaceChildren();
    const fixed = this.getAttribute('conversation');
    const kept = fixed ? { id: fixed } : JSON.parse(this.remembered('chat') ?? '{}');
    this.hub = new Hub({ server, id: kept.id, token: this.getAttribute('token'), on: (...args) => this.on(...args) });
    for (const m of kept.unsent ?? []) {
      this.hub.unsent.push(m);
      this.hub.out.set(m.id, { type: 'message', id: m.id, content: m.content });
    }
    this.sync();
    this.status();
  }

  get storage() {
    return { none: null, session: sessionStorage }[this.getAttribute('storage')] ?? localStorage;
  }

  remembered(what) {
    return quietly(() => (what === 'open' ? sessionStorage : this.storage).getItem(`${this.key} ${what}`));
  }

  remember(what, value) {
    quietly(() => {
      const storage = what === 'open' ? sessionStorage : this.storage;
      if (value === null) storage.removeItem(`${this.key} ${what}`);
      else storage.setItem(`${this.key} ${what}`, value);
    });
  }

  say = (name) => this.getAttribute(name === 'title' || name === 'greeting' ? name : 'text-' + name) ?? TEXTS[name];

  build() {
    if (this.root) return;
    const part = (tag, name, ...children) => {
      const el = element(tag, { className: name }, ...children);
      el.setAttribute('part', name);
      return (this[name] = el);
    };
    this.launcher = button('toggle', '', icon('chat'));
    part('header', 'header',
      element('div', { className: 'who' }, part('h2', 'heading'), part('p', 'presence')),
      (this.fresh = button('new', '', icon('new'))), (this.shut = button('close', '', icon('close'))));
    this.empty = part('p', 'greeting');
    this.dots = element('div', { className: 'dots', ariaHidden: true }, ...'123'.split('').map(() => element('i')));
    this.list = element('div', { className: 'list' });
    part('div', 'log', element('div', { className: 'column' }, this.empty, this.list, this.dots));
    Object.assign(this.log, { role: 'log', ariaLive: 'off', tabIndex: 0 });
    this.down = button('jump', '', icon('jump'));
    part('div', 'notice');
    this.notice.role = 'status';
    this.input = part('textarea', 'input');
    Object.assign(this.input, { rows: 1, dir: 'auto', enterKeyHint: 'send' });
    this.go = button('send', '', icon('send'));
    part('form', 'composer', this.input, this.go);
    this.live = element('div', { className: 'sr', ariaLive: 'polite' });
    part('div', 'panel', this.header, this.log, element('div', { className: 'foot' }, this.down, this.notice, this.composer), this.live);
    this.panel.tabIndex = -1;
    this.root = element('section', { className: 'root', title: '' }, this.panel, this.launcher);
    const shadow = this.attachShadow({ mode: 'open' });
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(this.root);

    this.root.onclick = (e) => this.act(e.target.closest('button'));
    this.root.onkeydown = (e) => {
      if (e.key === 'Escape' && !this.hasAttribute('inline')) this.close();
      if (e.key === 'Enter' && e.target === this.input && !e.shiftKey && !e.isComposing && e.keyCode !== 229) {
        e.preventDefault();
        this.submit();
      }
    };
    this.composer.onsubmit = (e) => e.preventDefault();
    this.input.oninput = () => this.grow();
    let top = 0;
    this.log.onscroll = () => { // only a person scrolls up
      const { scrollTop, scrollHeight, clientHeight } = this.log;
      if (scrollTop < top - 1) this.stuck = false;
      if (scrollHeight - scrollTop - clientHeight < 8) this.stuck = true;
      top = scrollTop;
      this.root.classList.toggle('behind', !this.stuck);
    };
    this.sized = new ResizeObserver(() => this.follow());
    this.sized.observe(this.log);
    this.label();
  }

  label() {
    const inline = this.hasAttribute('inline');
    const name = (el, text) => (el.ariaLabel = text);
    this.root.classList.toggle('inline', inline);
    this.panel.role = inline ? null : 'dialog';
    this.heading.textContent = name(this.root, name(this.panel, this.say('title')));
    if (inline) this.panel.ariaLabel = null;
    this.empty.textContent = this.say('greeting');
    name(this.launcher, this.say('open'));
    name(this.log, this.say('log'));
    name(this.input, (this.input.placeholder = this.say('placeholder')));
    for (const [el, text] of [[this.fresh, 'new'], [this.shut, 'close'], [this.down, 'jump']]) name(el, (el.title = this.say(text)));
  }

  act(target) {
    const row = [...this.rows.values()].find((r) => r.el.contains(target));
    if (target?.className === 'copy' && !target.dataset.act) return this.copy(target, target.closest('figure').querySelector('pre').textContent);
    switch (target?.dataset.act) {
      case 'toggle': return this.shown ? this.close() : this.open();
      case 'close': return this.close();
      case 'new': return this.newChat();
      case 'send': return this.state === 'writing' || this.state === 'waiting' ? this.hub.stop() : this.submit();
      case 'jump': return (this.stuck = true), this.follow();
      case 'copy': return this.copy(target, row.message.content);
      case 'regenerate': return this.hub.regenerate(row.message.id);
      case 'retry': return row.user ? this.hub.retry(row.message) : this.hub.regenerate(row.message.id);
      case 'discard':
        this.input.value = row.message.content;
        this.hub.discard(row.message);
        return this.grow(), this.input.focus();
      case 'again': return this.hub.state === 'expired' ? this.newChat() : this.hub.connect(this.hub.state === 'reconnecting');
    }
  }

  submit() {
    if (this.go.disabled || this.state === 'writing' || this.state === 'waiting') return;
    this.send(this.input.value.trim());
    this.input.value = '';
    this.grow();
    this.input.focus();
  }

  async copy(target, text) {
    await navigator.clipboard.writeText(text);
    const old = [...target.childNodes];
    target.replaceChildren(target.dataset.act ? icon('copied') : this.say('copied'));
    this.live.textContent = this.say('copied');
    setTimeout(() => target.replaceChildren(...old), 1500);
  }

  grow() {
    this.input.style.height = 'auto';
    this.input.style.height = this.input.scrollHeight + 'px';
    this.status();
  }

  on(what, message, delta) {
    if (what === 'text') {
      this.rows.get(message.id)?.add(delta);
      this.frame ??= requestAnimationFrame(() => {
        this.frame = null;
        for (const id of [message.id]) this.rows.get(id)?.flush();
        this.follow();
        this.status();
      });
      return;
    }
    if (what === 'refused') this.notify(message.text);
    if (what === 'list') this.sync();
    if (what === 'end') {
      this.sync();
      if (!this.shown) this.root.classList.add('unread');
      const row = this.rows.get(message.id);
      this.live.textContent = row.el.textContent;
      this.tell('message', { id: message.id, role: message.role, content: message.content, finish_reason: message.finish });
    }
    this.status();
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent('chat-' + name, { detail, bubbles: true, composed: true }));
  }

  /** Makes the rows what the messages are. */
  sync() {
    const { messages, unsent, id } = this.hub;
    const all = [...messages, ...unsent];
    const rows = new Map();
    all.forEach((m, i) => {
      const row = this.rows.get(m.id) ?? new Row(m, this.say);
      rows.set(m.id, row);
      row.update(m, i >= messages.length);
      if (this.list.children[i] !== row.el) this.list.insertBefore(row.el, this.list.children[i] ?? null);
      if (i < messages.length && this.mine.delete(m.id)) this.tell('message', { id: m.id, role: m.role, content: m.content });
    });
    while (this.list.children.length > all.length) this.list.lastChild.remove();
    this.rows = rows;
    this.root.classList.toggle('talk', all.length > 0);
    if (all.length) this.remember('chat', JSON.stringify({ id, unsent: unsent.map(({ id, role, content }) => ({ id, role, content })) }));
    this.follow();
  }

  follow() {
    if (this.stuck) this.log.scrollTop = this.log.scrollHeight;
    this.root.classList.toggle('behind', !this.stuck);
  }

  notify(text, action) {
    this.notice.replaceChildren(text ?? '', action ? button('again', '', action) : '');
  }

  /** Shows what is happening. */
  status() {
    const { hub, state } = this;
    const busy = state === 'waiting' || state === 'writing';
    if (state === 'expired' && !hub.messages.length && !this.hasAttribute('conversation')) return this.newChat();
    this.go.disabled = !busy && (LASTING.includes(state) || !this.input.value.trim());
    if (this.go.icon !== busy) {
      this.go.icon = busy;
      this.go.replaceChildren(icon(busy ? 'stop' : 'send'));
      this.go.ariaLabel = this.go.title = this.say(busy ? 'stop' : 'send');
    }
    if (state === this.last && hub.tries < 2) return;
    if (state === 'waiting') this.live.textContent = this.say('waiting');
    this.root.dataset.state = state;
    this.presence.textContent = this.say(state);
    if (LASTING.includes(state)) this.notify(this.say(state + '-long'), this.say(state + '-action'));
    else if (state !== 'reconnecting') this.last !== state && this.notify();
    else if (hub.tries > 1) this.notify(this.say(navigator.onLine ? 'reconnecting-long' : 'offline'), this.say('reconnecting-action'));
    if (state !== this.last) this.tell('state', { state });
    this.last = state;
  }
}

if (!customElements.get('chat-widget')) customElements.define('chat-widget', ChatWidget);

// The script tag alone puts a chat on the page, unless the page has one of its own; its data-* are the attributes.
const place = () => {
  if (!script || 'manual' in script.dataset || document.querySelector('chat-widget')) return;
  const el = document.createElement('chat-widget');
  for (const { name, value } of script.attributes) if (name.startsWith('data-')) el.setAttribute(name.slice(5), value);
  document.body.append(el);
};
if (document.readyState === 'loading') addEventListener('DOMContentLoaded', place);
else place();
