// One message in the log.

const ICONS = {
  chat: 'M21 11.5a8.4 8.4 0 0 1-12 7.6L3.5 20.5l1.5-5A8.4 8.4 0 1 1 21 11.5Z',
  close: 'm6 6 12 12M18 6 6 18',
  new: 'M12 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-6M18.4 3.6a2 2 0 0 1 2.8 2.8L12.5 15 9 15.9l.9-3.4Z',
  send: 'M12 19V5m-6 6 6-6 6 6',
  stop: 'M8 8h8v8H8Z',
  jump: 'M12 5v14m6-6-6 6-6-6',
  copy: 'M9 9h9a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H11a2 2 0 0 1-2-2ZM5 15a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2h8a2 2 0 0 1 2 2',
  copied: 'm5 12.5 4.5 4.5L19 7.5',
  regenerate: 'M20 5v5h-5M19.4 10A8 8 0 1 0 20 14',
};

const icon = (name) => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', true);
  svg.append(document.createElementNS(svg.namespaceURI, 'path'));
  svg.firstChild.setAttribute('d', ICONS[name]);
  return svg;
};

/** A button that `act` names for the widget's one click handler. */
const button = (act, label, ...content) => {
  const b = element('button', { type: 'button', className: act }, ...content);
  b.dataset.act = act;
  b.setAttribute('part', act + '-button');
  if (label) b.ariaLabel = b.title = label;
  return b;
};

class Row {
  constructor(message, text) {
    this.say = text;
    this.user = message.role === 'user';
    this.el = element('div', { className: 'msg ' + message.role });
    this.el.setAttribute('part', 'message ' + message.role);
    this.note = element('div', { className: 'note' });
    this.clear();
  }

  clear() {
    this.body = element('div', { className: 'body', dir: 'auto' });
    this.text = this.queue = '';
    this.ended = false;
    this.md = this.user ? null : new Markdown(this.body, this.say('copy'));
    this.el.replaceChildren(element('span', { className: 'sr' }, this.say(this.user ? 'you' : 'bot') + ':'), this.body, this.note);
  }

  /** Brings the row to what the message is now; what is shown already stays when the text only grew. */
  update(message, unsent) {
    this.message = message;
    const { content, finish, error } = message;
    if (!content.startsWith(this.text) || (this.ended && (this.text !== content || (!this.user && !finish)))) this.clear();
    this.add(content.slice(this.text.length));
    if (!this.ended && (this.user || finish)) {
      this.flush();
      this.md?.end();
      this.ended = true;
      if (!this.user) this.el.append(element('div', { className: 'tools' },
        button('copy', this.say('copy'), icon('copy')), button('regenerate', this.say('regenerate'), icon('regenerate'))));
    }
    this.el.classList.toggle('live', !this.ended);
    this.el.classList.toggle('unsent', !!unsent);
    this.remark(finish, error, unsent);
  }

  remark(finish, error, unsent) {
    const failed = finish === 'error' || error;
    this.el.classList.toggle('failed', !!failed);
    if (failed) {
      const { code, text, seconds } = error ?? {};
      this.note.replaceChildren(this.say('error-' + code) || text || this.say('error'),
        seconds ? ' ' + this.say('seconds').replace('{}', seconds) : '',
        button('retry', '', this.say('retry')), unsent ? button('discard', '', this.say('discard')) : '');
    } else this.note.textContent = this.say(unsent ? 'pending' : 'finish-' + finish) ?? '';
  }

  add(delta) {
    this.text += delta;
    this.queue += delta;
  }

  flush() {
    if (!this.queue) return;
    if (this.md) this.md.push(this.queue);
    else this.body.append(this.queue);
    this.queue = '';
  }
}
