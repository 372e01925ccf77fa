// Block Markdown that grows: a line waits only until its first characters say what it is (a table's and a fence's first
// line wait for their end), then streams into the element it belongs to. CommonMark and GitHub's tables, less what
// cannot be known in time (setext headings, reference links) or what no model means (indented code, HTML).

const UNDECIDED = /^ *(?:([-*_])[ ]*(?:\1[ ]*)*|\+|\d{1,9}[.)]?|#{1,6}|`+|~+|\\\[?|\$\$?)?[ ]*$/;
const RULE = /^ {0,3}([-*_]) *(?:\1 *){2,}$/;
const ITEM = /^( *)([-*+]|(\d{1,9})[.)])( +|$)/;
const FENCE = /^( *)(`{3,}|~{3,}(?!~))([^`]*)$/;
const DELIMITER = /^:?-+:?$/;
const TAB = '    ';
// The line that opens a formula of several lines.
const MATH = /^(?:\\\[|\$\$)\s*$/;
const TASK = /^\[([ x])\] +/i;
const MOST_UNDECIDED = 200;
const DEEPEST_BLOCK = 10;
// A paragraph of so many characters goes on in another at the next space or tag, or after as many again: each frame that
// brings text lays its paragraph out anew. Marks that are open there become text.
const LONG = 4000;
// A table beyond these is shown as text.
const MOST_COLUMNS = 100;
const MOST_CELLS = 10000;

const cells = (row) => row.trim().replace(/^\||\|$/g, '').split(/(?<!\\)\|/).map((c) => c.trim().replaceAll('\\|', '|'));

class Markdown {
  constructor(root, copyLabel) {
    Object.assign(this, { root, copyLabel });
    // Open quotes and list items, outermost first: {el, quote} or {el, list, kind, need, indent}. A line goes on with
    // an item from the column `need`, looser than CommonMark, as models indent; its text begins at `indent`.
    this.stack = [];
    // What the text goes into: {p}, {p, head}, {code}, {row} (what may be a table's first line) or {table}.
    this.leaf = null;
    // The current line as far as it is not decided.
    this.line = '';
    // '' undecided, 'whole' waits for the line's end, 'body' streams.
    this.state = '';
    // The ranks of the headings above.
    this.levels = [];
    // Cells that rows lack are made one by one as long as this lasts: never more than the tables have characters.
    this.spare = 0;
  }

  push(text) {
    // The end of a line is \n, \r or \r\n, of which the \n may come with the next text.
    if (this.cr && text[0] === '\n') text = text.slice(1);
    else if (!text) return;
    this.cr = text.endsWith('\r');
    text.split(/\r\n?|\n/).forEach((part, i) => {
      if (i) this.newline();
      this.feed(part);
    });
  }

  /** Takes more of the current line. Its kind is decided from the same characters, however the text was cut. */
  feed(part) {
    while (part && !this.state) {
      const n = MOST_UNDECIDED - this.line.length;
      this.line += part.slice(0, n);
      part = part.slice(n);
      this.begin(false);
    }
    if (this.state === 'body') this.write(part);
    else this.line += part;
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
    let s = code ? this.line : this.line.replaceAll('\t', TAB);
    const sure = done || this.line.length >= MOST_UNDECIDED;
    const rule = (text) => done && RULE.test(text);

    // Containers that this line continues, then those that it opens.
    let held = 0;
    let at = 0;
    for (const c of this.stack) {
      const quote = c.quote && /^ *> ?/.exec(s);
      if (c.quote ? !quote : s.trim() && s.replaceAll('\t', TAB).search(/\S/) < c.need) break;
      if (quote) s = s.slice(quote[0].length);
      at = quote ? 0 : c.indent;
      held++;
    }
    at = Math.min(at, s.search(/[^ ]|$/));
    s = s.slice(at);
    const inside = held === this.stack.length;

    if (code && inside) {
      if (!sure && /^\s*[`~]* *$/.test(s)) return;
      const fence = done && FENCE.exec(s.trimEnd());
      if (fence && !fence[3] && fence[2].startsWith(code.fence)) return this.closeLeaf();
      if (code.lines++) addText(code.el, '\n');
      // A long listing is laid out in pieces, so that a line costs the same at its end.
      if (code.lines % 40 === 0) code.el.parentNode.append((code.el = element('span')));
      return this.stream(s.replace(new RegExp(`^ {0,${code.indent}}`), ''));
    }
    s = s.replaceAll('\t', TAB);
    if (!sure && UNDECIDED.test(s)) return;
    if (!s.trim()) {
      if (!inside) this.close(held);
      if (!done) this.line = '';
      return this.closeLeaf();
    }

    const { math } = this.leaf ?? {};
    if (math && inside) {
      if (!done) return void (this.state = 'whole');
      this.leaf.p.br();
      this.leaf.p.text(s);
      if (s.trimEnd().endsWith(math)) this.leaf.math = '';
      return;
    }

    const opens = [];
    for (let m; held + opens.length < DEEPEST_BLOCK && !rule(s);) {
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
    const item = opens.at(-1)?.kind;
    if (item && !sure && /^\[[ x]?\]? *$/i.test(s)) return;
    const task = item && TASK.exec(s);
    if (task) {
      if (row) this.paragraph(row);
      this.close(held, opens);
      opens.forEach((o) => this.enter(o));
      this.paragraph('');
      this.leaf.p.append(element('input', { type: 'checkbox', disabled: true, defaultChecked: task[1] !== ' ', ariaLabel: task[0].trim() }));
      return this.stream(s.slice(task[0].length));
    }
    const display = done && MATH.test(s);
    const fence = FENCE.exec(s);
    if (!done && (fence || s[0] === '|')) return void (this.state = 'whole');

    if (s[0] === '|' && !opens.length && inside) {
      if (table?.left >= table?.align.length) return this.row(table.body, s, 'td');
      const marks = row && cells(s);
      if (marks?.length <= MOST_COLUMNS && marks.every((d) => DELIMITER.test(d)) && marks.length === cells(row).length)
        return this.table(row, marks);
    }
    const lazy = (this.leaf?.p || row) && !opens.length && !fence && !/^(#{1,6} |\|)/.test(s) && !rule(s);
    if (row) this.paragraph(row);
    if (lazy) {
      this.leaf.p.br();
      if (this.leaf.size > LONG / 2) this.more();
      return display ? this.formula(s) : this.stream(s);
    }
    this.close(held, opens);
    for (const o of opens) this.enter(o);
    const heading = /^(#{1,6}) +/.exec(s);
    if (fence) this.fence(fence, indent);
    else if (rule(s)) this.parent.append(element('hr'));
    else if (s[0] === '|') this.leaf = { row: s };
    else if (heading) this.heading(heading[1].length, s.slice(heading[0].length));
    else if (display) {
      this.paragraph('');
      this.formula(s);
    } else if (s || !done) this.paragraph(s);
  }

  get parent() {
    return this.stack.at(-1)?.el ?? this.root;
  }

  stream(s) {
    this.state = 'body';
    this.write(s);
  }

  write(s) {
    const { leaf } = this;
    if (leaf.code) return addText(leaf.code.el, s);
    for (;;) {
      const from = Math.max(0, LONG - leaf.size);
      const space = s.slice(from, from + LONG + 1).search(/[\s<]/);
      let at = space < 0 ? Math.max(0, 2 * LONG - leaf.size) : from + space;
      if (/[\udc00-\udfff]/.test(s[at])) at++;
      const now = s.slice(0, at);
      leaf.size += now.length;
      leaf.p.write(now.replaceAll('\t', TAB));
      s = s.slice(at);
      if (!s) return;
      this.more();
    }
  }

  paragraph(s) {
    const p = element('p');
    this.parent.append(p);
    this.leaf = { p: new Inline(p), size: 0 };
    this.stream(s);
  }

  /** A formula goes on, as it was written, to the line that ends in its closing mark. */
  formula(s) {
    this.leaf.p.text(s);
    this.leaf.math = s[0] === '$' ? '$$' : '\\]';
  }

  /** Goes on in another paragraph. */
  more() {
    const p = element('p', { className: 'more' });
    this.leaf.p.end();
    this.parent.append(p);
    Object.assign(this.leaf, { p: new Inline(p), size: 0 });
  }

  /** Headings say their rank by class; their level in the document follows the one above without a gap. */
  heading(rank, s) {
    while (this.levels.at(-1) >= rank) this.levels.pop();
    const h = element('h' + Math.min(6, 2 + this.levels.push(rank)), { className: 'h' + rank });
    this.parent.append(h);
    this.leaf = { p: new Inline(h), head: true, size: 0 };
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

  table(head, marks) {
    const align = marks.map((d) => (d.at(-1) === ':' ? (d[0] === ':' ? 'center' : 'end') : ''));
    const top = element('thead');
    const body = element('tbody');
    this.parent.append(element('div', { className: 'table', tabIndex: 0 }, element('table', {}, top, body)));
    this.leaf = { table: { body, align, left: MOST_CELLS } };
    this.row(top, head, 'th');
  }

  row(into, line, tag) {
    const { table } = this.leaf;
    const { align } = table;
    const texts = cells(line).slice(0, align.length);
    const gaps = align.length - texts.length;
    const tr = element('tr');
    table.left -= align.length;
    this.spare += line.length;
    // A row of one character may lack a hundred cells; when `spare` is used up, one cell spans them all.
    const wide = gaps > this.spare;
    if (!wide) this.spare -= gaps;
    align.slice(0, wide ? texts.length + 1 : align.length).forEach((className, i) => {
      const cell = element(tag, { className });
      if (wide && i === texts.length) cell.colSpan = gaps;
      const inline = new Inline(cell);
      inline.write(texts[i] ?? '');
      inline.end();
      tr.append(cell);
    });
    into.append(tr);
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
    this.leaf?.p?.end();
    this.leaf = null;
    this.state = '';
  }
}
