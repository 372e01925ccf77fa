// One message in the log.

const ICONS = {
  toggle: 'M21 11.5a8.4 8.4 0 0 1-12 7.6l-5.5 1.4 1.5-5A8.4 8.4 0 1 1 21 11.5Z',
  close: 'm6 6 12 12M18 6 6 18',
  new: 'M12 4H4v16h16v-8M18 3l3 3-9 9H9v-3Z',
  send: 'M12 19V5m-6 6 6-6 6 6',
  stop: 'M8 8h8v8H8Z',
  jump: 'M12 5v14m6-6-6 6-6-6',
  copy: 'M9 9h11v11H9ZM5 15H4V4h11v1',
  regenerate: 'M20 5v5h-5M19.4 10A8 8 0 1 0 20 14',
};

const icon = (name) => {
  const [svg, path] = ['svg', 'path'].map((tag) => document.createElementNS('http://www.w3.org/2000/svg', tag));
  svg.setAttribute('viewBox', '0 0 24 24');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
};

/** A box that pages can style by its name: ::part(name). */
const box = (tag, name, props, ...children) => element(tag, { className: name, part: name, ...props }, ...children);

/** A button that does what its name says: see ChatWidget.act. */
const tool = (name, title) => box('button', name, { title, ariaLabel: title }, icon(name));

class Row {
  constructor({ role }, say) {
    this.say = say;
    this.user = role === 'user';
    this.el = box('div', 'msg ' + role, { row: this });
    this.clear();
  }

  clear() {
    const { say, user } = this;
    this.body = element('div', { className: 'body', dir: 'auto' });
    this.note = element('div', { className: 'note' });
    this.tools = element('div', { className: 'tools' });
    this.text = this.queue = '';
    this.ended = false;
    this.md = !user && new Markdown(this.body, say('copy'));
    this.el.replaceChildren(element('span', { className: 'sr' }, say(user ? 'user' : 'assistant'), ': '), this.body, this.note, this.tools);
  }

  /** Brings the row to what the message is now. What is shown stays, if the text only grew. */
  update(message, unsent) {
    const { say, user, el } = this;
    const { content, finish, error } = (this.message = message);
    if (!content.startsWith(this.text) || (this.ended && (this.text !== content || !(user || finish)))) this.clear();
    this.add(content.slice(this.text.length));
    const failed = finish === 'error';
    if (!this.ended && (user || finish)) {
      this.flush();
      this.ended = true;
      if (!user) {
        this.md.end();
        // A reply that failed has one button, beside its reason.
        if (!failed) this.tools.append(content ? tool('copy', say('copy')) : '', tool('regenerate', say('regenerate')));
      }
    }
    el.classList.toggle('failed', failed);
    this.note.textContent = failed ? this.reason(error) : unsent ? say('unsent') : finish ? this.ending(finish, content.trim()) : '';
    if (failed) this.note.append(box('button', 'regenerate', {}, say('retry')));
  }

  /** Why a reply failed: one sentence, since the button beside it says what can be done. */
  reason(error) {
    const text = this.say('error-' + error?.code) ?? error?.text;
    return text ? /^.*?[.!?。؟](?=\s|$)|^.*/s.exec(text)[0] : this.say('error');
  }

  /** What there is to say of how a reply ended. */
  ending(finish, content) {
    const { say } = this;
    if (!content && /^(stop|other|length)$/.test(finish)) return say('empty-' + finish) ?? say('empty');
    return say('finish-' + finish) ?? say('finish-other');
  }

  add(delta) {
    this.text += delta;
    this.queue += delta;
  }

  flush() {
    if (this.queue) this.md ? this.md.push(this.queue) : this.body.append(this.queue);
    this.queue = '';
  }
}
