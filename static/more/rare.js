// What few visitors need: widget.js loads it when one does.

// Between tries at a hub that does not list this page's origin: somebody may add it.
const BARRED_MS = 60000;

/** Copies by way of a selection, which works without TLS and without permission; whether it did. */
const copySelected = (root, text) => {
  const area = document.createElement('textarea');
  const { activeElement } = root.getRootNode();
  Object.assign(area, { className: 'sr', value: text });
  root.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  activeElement?.focus();
  return done;
};

/** Copies a text, and shows a tick on its button for a while. */
export const copy = async (widget, button, text) => {
  const { root, live, say } = widget;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copySelected(root, text)) return widget.tell(say('uncopied'));
  }
  button.shown ??= [...button.childNodes];
  button.replaceChildren('✓');
  live.textContent = say('copied');
  clearTimeout(button.timer);
  button.timer = setTimeout(() => button.replaceChildren(...button.shown), 1500);
};

const sessionOf = async (hub) => {
  const bearer = await hub.bearer();
  const response = await fetch(`${hub.server}/sessions/${hub.id}`, { headers: bearer ? { Authorization: 'Bearer ' + bearer } : {} });
  return response.ok && response.json();
};

/** Fetches the messages that did not fit into `ready`, and leaves what is read where it is. */
export const earlier = async (widget) => {
  const { hub, log, list } = widget;
  const { id } = hub;
  const session = await sessionOf(hub).catch(() => null);
  if (id !== hub.id) return;
  if (!session) return widget.tell(widget.say('unread'));
  const { messages } = session;
  const i = messages.findIndex((m) => m.id === hub.messages[0]?.id);
  const older = messages.slice(0, i < 0 ? messages.length : i).filter((m) => hub.index(m.id) < 0);
  const first = list.firstChild;
  const from = first.getBoundingClientRect().top;
  hub.messages = [...older.map((m) => ({ ...m, finish: m.finish_reason })), ...hub.messages];
  hub.more = false;
  widget.stuck = false;
  widget.sync();
  // Laid out once, the new rows keep their size when they are left out of the layout again.
  const rows = older.map((m) => widget.rows.get(m.id).el);
  for (const { style } of rows) style.contentVisibility = 'visible';
  log.scrollTop += first.getBoundingClientRect().top - from;
  setTimeout(() => rows.forEach(({ style }) => (style.contentVisibility = '')), 500);
  log.focus();
};

/** No handshake tells a browser that its origin is refused: asks for it where the answer can be seen. */
export const probe = async (hub) => {
  const { server, attempt } = hub;
  const ask = (path, mode) => fetch(server + path, { mode });
  try {
    await ask('/healthz', 'no-cors');
    // A proxy that answers for a hub that is away would pass for one; this file any page may read.
    if (!(await ask('/widget.js')).ok) return;
  } catch {
    // The hub is away, or the page's policy does not let us ask.
    return;
  }
  const barred = await ask('/healthz').then((r) => r.status === 403, () => true);
  if (!barred || hub.state === 'ready') return;
  if (!hub.barred) console.error(`The chat hub ${server} does not let this page use it: add ${location.origin} to its ALLOWED_ORIGINS.`);
  hub.barred = true;
  if (attempt !== hub.attempt) return;
  hub.wait(BARRED_MS, () => hub.connect(true));
  hub.set('unavailable');
};

/**
 * Makes the open panel all there is on a small screen, until the result is called: the page behind neither scrolls nor
 * gets the focus, and the panel fits above the keyboard.
 */
export const cover = (widget) => {
  if (widget.uncover) return;
  const { root, panel } = widget;
  const view = window.visualViewport;
  const life = new AbortController();
  const still = new CSSStyleSheet();
  still.replaceSync('html { overflow: hidden !important }');
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, still];
  widget.uncover = () => {
    life.abort();
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== still);
    widget.uncover = null;
  };
  const fit = () => {
    // The keyboard makes only this viewport smaller; so does pinching, which is no reason to move.
    if (view.scale > 1.01) return;
    root.style.setProperty('--top', view.offsetTop + 'px');
    root.style.setProperty('--high', view.height + 'px');
  };
  fit();
  for (const type of ['resize', 'scroll']) view.addEventListener(type, fit, life);
  document.addEventListener('focusin', (e) => e.target !== widget && panel.focus(), life);
  const trap = (e) => {
    if (e.key !== 'Tab') return;
    const all = [...panel.querySelectorAll('button:enabled, textarea, a, [tabindex="0"]')].filter((el) => el.checkVisibility());
    const [first, last] = [all[0], all.at(-1)];
    const from = root.getRootNode().activeElement;
    if (e.shiftKey ? from !== first && from !== panel : from !== last) return;
    e.preventDefault();
    (e.shiftKey ? last : first).focus();
  };
  panel.addEventListener('keydown', trap, life);
};
