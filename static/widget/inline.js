// Inline Markdown that grows: text goes into the DOM as it comes and is only ever appended to. An opening mark is
// believed at once (`**bo` is bold already); if its partner never comes, the element gives way to the mark as text.
// Everything from the model enters as a text node, or as the href of a link after LINK has let it pass.

const SPECIAL = /[\\`*_~\]<$]|!?\[|!$|h(?=ttps?:\/\/|t{0,2}$|ttps?:?\/?$)/gi;
const LINK = /^(?:https?:\/\/|mailto:)[^\s<>]+$/i;
// How many characters may wait for the rest of what they may become; no more are looked at, however the text was cut.
const MOST_HELD = 2000;
const DEEPEST = 8;
// Formulas on one line stay as they were written: `\(…\)`, `\[…\]`, `$$…$$`, and `$…$` where it is no price.
const FORMULA = /^(?:\\\((?:(?!\\\)).)+\\\)|\\\[(?:(?!\\\]).)+\\\]|\$\$[^$]+\$\$|\$(?![\s\d$])[^$]*(?<!\s)\$(?!\d))/;
const HALF_FORMULA = /^(?:\\[([]|\$(?:$|\$[^$]*\$?$|[^\s\d$][^$]*\$?$))/;
const MOST_FORMULA = 300;
const word = /[\p{L}\p{N}]/u;
// Punctuation of other scripts and marks of direction end an address, but not the dots inside of names.
const ADDRESS = /^https?:\/\/(?:[!-;=?-~·・]|[^\s<>\p{P}\0-\x7f\u200b\u200e-\u202e\u2066-\u206f])*/iu;

const element = (tag, props, ...children) => {
  const el = Object.assign(document.createElement(tag), props);
  el.append(...children);
  return el;
};

/** Adds text; short nodes keep adding cheap. */
const addText = (el, s) => {
  const last = el.lastChild;
  if (last?.nodeType === 3 && last.length < 1000) last.appendData(s);
  else el.append(s);
};

/** Moves all children one by one: they can be more than a call takes arguments. */
const move = (from, to) => {
  while (from.firstChild) to.append(from.firstChild);
  return to;
};

const anchor = (href, ...children) =>
  element('a', { href, target: '_blank', rel: 'noopener' }, ...children);

/** The target of a link at the start of s, `](address "title")`: [length, address]; [0] when more must come; or nothing. */
const target = (s) => {
  let i = 1;
  // Each pattern matches a prefix of what is left, in one way only.
  const eat = (pattern) => {
    pattern.lastIndex = i;
    const [found] = pattern.exec(s);
    i += found.length;
    return found;
  };
  if (i < s.length && !eat(/\(?/y)) return;
  eat(/\s*/y);
  const angle = eat(/<?/y);
  const href = eat(/(?:[^\s()<>]|\([^\s()]*\))*/y);
  if (angle) eat(/>?/y);
  if (eat(/\s*/y)) {
    eat(/(?:"[^"]*"?)?/y);
    eat(/\s*/y);
  }
  if (s[i] === ')') return [i + 1, href];
  if (i === s.length || /^\([^\s()]*$/.test(s.slice(i))) return [0];
};

class Inline {
  constructor(el) {
    // Where text goes now.
    this.el = el;
    // Marks that wait for their partner: {el, mark, c, n}.
    this.open = [];
    this.held = '';
    this.prev = ' ';
    // The length of the backtick run that opened the code being written.
    this.ticks = 0;
  }

  /** Takes more text. `last`: nothing follows on this line, so whatever was held back is decided now. */
  write(s, last) {
    s = this.held + s;
    this.held = '';
    for (let i = 0; i < s.length;) {
      const special = this.ticks ? /`+/g : SPECIAL;
      special.lastIndex = i;
      const at = special.exec(s)?.index ?? s.length;
      if (at > i) this.text(s.slice(i, at));
      if (at === s.length) return;
      const ahead = s.slice(at, at + MOST_HELD);
      const used = this.take(ahead, !last && ahead.length < MOST_HELD);
      if (!used) return void (this.held = ahead);
      i = at + used;
    }
  }

  /** Handles what s begins with; the number of characters used, 0 to wait for more of them (if `may`). */
  take(s, may) {
    const [c, next] = [s[0], s[1]];
    const plain = (n = 1) => (this.text(s.slice(0, n)), n);
    if (c === '\\' || c === '$') {
      const near = s.slice(0, MOST_FORMULA);
      const more = may && near.length < MOST_FORMULA;
      const n = FORMULA.exec(near)?.[0].length;
      if (n && !(more && n === near.length)) return plain(n);
      if (more && HALF_FORMULA.test(near)) return 0;
      if (c === '$') return plain();
      if (!next && may) return 0;
      return /[!-/:-@[-`{-~]/.test(next) ? (this.text(next), 2) : plain();
    }
    if ('`*_~'.includes(c)) {
      let n = 1;
      while (s[n] === c) n++;
      if (n === s.length && may) return 0;
      if (c === '`') this.code(n);
      else this.emphasis(c, n, s[n] ?? ' ');
      return n;
    }
    if (c === '!' || c === '[') {
      if (!next && c === '!') return may ? 0 : plain();
      // An image becomes a link: loading it would tell its host who reads.
      const mark = c === '!' ? '![' : c;
      this.push(element('span'), mark, '[', 0);
      return mark.length;
    }
    if (c === ']') {
      const k = this.open.findLastIndex((o) => o.c === '[');
      if (k < 0) return plain();
      const [n, href] = target(s) ?? [];
      if (n === 0 && may) return 0;
      if (!n || !LINK.test(href)) return this.undo(k), plain();
      const label = this.pop(k);
      label.replaceWith(move(label, anchor(href)));
      return n;
    }
    if (c === '<') {
      const [tag, href] = /^<(?:br ?\/?|((?:https?:\/\/|mailto:)[^\s<>]+))>/i.exec(s) ?? [];
      if (!tag) return may && /^<(?:(?:br?)? ?\/?|[hm][^\s<>]*)$/i.test(s) ? 0 : plain();
      this.append(href ? anchor(href, href) : element('br'));
      return tag.length;
    }
    if (/\w/.test(this.prev) || this.open.some((o) => o.c === '[')) return plain();
    const [url] = ADDRESS.exec(s) ?? [''];
    if (may && (!url || url.length === s.length)) return 0;
    // Too long for an address.
    if (url.length === MOST_HELD) return plain(MOST_HELD);
    // The sentence's punctuation is not the address's, nor is a bracket that it did not open.
    let n = url.length;
    while (n && '.,;:!?\'"*_~`])}'.includes(url[n - 1])) n--;
    if (url[n] === ')' && url.includes('(')) n++;
    const href = url.slice(0, n);
    if (!LINK.test(href)) return plain();
    this.append(anchor(href, href));
    return n;
  }

  code(n) {
    if (!this.ticks) {
      if (this.push(element('code'), '`'.repeat(n), '`', n)) this.ticks = n;
    } else if (n === this.ticks) {
      const el = this.pop(this.open.length - 1);
      // One space on each side is there to keep backticks apart.
      if (/^ .*[^ ].* $/.test(el.textContent) && !el.querySelector('br')) el.textContent = el.textContent.slice(1, -1);
      this.ticks = 0;
    } else this.text('`'.repeat(n));
  }

  emphasis(c, n, next) {
    const inside = c === '_' && word.test(this.prev) && word.test(next);
    if (!inside && !/\s/.test(this.prev)) {
      const find = (fits) => this.open.findLastIndex((o) => o.c === c && fits(o.n));
      while (n) {
        let k = find((m) => m === n);
        if (k < 0) k = find((m) => m < n);
        if (k < 0) break;
        const [outer, inner] = this.open.slice(k);
        n -= outer.n;
        // What `***` opened closes in either order.
        if (inner?.c === c && outer.el.firstChild === inner.el) {
          outer.el.before(inner.el);
          inner.el.append(move(inner.el, outer.el));
          this.open.splice(k++, 2, inner, outer);
        }
        this.pop(k);
      }
    }
    if (!n) return;
    const opens = !inside && !/\s/.test(next) && !(c === '_' && word.test(this.prev));
    if (!opens || n > 3 || (c === '~' && n !== 2)) return this.text(c.repeat(n));
    if (c === '~') return void this.push(element('del'), '~~', c, 2);
    if (n > 1) this.push(element('strong'), c + c, c, 2);
    if (n !== 2) this.push(element('em'), c, c, 1);
  }

  push(el, mark, c, n) {
    if (this.open.length >= DEEPEST) return this.text(mark);
    this.append(el);
    this.open.push({ el, mark, c, n });
    this.prev = ' ';
    this.el = el;
    return el;
  }

  /** Closes the k-th open mark; marks inside it without a partner become text. */
  pop(k) {
    while (this.open.length > k + 1) this.undo(this.open.length - 1);
    const { el } = this.open.pop();
    this.el = el.parentNode;
    this.prev = 'x';
    return el;
  }

  undo(k) {
    const { mark } = this.open[k];
    const el = this.pop(k);
    el.before(mark);
    el.replaceWith(move(el, new DocumentFragment()));
  }

  append(node) {
    this.el.append(node);
    this.prev = 'x';
  }

  text(s) {
    addText(this.el, s);
    this.prev = s.at(-1);
  }

  br() {
    if (this.held === '\\') this.held = '';
    this.write('', true);
    this.append(element('br'));
    this.prev = ' ';
  }

  end() {
    this.write('', true);
    while (this.open.length) this.undo(this.open.length - 1);
    this.ticks = 0;
  }
}
