// Block Markdown that grows: a line waits only until its first characters say what it is (a table's and a fence's first
// line wait for their end), then streams into the element it belongs to. CommonMark and GitHub's tables, less what
// cannot be known in time (setext headings, reference links) or what no model means (indented code, HTML).

const UNDECIDED = /^ *(?:([-*_])[ ]*(?:\1[ ]*)*|\+|\d{1,9}[.)]?|#{1,6}|`+|~+)?[ ]*$/;
const RULE = /^ {0,3}([-*_]) *(?:\1 *){2,}$/;
const ITEM = /^( *)([-*+]|(\d{1,9})[.)])( +|$)/;
const FENCE = /^( *)(`{3,}|~{3,})([^`]*)$/;
const DELIMITERS = /^[ |:-]+$/;
const MOST_UNDECIDED = 200;
const DEEPEST_BLOCK = 10;

const cells = (row) => row.trim().replace(/^\||\|$/g, '').split(/(?<!\\)\|/).map((c) => c.trim());

class Markdown {
  constructor(root, copyLabel) {
    Object.assign(this, { root, copyLabel });
    // Open quotes and list items, outermost first: {el, quote} or {el, list, kind, need, indent}. A line goes on with
    // an item from the column `need`, looser than CommonMark, as models indent; its text begins at `indent`.
    this.stack = [];
    // What the text goes into: {p}, {head}, {code}, {row} (what may be a table's first line) or {table}.
    this.leaf = null;
    // The current line as far as it is not decided.
    this.line = '';
    // '' undecided, 'whole' waits for the line's end, 'body' streams, 'skip' is done with.
    this.state = '';
    // The ranks of the headings above.
    this.levels = [];
  }

  push(text) {
    text.replaceAll('\r', '').split('\n').forEach((part, i) => {
      if (i) this.newline();
      if (!part) return;
      if (this.state === 'body') return this.write(part);
      if (this.state !== 'skip') this.line += part;
      if (!this.state) this.begin(false);
    });
  }

  /** The text is complete; what was held back is shown. */
  end() {
    if (this.line) this.newline();
    this.close(0);
  }

  newline() {
    if (!this.state || this.state === 'whole') this.begin(true);
    if (this.leaf?.head) this.closeLeaf();
    this.state = this.line = '';
  }

  /** Decides what the line is and puts its beginning where it belongs; `done`: the line is complete. */
  begin(done) {
    const { code, table, row } = this.leaf ?? {};
    let s = code ? this.line : this.line.replaceAll('\t', '    ');
    const sure = done || s.length > MOST_UNDECIDED;

    // Containers that this line continues, then those that it opens.
    let held = 0;
    let at = 0;
    for (const c of this.stack) {
      const quote = c.quote && /^ *> ?/.exec(s);
      if (c.quote ? !quote : s.trim() && s.search(/\S/) < c.need) break;
      if (quote) s = s.slice(quote[0].length);
      at = quote ? 0 : c.indent;
      held++;
    }
    at = Math.min(at, s.search(/[^ ]|$/));
    s = s.slice(at);
    const inside = held === this.stack.length;

    if (code && inside) {
      if (!sure && /^ *[`~]*$/.test(s)) return;
      const fence = done && FENCE.exec(s.trimEnd());
      if (fence && !fence[3] && fence[2].startsWith(code.fence)) return this.closeLeaf();
      if (code.lines++) code.el.append('\n');
      // A long listing is laid out in pieces, so that a line costs the same at its end.
      if (code.lines % 40 === 0) code.el.parentNode.append((code.el = element('span')));
      return this.stream(s.replace(new RegExp(`^ {0,${code.indent}}`), ''));
    }
    if (!sure && UNDECIDED.test(s)) return;
    if (!s.trim()) {
      if (!inside) this.close(held);
      if (!done) this.line = '';
      return this.closeLeaf();
    }

    const opens = [];
    for (let m; held + opens.length < DEEPEST_BLOCK && !RULE.test(s);) {
      if ((m = /^ {0,3}> ?/.exec(s))) {
        opens.push({ quote: true });
        at = 0;
      } else if ((m = ITEM.exec(s)) && !(this.leaf?.p && inside && !opens.length && m[3] > 1)) {
        const need = at + m[1].length + 2;
        at = Math.max(need, at + m[0].length);
        opens.push({ kind: m[3] ? m[2].at(-1) : m[2], start: m[3], need, indent: at });
      } else break;
      s = s.slice(m[0].length);
      if (!sure && UNDECIDED.test(s)) return;
    }
    const indent = s.search(/\S|$/);
    s = s.slice(indent);
    const fence = FENCE.exec(s);
    if (!done && (fence || s[0] === '|')) return void (this.state = 'whole');

    if (s[0] === '|' && !opens.length && inside) {
      if (table) return this.row(table.body, s, 'td', table.align);
      if (row && DELIMITERS.test(s) && cells(s).length === cells(row).length) return this.table(row, s);
    }
    const lazy = (this.leaf?.p || row) && !opens.length && !fence && !/^(#{1,6} |\|)/.test(s) && !RULE.test(s);
    if (row) this.paragraph(row);
    if (lazy) {
      this.leaf.p.br();
      return this.stream(s);
    }
    this.close(held, opens);
    for (const o of opens) this.enter(o);
    const heading = /^(#{1,6}) +/.exec(s);
    if (fence) this.fence(fence, indent);
    else if (RULE.test(s)) {
      this.parent.append(element('hr'));
      this.state = 'skip';
    }
    else if (s[0] === '|') this.leaf = { row: s };
    else if (heading) this.heading(heading[1].length, s.slice(heading[0].length));
    else if (s || !done) this.paragraph(s);
  }

  get parent() {
    return this.stack.at(-1)?.el ?? this.root;
  }

  stream(s) {
    this.state = 'body';
    this.write(s);
  }

  write(s) {
    const { code, p, head } = this.leaf;
    if (code) code.el.append(s);
    else (p ?? head).write(s);
  }

  paragraph(s) {
    const p = element('p');
    this.parent.append(p);
    this.leaf = { p: new Inline(p) };
    this.stream(s);
  }

  /** Headings say their rank by class; their level in the document follows the one above without a gap. */
  heading(rank, s) {
    while (this.levels.at(-1) >= rank) this.levels.pop();
    const h = element('h' + Math.min(6, 2 + this.levels.push(rank)), { className: 'h' + rank });
    this.parent.append(h);
    this.leaf = { head: new Inline(h) };
    this.stream(s);
  }

  fence([, , fence, info], indent) {
    const el = element('span');
    const language = info.trim().split(/\s/)[0];
    this.parent.append(element('figure', { dir: 'ltr' },
      element('figcaption', {}, element('span', { textContent: language }),
        element('button', { className: 'copy', textContent: this.copyLabel })),
      element('pre', { tabIndex: 0 }, element('code', {}, el))));
    this.leaf = { code: { el, fence, lines: 0, indent } };
  }

  table(head, delimiters) {
    const align = cells(delimiters).map((d) => (d.at(-1) === ':' ? (d[0] === ':' ? 'center' : 'end') : ''));
    const top = element('thead');
    const body = element('tbody');
    this.parent.append(element('div', { className: 'table', tabIndex: 0 }, element('table', {}, top, body)));
    this.leaf = { table: { body, align } };
    this.row(top, head, 'th', align);
  }

  row(into, line, tag, align) {
    const texts = cells(line);
    into.append(element('tr', {}, ...align.map((className, i) => {
      const cell = element(tag, { className });
      const inline = new Inline(cell);
      inline.write(texts[i] ?? '');
      inline.end();
      return cell;
    })));
  }

  /** Closes what this line left; a list goes on when the first thing opened is an item of its kind. */
  close(held, opens = []) {
    this.closeLeaf();
    const sibling = this.stack[held];
    this.stack.length = held;
    if (sibling?.list && sibling.kind === opens[0]?.kind) opens[0].list = sibling.list;
  }

  enter(o) {
    if (o.quote) this.parent.append((o.el = element('blockquote')));
    else {
      if (!o.list) {
        o.list = element(o.start ? 'ol' : 'ul');
        if (o.start > 1) o.list.start = o.start;
        this.parent.append(o.list);
      }
      o.list.append((o.el = element('li')));
    }
    this.stack.push(o);
  }

  closeLeaf() {
    if (this.leaf?.row) this.paragraph(this.leaf.row);
    (this.leaf?.p ?? this.leaf?.head)?.end();
    this.leaf = null;
    this.state = '';
  }
}
