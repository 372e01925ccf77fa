// Where the widget's script came from, and the chat that the script alone puts on a page.

// A module has no currentScript. import() leaves no element at all, but its address stands in the call stack.
const script = document.currentScript ?? [...document.scripts].find(({ src }) => /\/widget\.js(?:[?#]|$)/.test(src));
const address = script?.src || /https?:\/\/[^\s()]*\/widget\.js/.exec(Error().stack)?.[0];
if (!address) console.warn('<chat-widget> needs server="https://…".');

let placed;

/**
 * Puts a chat on the page, unless the page has one of its own. It stands beside <body>, since Turbo and others replace
 * <body> and keep a copy of what is in it.
 */
const place = () => {
  const html = document.documentElement;
  if ([...document.querySelectorAll('chat-widget')].some((el) => el !== placed)) {
    placed?.remove();
    placed = null;
    return;
  }
  if (placed) {
    // A page that was hydrated anew has another <html>; a page that removed the chat does not want it.
    if (placed.parentNode && !placed.isConnected) html.append(placed);
    return;
  }
  placed = element('chat-widget');
  for (const { name, value } of script?.attributes ?? []) if (name.startsWith('data-')) placed.setAttribute(name.slice(5), value);
  placed.dir = getComputedStyle(document.body).direction;
  html.append(placed);
};

/** Places the chat, and again when a page without a load replaces what is there. */
const keepPlaced = () => {
  place();
  const observer = new MutationObserver(() => {
    place();
    observer.observe(document.documentElement, { childList: true });
  });
  for (const node of [document, document.documentElement]) observer.observe(node, { childList: true });
};
