// <chat-widget>: the view of one Hub. A launcher with a panel in the corner of the page or, with the attribute
// `inline`, a chat that fills the box it is placed in.

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);
const coarse = matchMedia('(pointer: coarse)');
const small = matchMedia('(max-width: 480px)');
// An id that is the hub's or hub.js's. A refusal of another names no message, which would be sent again for ever.
const OURS = /^[\da-f]{8}(-[\da-f]{4}){4}[\da-f]{8}$/;

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
    this.uncover?.();
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
    if (!this.inline) (coarse.matches ? this.panel : this.input).focus();
    this.paint();
    this.grow();
    this.more().then((m) => m.dress(this), () => {});
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
    this.word = '';
    this.mine.add(this.hub.send(text).id);
  }

  /** Leaves this conversation for a new one, or for another of this site's. */
  newChat(id) {
    const { hub } = this;
    this.word = '';
    if (hub.state === 'expired') this.forget?.(hub.id);
    hub.reset(id);
    this.store(id ? JSON.stringify({ id }) : '');
    hub.connect();
  }

  /**
   * connecting, ready, waiting, writing, reconnecting, expired, denied, failed, unavailable; idle until first opened.
   */
  get state() {
    const { state, running, last } = this.hub;
    if (state !== 'ready') return state;
    if (running && this.rows.get(running)?.text) return 'writing';
    return running || last?.role === 'user' ? 'waiting' : state;
  }

  say = (name) => this.getAttribute(name) ?? this.words?.[name] ?? TEXTS[name];

  kit = { tool, ICONS };

  /** What not every visitor needs comes when it is needed first. */
  more() {
    return (this.loading ??= import(this.hub.server + '/widget-more.js').catch((error) => {
      this.loading = null;
      throw error;
    }));
  }

  /** Does what somebody asked for, or says that it could not be done. */
  need(use) {
    this.more().then(use).catch(() => this.tell(this.say('error')));
  }

  begin() {
    const server = this.getAttribute('server') ?? (address ? new URL('.', address).href : location.origin);
    const conversation = this.getAttribute('conversation');
    this.key = 'chat ' + server + (conversation ? ' ' + conversation : '');
    this.rows = new Map();
    // Sent from here and not yet acknowledged.
    this.mine = new Set();
    // Whether the log follows what is written.
    this.stuck = true;
    // What is said above the composer until it no longer holds.
    this.word = '';
    const { id, unsent } = this.stored();
    this.hub = new Hub({
      server, token: this.getAttribute('token'), on: (...args) => this.on(...args), id: conversation ?? (OURS.test(id) ? id : ''),
      unsent: [unsent].flat().filter((m) => OURS.test(m?.id) && m.role === 'user' && typeof m.content === 'string'),
    });
    this.input.value ||= this.store(null, ' draft') ?? '';
    this.sync();
    this.grow();
  }

  /** What the site remembers under a name; kept anew when a value is given. */
  store(value, name = '') {
    try {
      if (this.getAttribute('storage') === 'none') return;
      // A draft is its tab's own.
      const storage = name === ' draft' ? sessionStorage : localStorage;
      if (value != null) storage.setItem(this.key + name, value);
      return storage.getItem(this.key + name);
    } catch {
      // This browser keeps nothing for the site.
    }
  }

  /** What is stored, as far as it is what this widget writes: anything else of the site may have the name. */
  stored(name) {
    try {
      return JSON.parse(this.store(null, name) || '{}') ?? {};
    } catch {
      return {};
    }
  }

  build() {
    const { say } = this;
    const make = (...args) => (this[args[1]] = box(...args));
    const add = (name) => (this.named[name] = tool(name, ''));
    this.named = {};
    this.list = element('div', { className: 'list' });
    this.live = element('div', { className: 'sr', ariaLive: 'polite' });
    this.root = element('section', { className: 'root', title: '' },
      make('div', 'panel', { tabIndex: -1 },
        box('header', 'header', {}, element('div', { className: 'who' }, make('h2', 'heading'), make('p', 'presence')), add('new'), add('close')),
        make('div', 'log', { role: 'log', ariaLive: 'off', tabIndex: 0 },
          element('div', { className: 'column' }, make('p', 'greeting'), make('button', 'earlier'), this.list,
            element('div', { className: 'dots' }, element('i'), element('i'), element('i')))),
        element('div', { className: 'foot' }, add('jump'), make('div', 'notice', { role: 'status' }),
          box('div', 'composer', {}, make('textarea', 'input', { rows: 1, dir: 'auto' }), (this.go = add('send')))),
        this.live),
      (this.launcher = add('toggle')));
    const { root, input, log } = this;
    Object.assign(this.attachShadow({ mode: 'open' }), { adoptedStyleSheets: [sheet] }).append(root);
    root.onclick = (e) => this.act(e.target.closest('button'));
    root.onkeydown = root.onkeypress = root.onkeyup = (e) => this.press(e);
    input.oninput = () => {
      this.store(input.value, ' draft');
      this.grow();
    };
    log.onscroll = () => {
      // Only a person scrolls up.
      if (log.scrollTop < this.top) this.stuck = false;
      this.top = log.scrollTop;
      if (log.scrollHeight - this.top - log.clientHeight < 8) this.stuck = true;
      root.classList.toggle('behind', !this.stuck);
    };
    new ResizeObserver(() => {
      this.grow();
      this.follow();
    }).observe(log);
    small.addEventListener('change', () => this.paint());
  }

  /** Whether the panel covers the page. */
  get modal() {
    return !!this.shown && !this.inline && small.matches;
  }

  /** Shows what depends on the attributes. */
  paint() {
    const { root, panel, inline, input, say, named } = this;
    const title = say('title');
    this.launcher.ariaExpanded = !!this.shown;
    root.ariaLabel = this.heading.textContent = title;
    panel.role = inline ? 'group' : 'dialog';
    panel.ariaLabel = title;
    for (const name in named) named[name].title = named[name].ariaLabel = say(name);
    this.log.ariaLabel = say('log');
    this.earlier.textContent = say('earlier');
    input.placeholder = input.ariaLabel = say('placeholder');
    input.enterKeyHint = coarse.matches ? 'enter' : 'send';
    panel.ariaModal = this.modal || null;
    this.seen = '';
    if (!this.hub) return;
    if (this.modal) this.more().then((m) => this.modal && m.cover(this), () => {});
    else this.uncover?.();
    this.sync();
    this.status();
  }

  press(e) {
    const { input } = this;
    // The page's shortcuts are not meant for what is typed here.
    if (e.target === input) e.stopPropagation();
    // An input method has its keys for itself; Safari says so by 229 alone.
    if (e.type !== 'keydown' || e.isComposing || e.keyCode === 229) return;
    if (e.key === 'Escape') this.close();
    if (e.key !== 'Enter' || e.target !== input || e.shiftKey || (coarse.matches && !e.ctrlKey && !e.metaKey)) return;
    e.preventDefault();
    this.submit();
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
      send: () => (this.stops ? hub.stop() : this.submit()),
      jump: () => {
        this.stuck = true;
        this.follow();
      },
      copy: () => this.need((m) => m.copy(this, target, code ?? row.message.content)),
      regenerate: () => {
        hub.regenerate(row.message.id);
        log.focus();
      },
      earlier: () => this.need((m) => m.earlier(this)),
      again: () => {
        if (hub.state === 'expired') this.newChat();
        else hub.connect(hub.state === 'reconnecting');
        log.focus();
      },
      ...this.acts,
    })[target.classList[0]]?.();
  }

  submit() {
    if (!this.input.value.trim()) return;
    if (this.busy && !this.hub.watching) return this.tell(this.say('later'));
    if (this.go.disabled) return;
    this.send(this.input.value.trim());
    this.input.value = '';
    this.input.oninput();
    this.input.focus();
  }

  grow() {
    const { style } = this.input;
    style.height = 'auto';
    const { scrollHeight } = this.input;
    if (scrollHeight) style.height = scrollHeight + 'px';
    this.status();
  }

  on(what, message, delta) {
    if (what === 'text') {
      const row = this.rows.get(message.id);
      if (delta) row.add(delta);
      this.frame ??= requestAnimationFrame(() => {
        this.frame = null;
        row.flush();
        this.think?.(message);
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
    if (what === 'unanswered') this.more().then((m) => m.probe(this.hub), () => {});
    if (what === 'refused') {
      // The text goes back where it was written.
      if (delta) {
        this.input.value = [delta, this.input.value].filter(Boolean).join('\n');
        this.input.oninput();
      }
      this.tell(this.say('error-' + message.code) ?? message.text);
    }
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent('chat-' + name, { detail, bubbles: true, composed: true }));
  }

  /** Makes the rows what the messages are. */
  sync() {
    const { messages, unsent, id, more } = this.hub;
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
    this.root.classList.toggle('more', more);
    this.greeting.textContent = say('greeting');
    if (all.length) this.store(JSON.stringify({ id, unsent }));
    this.dress?.();
    this.follow();
  }

  follow() {
    const { log } = this;
    if (!this.stuck) return;
    log.scrollTop = log.scrollHeight;
    // The event comes later: somebody may have scrolled on by then.
    this.top = log.scrollTop;
  }

  /** Says something until the next message is sent. */
  tell(text) {
    this.word = text ?? '';
    this.status();
  }

  /** Shows what is happening. */
  status() {
    const { hub, state, root, go, say } = this;
    const busy = state === 'waiting' || state === 'writing';
    // What was said of the answer holds no longer.
    if (this.busy && !busy && this.word === say('later')) this.word = '';
    this.busy = busy;
    const text = this.input.value.trim();
    // Who watches may send during a reply: it waits.
    const stops = (this.stops = busy && !(hub.watching && text));
    if (state === 'expired' && !hub.messages.length && !this.hasAttribute('conversation')) {
      this.newChat();
      return this.tell(say('gone'));
    }
    const away = state === 'reconnecting';
    const trouble = (away ? hub.tries > 1 && say(navigator.onLine ? 'lost' : 'offline') : say(state + '-long')) || '';
    const failed = state === 'ready' && hub.messages.at(-1)?.finish === 'error';
    go.disabled = !stops && ((trouble && !away) || !text);
    const waits = hub.watching && hub.unsent[0];
    const seen = [state, trouble, this.word, failed, stops, !waits].join();
    if (this.seen === seen) return;
    this.seen = seen;
    const told = root.dataset.state;
    root.dataset.state = state;
    root.classList.toggle('busy', busy);
    root.classList.toggle('on', hub.state === 'ready' && !failed && !waits);
    go.replaceChildren(icon(stops ? 'stop' : 'send'));
    go.title = go.ariaLabel = say(stops ? 'stop' : 'send');
    this.presence.textContent = failed ? '' : (say(state) ?? say('idle'));
    if (state === 'waiting') this.live.textContent = say(state);
    const action = trouble && state !== 'unavailable' && (say(state + '-action') ?? say(away ? 'now' : 'retry'));
    this.notice.replaceChildren(trouble || this.word, action ? box('button', 'again', {}, action) : '');
    this.follow(); // it may have taken room
    if (told !== state) this.emit('state', { state });
  }
}

// Loaded twice, the first one goes on.
if (!customElements.get('chat-widget')) {
  customElements.define('chat-widget', ChatWidget);
  if (address) {
    if (document.body) keepPlaced();
    else addEventListener('DOMContentLoaded', keepPlaced);
  }
}
