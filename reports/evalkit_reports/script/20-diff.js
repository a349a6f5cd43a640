// Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), on numbers, bounded: past so many edits it gives up.
const MOST_EDITS = 1200;

// Runs [kind, length] that lead from one sequence to the other: 0 in both, -1 only before, 1 only now.
function edits(before, now) {
  let head = 0;
  while (head < before.length && head < now.length && before[head] === now[head]) head += 1;
  let tail = 0;
  const room = Math.min(before.length, now.length) - head;
  while (tail < room && before[before.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1;
  const middle = shortest(before.slice(head, before.length - tail), now.slice(head, now.length - tail));
  return [[0, head], ...middle, [0, tail]].filter((run) => run[1]);
}

function shortest(before, now) {
  const [rows, columns] = [before.length, now.length];
  if (!rows || !columns) return [[-1, rows], [1, columns]];
  const most = Math.min(rows + columns, MOST_EDITS);
  const furthest = new Int32Array(2 * most + 3);
  const middle = most + 1;
  const steps = [];
  for (let cost = 0; cost <= most; cost += 1) {
    for (let line = -cost; line <= cost; line += 2) {
      const down = line === -cost || (line !== cost && furthest[middle + line - 1] < furthest[middle + line + 1]);
      let x = down ? furthest[middle + line + 1] : furthest[middle + line - 1] + 1;
      while (x < rows && x - line < columns && before[x] === now[x - line]) x += 1;
      furthest[middle + line] = x;
      if (x >= rows && x - line >= columns) return traced(steps, furthest, middle, rows, columns, cost);
    }
    steps.push(furthest.slice(middle - cost - 1, middle + cost + 2));
  }
  return [[-1, rows], [1, columns]];
}

function traced(steps, last, middle, rows, columns, cost) {
  const found = [];
  const add = (kind, length) => {
    if (!length) return;
    if (found.length && found[found.length - 1][0] === kind) found[found.length - 1][1] += length;
    else found.push([kind, length]);
  };
  let [x, y] = [rows, columns];
  for (let step = cost; step > 0; step -= 1) {
    const earlier = steps[step - 1];
    const at = (line) => earlier[line + step];
    const line = x - y;
    const down = line === -step || (line !== step && at(line - 1) < at(line + 1));
    const from = down ? line + 1 : line - 1;
    const [left, top] = [at(from), at(from) - from];
    const start = down ? left : left + 1;
    add(0, x - start);
    add(down ? 1 : -1, 1);
    [x, y] = [left, top];
  }
  add(0, x);
  return found.reverse();
}

const WORD = /[\p{L}\p{N}_]+\s*|[^\p{L}\p{N}_\s]\s*|\s+/gu;
const words = (text) => text.match(WORD) || [];

// Pieces [kind, text] of two texts, word by word or line by line.
function pieces(before, now, split = words) {
  const numbers = new Map();
  const numbered = (tokens) => Int32Array.from(tokens, (token) => {
    if (!numbers.has(token)) numbers.set(token, numbers.size);
    return numbers.get(token);
  });
  const [left, right] = [split(before), split(now)];
  let [x, y] = [0, 0];
  return edits(numbered(left), numbered(right)).map(([kind, length]) => {
    const text = kind === 1 ? right.slice(y, y + length) : left.slice(x, x + length);
    if (kind !== 1) x += length;
    if (kind !== -1) y += length;
    return [kind, text.join('')];
  });
}
const lines = (text) => text.match(/[^\n]*\n|[^\n]+/g) || [];

const marked = (found, side) => found.filter(([kind]) => kind === 0 || !side || kind === side)
  .map(([kind, text]) => (kind === 0 ? shown(text) : el(kind === 1 ? 'ins' : 'del', null, text)));
