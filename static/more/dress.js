// What an opened chat gets besides: the page's language, the other chats of this site, times, colours.

const MOST_CHATS = 50;
const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  .earlier { align-self: center; margin-bottom: 20px; padding: 6px 14px; font-size: 14px; border: 1px solid var(--line); border-radius: 20px; }
  :is(.header, .tools) button:hover { background: var(--soft); color: var(--text); }
  figcaption button:hover { background: var(--bg); color: var(--text); }
  .log { scrollbar-width: thin; }
  input { margin-inline-end: .5em; accent-color: var(--accent); }
  li:has(> p > input) { list-style: none; margin-inline-start: -1.4em; }
  .dots i:nth-child(2) { animation-delay: .15s; }
  .dots i:nth-child(3) { animation-delay: .3s; }
  pre i.comment { color: var(--dim); font-style: italic; }
  pre i.string { color: light-dark(#0b6330, #93d7a8); }
  pre i.number { color: light-dark(#8a3c00, #f0b37e); }
  pre i.keyword { color: light-dark(#6f2dbd, #cbb0ff); }
  details { margin-bottom: 8px; font-size: 14px; color: var(--dim); }
  summary { width: fit-content; cursor: pointer; }
  details div { padding-inline-start: 14px; border-inline-start: 2px solid var(--line); white-space: pre-wrap; }
  .when { display: none; padding-top: 4px; font-size: 13px; color: var(--dim); }
  .user .when { text-align: end; }
  .times .when { display: block; }
  .menu { display: none; flex: 1; overflow: auto; padding: 12px; }
  .listing .menu { display: block; }
  .listing :is(.log, .foot) { display: none; }
  .menu button { display: block; width: 100%; padding: 10px 12px; text-align: start; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
  .menu button:hover, .menu [aria-current] { background: var(--soft); }
  @media print {
    :is(.panel, .log) { height: auto; overflow: visible; }
    :is(.foot, .header button, .tools) { display: none; }
    .msg { content-visibility: visible; }
  }
  @media (max-width: 480px) {
    :host(:not([inline])) .panel {
      inset: var(--top, 0) 0 auto; height: var(--high, 100dvh);
      padding: env(safe-area-inset-top) env(safe-area-inset-right) env(safe-area-inset-bottom) env(safe-area-inset-left);
    }
  }
`);

/** The other chats of this site on this device, newest first: {id, title}. */
const chatsOf = (widget) => {
  const list = widget.stored(' list');
  return Array.isArray(list) ? list.filter((c) => typeof c?.id === 'string' && typeof c.title === 'string') : [];
};

const remember = (widget) => {
  const { hub } = widget;
  const first = hub.messages.find((m) => m.role === 'user');
  if (!hub.id || !first || widget.hasAttribute('conversation')) return;
  const chats = chatsOf(widget);
  const known = chats.find((c) => c.id === hub.id);
  const title = hub.more && known ? known.title : first.content.trim().slice(0, 80);
  if (chats[0]?.id === hub.id && known.title === title) return;
  widget.store(JSON.stringify([{ id: hub.id, title }, ...chats.filter((c) => c !== known)].slice(0, MOST_CHATS)), ' list');
};

const showMenu = (widget, shown) => {
  const { root, menu, hub, say } = widget;
  root.classList.toggle('listing', shown);
  menu.replaceChildren(...chatsOf(widget).map(({ id, title }) => {
    const button = document.createElement('button');
    Object.assign(button, { textContent: title, dir: 'auto', ariaCurrent: id === hub.id ? 'true' : null });
    button.onclick = () => {
      showMenu(widget, false);
      if (id !== hub.id) widget.newChat(id);
      widget.input.focus();
    };
    return button;
  }));
  menu.ariaLabel = say('chats');
  if (shown) (menu.querySelector('button') ?? menu).focus();
};

/** Gives a row its time, and a reply the button that shows all times. */
const clock = (widget, row) => {
  const { timestamp } = row.message;
  if (!timestamp) return;
  if (!row.user && row.message.finish !== 'error' && !row.tools.querySelector('.time')) row.tools.append(widget.kit.tool('time', widget.say('time')));
  if (row.when?.isConnected || !widget.root.classList.contains('times')) return;
  const date = new Date(timestamp);
  const today = date.toDateString() === new Date().toDateString();
  row.when = document.createElement('time');
  Object.assign(row.when, { className: 'when', dateTime: timestamp });
  row.when.textContent = new Intl.DateTimeFormat(widget.language || undefined, { timeStyle: 'short', ...(!today && { dateStyle: 'medium' }) }).format(date);
  row.note.before(row.when);
};

/** Dresses the widget, once, and from then on whatever is added to it. */
export const dress = (widget) => {
  if (widget.dress) return;
  const { root, panel, kit, list } = widget;
  const { tool, ICONS } = kit;
  Object.assign(ICONS, { chats: 'M4 6h16M4 12h16M4 18h10', time: 'M12 4a8 8 0 1 0 .1 0M12 8v4l3 2' });
  root.getRootNode().adoptedStyleSheets.push(sheet);
  const language = (widget.closest('[lang]') ?? document.documentElement).lang;
  widget.words = { ...TEXTS.en, ...TEXTS[language.slice(0, 2).toLowerCase()] };
  try {
    widget.language = Intl.getCanonicalLocales(language)[0];
  } catch {
    // No language that is known.
  }

  widget.named.chats = tool('chats', '');
  widget.named.new.before(widget.named.chats);
  widget.menu = document.createElement('nav');
  widget.menu.className = 'menu';
  widget.menu.tabIndex = -1;
  widget.log.before(widget.menu);
  widget.acts = {
    chats: () => showMenu(widget, !root.classList.contains('listing')),
    time: () => {
      root.classList.toggle('times');
      widget.dress();
    },
  };
  panel.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape' || !root.classList.contains('listing')) return;
    e.stopPropagation();
    showMenu(widget, false);
    widget.named.chats.focus();
  });

  const seen = new WeakSet();
  const coming = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      coming.unobserve(target);
      colour(target, target.closest('figure').querySelector('figcaption span').textContent);
    }
  });
  widget.think = (message) => think(widget, message);
  widget.forget = (id) => widget.store(JSON.stringify(chatsOf(widget).filter((c) => c.id !== id)), ' list');
  widget.dress = () => {
    remember(widget);
    const { hub, input } = widget;
    // What went back to the composer had arrived after all.
    if (hub.returned && hub.index(hub.returned.id) >= 0) {
      if (input.value === hub.returned.content) {
        input.value = '';
        input.oninput();
        widget.tell();
      }
      hub.returned = null;
    }
    widget.named.chats.style.display = chatsOf(widget).some((c) => c.id !== widget.hub.id) ? '' : 'none';
    for (const row of widget.rows.values()) {
      think(widget, row.message);
      // A row that is written anew has another body.
      if (!row.ended || (row.dressed === row.body && !root.classList.contains('times'))) continue;
      row.dressed = row.body;
      clock(widget, row);
      for (const code of row.md ? row.body.querySelectorAll('pre code') : []) {
        if (seen.has(code)) continue;
        seen.add(code);
        coming.observe(code);
      }
    }
  };
  // What is shown already is said anew, in the page's language.
  widget.rows = new Map();
  list.replaceChildren();
  widget.paint();
  for (const row of widget.rows.values()) row.flush();
};
