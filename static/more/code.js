// Colours in code. The tokenizer only says where tokens are; the text stays what it was.

const words = (list) => list.split(' ');
const KEYWORDS = new Set(words('abstract and as assert async await begin bool boolean break byte case catch chan char class const continue ' +
  'crate def default defer del delete do done double elif else elsif end enum esac except export extends false fi final finally float fn for ' +
  'from func function go goto if impl implements import in instanceof int interface is lambda let local long loop map match mod module mut ' +
  'namespace new nil none not null of operator or package pass private protected pub public raise range return select self short ' +
  'static string struct super switch then this throw throws trait true try type typedef typeof undefined union unless unsigned until use using var ' +
  'void when where while with yield'));
const SQL = new Set(words('add all alter and any as asc begin between by case cast check commit constraint create cross default delete desc ' +
  'distinct drop else end exists foreign from full group having if in index inner insert into is join key left like limit not null offset on ' +
  'or order outer primary references right rollback select set table then union unique update values view when where with'));

const STRINGS = String.raw`"(?:[^"\\\n]|\\[^])*"?|'(?:[^'\\\n]|\\[^])*'?`;
const BLOCK = String.raw`\/\*[^]*?(?:\*\/|$)`;
const family = (comment, strings, keywords = KEYWORDS, flags = '') => ({
  pattern: new RegExp(`(${comment})|(${strings})|(?<![\\w$.])(\\d[\\w.]*)|([A-Za-z_$][\\w$]*)`, 'g' + flags), keywords,
});
const C = family(`\\/\\/.*|${BLOCK}`, STRINGS + '|`(?:[^`\\\\]|\\\\[^])*`?');
const RUST = family(`\\/\\/.*|${BLOCK}`, String.raw`"(?:[^"\\]|\\[^])*"?|'(?:[^'\\\n]|\\[^'\n]+)'`);
const HASH = family('(?<![\\w$\\{])#.*', String.raw`"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|` + STRINGS);
const DASH = family(`--.*|${BLOCK}`, STRINGS, SQL, 'i');
const MARKUP = family('<!--[^]*?(?:-->|$)', STRINGS, new Set());
const STYLE = family(BLOCK, STRINGS, new Set());

const FAMILIES = [
  [C, 'js javascript mjs jsx ts typescript tsx go golang java c h cpp c++ cc cs csharp c# kotlin kt swift php scala dart json jsonc proto'],
  [RUST, 'rust rs'],
  [HASH, 'py python rb ruby sh bash shell zsh console yaml yml toml ini dockerfile makefile make perl r julia elixir nix'],
  [DASH, 'sql mysql postgresql postgres sqlite plsql'],
  [MARKUP, 'html xml svg vue'],
  [STYLE, 'css scss less'],
];
const LANGUAGES = new Map(FAMILIES.flatMap(([kind, names]) => words(names).map((name) => [name, kind])));
// Longer listings stay plain.
const MOST_CODE = 50000;

/** The tokens of a text, in order and apart: {from, to, kind}. */
export const tokens = (text, language) => {
  const { pattern, keywords } = LANGUAGES.get(language.toLowerCase()) ?? {};
  if (!pattern || text.length > MOST_CODE) return [];
  const found = [];
  for (const m of text.matchAll(pattern)) {
    const kind = m[1] !== undefined ? 'comment' : m[2] !== undefined ? 'string' : m[3] !== undefined ? 'number'
      : keywords.has(pattern.ignoreCase ? m[4].toLowerCase() : m[4]) ? 'keyword' : '';
    if (kind) found.push({ from: m.index, to: m.index + m[0].length, kind });
  }
  return found;
};

/** Colours a <code> of the Markdown renderer, piece by piece as it is laid out. */
export const colour = (code, language) => {
  const all = tokens(code.textContent, language);
  let [start, next] = [0, 0];
  for (const piece of all.length ? [...code.children] : []) {
    const text = piece.textContent;
    const end = start + text.length;
    const parts = [];
    let at = start;
    for (; next < all.length && all[next].from < end; next++) {
      const { from, to, kind } = all[next];
      const [a, b] = [Math.max(from, at), Math.min(to, end)];
      const i = document.createElement('i');
      i.className = kind;
      i.textContent = text.slice(a - start, b - start);
      parts.push(text.slice(at - start, a - start), i);
      at = b;
      // A token may go on in the next piece.
      if (to > end) break;
    }
    parts.push(text.slice(at - start));
    piece.replaceChildren(...parts);
    start = end;
  }
};
