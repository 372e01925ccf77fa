// What the model thinks, in front of what it says: one line that opens, for those who want to read along.

/** Shows a reply's reasoning, and for how long it took, where that was seen. */
const think = (widget, message) => {
  const row = widget.rows.get(message.id);
  const { parts } = message;
  // Text parts it, but for white space at the beginning.
  const text = parts ? parts.map((p) => (p.said ? '\n\n' : p.text)).join('').trim() : message.reasoning;
  if (!row || !text) return;
  const now = Date.now();
  const thinking = widget.hub.running === message.id && !parts?.at(-1).said;
  if (!row.thoughts) {
    row.thoughts = document.createElement('details');
    row.thoughts.append(document.createElement('summary'), document.createElement('div'));
    row.thoughts.lastChild.dir = 'auto';
    row.since = thinking && now;
    row.told = '';
  }
  if (!row.thoughts.isConnected) row.body.before(row.thoughts);
  const [summary, body] = row.thoughts.children;
  // Only what came since is added: to write all anew for each word would take its square in time.
  if (!text.startsWith(row.told)) body.textContent = row.told = '';
  if (text !== row.told) body.append(text.slice(row.told.length));
  row.told = text;
  if (row.since && (thinking || row.thinking)) row.took = Math.round((now - row.since) / 1000);
  row.thinking = thinking;
  summary.textContent = widget.say(thinking ? 'waiting' : 'thought') + (row.since ? ' ' + new Intl.NumberFormat(widget.language || undefined, { style: 'unit', unit: 'second' }).format(row.took) : '');
  clearTimeout(row.clock);
  if (thinking) row.clock = setTimeout(() => think(widget, message), 1000);
};
