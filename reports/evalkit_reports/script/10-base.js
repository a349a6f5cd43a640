// Elements are made, never parsed: whatever a model wrote becomes a text node.
const byId = (id) => document.getElementById(id);
const SYMBOLS = { regressed: '▼', improved: '▲', unchanged: '=', flaky: '~', new: '+', removed: '−', error: '!' };

// The same characters as evalkit.text.visible: controls, line ends, directions, what has no width.
const INVISIBLE = new RegExp('[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f'
  + '\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}'
  + '\\u{e0000}-\\u{e0fff}]|\\p{Cs}', 'gu');
const STACKED = /([\p{Mn}\p{Me}]{4})[\p{Mn}\p{Me}]+/gu;

// Nodes for a text, its invisible characters as boxed labels.
function shown(text) {
  const parts = [];
  let end = 0;
  text = String(text).replace(STACKED, '$1');
  for (const found of text.matchAll(INVISIBLE)) {
    if (found.index > end) parts.push(text.slice(end, found.index));
    const code = found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, '0');
    const box = document.createElement('span');
    box.className = 'ctl';
    box.textContent = 'U+' + code;
    parts.push(box);
    end = found.index + found[0].length;
  }
  parts.push(text.slice(end));
  return parts;
}

// el('p.note', {title: 'x', onclick: f}, 'text', node): a class after a dot, handlers as properties, the rest attributes.
function el(kind, given, ...children) {
  const [tag, ...classes] = kind.split('.');
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(' ');
  for (const [name, value] of Object.entries(given || {})) {
    if (value === null || value === undefined || (value === false && !name.startsWith('aria-'))) continue;
    if (typeof value === 'function') node[name] = value; else node.setAttribute(name, value === true && !name.startsWith('aria-') ? '' : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Node) node.append(child); else node.append(...shown(child));
  }
  return node;
}

function svg(kind, given, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', kind);
  for (const [name, value] of Object.entries(given)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

// A block of the file: JSON, deflated, in base64.
async function block(id) {
  const text = byId(id).textContent;
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return JSON.parse(await new Response(plain).text());
}

const kept = new Map();
function keep(id) {
  if (!kept.has(id)) kept.set(id, block(id));
  return kept.get(id);
}

const COUNT = new Intl.NumberFormat('en-US');
const count = (number) => COUNT.format(number);
const share = (value) => (value === null ? '–' : `${(value * 100).toFixed(value === 0 || value === 1 ? 0 : 1)}%`);
function amount(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (unit === 'share') return share(value);
  if (unit === 'seconds') return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(2)} s`;
  if (unit === 'dollars') return value > 0 && value < 0.01 ? `$${value.toFixed(6)}` : `$${value.toFixed(4)}`;
  return String(Number(value.toPrecision(4)));
}
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);
const command = (...words) => ['evalkit', ...words].map(quoted).join(' ');
