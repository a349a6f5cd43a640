// The columns of all cases of a workflow. Rows are in the order in which they are listed, worst first.
const SIGNS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const PLACES = new Map([...SIGNS].map((sign, place) => [sign, place]));
const codes = (packed) => (typeof packed === 'string'
  ? Int16Array.from(packed, (sign) => PLACES.get(sign) ?? -1) : Int32Array.from(packed));

class Cases {
  constructor(raw, prefix) {
    Object.assign(this, raw);
    this.prefix = prefix;
    this.status = codes(raw.status);
    this.flags = codes(raw.flags);
    this.tries = codes(raw.trials);
    let place = 0;
    this.text = Int32Array.from(raw.text, (step) => { if (step === null) return -1; place += step; return place; });
    this.keys.forEach((key) => { key.codes = codes(key.codes); });
    this.graders.forEach((grader) => {
      if (grader.table) {
        const rates = [...grader.table];
        const read = (packed) => Float32Array.from(codes(packed), (code) => (code < 0 ? NaN : rates[code]));
        [grader.before, grader.now] = [read(grader.before), read(grader.now)];
      } else {
        const before = grader.before;
        const value = (number) => (number === null ? NaN : number / grader.scale);
        grader.now = Float32Array.from(grader.now, (step, row) => value(step === null ? null : step + (before[row] || 0)));
        grader.before = Float32Array.from(before, value);
      }
    });
    this.rules = raw.rules.map(([name, status, rows]) => ({ name, status, rows: new Set(rows) }));
    this.row = new Map(this.ids.map((id, row) => [id, row]));
  }

  statusOf(row) { return this.statuses[this.status[row]]; }

  get haystack() {
    if (!this.hay) this.hay = this.ids.map((id, row) => `${id} ${this.heads[row]}`.toLowerCase());
    return this.hay;
  }

  // Graders that fail now, worst first where they passed before.
  failing(row) {
    return this.graders.filter((grader) => grader.quality && grader.now[row] < 1).map((grader) => grader.name);
  }

  // A test of rows for all that the state asks but their status; null where it asks nothing else.
  test(state) {
    const tests = [];
    if (state.crit) tests.push((row) => (this.flags[row] & 1) !== 0);
    for (const [key, value] of [cut(state.slice), ['route', state.route]]) {
      const column = value && this.keys.find((item) => item.key === key);
      if (column) { const code = column.values.indexOf(value); tests.push((row) => column.codes[row] === code); }
    }
    const grader = state.g && this.graders.find((item) => item.name === state.g);
    if (grader && grader.quality) {
      tests.push((row) => grader.now[row] < 1 || (grader.before[row] !== grader.now[row] && grader.before[row] >= 0));
    }
    const rule = state.rule && this.rules.find((item) => item.name === state.rule);
    if (rule) tests.push((row) => rule.rows.has(row));
    if (state.q) {
      const [found, hay] = [state.q.toLowerCase().split(/\s+/).filter(Boolean), this.haystack];
      tests.push((row) => found.every((word) => hay[row].includes(word)));
    }
    if (tests.length < 2) return tests[0] || null;
    return (row) => tests.every((test) => test(row));
  }

  // Rows that the state asks for, in its order, and how many each status has of those that its other filters leave.
  chosen(state) {
    const test = this.test(state);
    const totals = this.statuses.map(() => 0);
    const asked = (state.status || '').split(',').filter(Boolean);
    const wanted = this.statuses.map((name) => !asked.length || asked.includes(name));
    const rows = [];
    for (let row = 0; row < this.status.length; row += 1) {
      if (test && !test(row)) continue;
      const status = this.status[row];
      totals[status] += 1;
      if (wanted[status]) rows.push(row);
    }
    const measure = this.graders.find((grader) => !grader.quality && grader.name === (state.sort || ''));
    if (measure) {
      const rise = (row) => (measure.now[row] - measure.before[row]) || -Infinity;
      rows.sort((one, other) => rise(other) - rise(one) || one - other);
    } else if (state.sort === 'id') rows.sort((one, other) => (this.ids[one] < this.ids[other] ? -1 : 1));
    return [rows, totals];
  }

  // The texts of a case, null where this file does not hold them. Long texts come as runs of lines.
  async record(row) {
    const place = this.text[row];
    if (place < 0) return null;
    const chunk = await keep(`${this.prefix}-t${Math.floor(place / this.together)}`);
    const record = chunk[place % this.together];
    const needed = new Set();
    const visit = (value) => {
      if (Array.isArray(value)) value.forEach(visit);
      else if (value && value.l) {
        for (let at = 0; at < value.l.length; at += 2) {
          for (let part = this.part(value.l[at]); part <= this.part(value.l[at] + value.l[at + 1] - 1); part += 1) needed.add(part);
        }
      } else if (value && typeof value === 'object') Object.values(value).forEach(visit);
    };
    visit(record);
    const parts = new Map();
    await Promise.all([...needed].map(async (part) => parts.set(part, await keep(`${this.prefix}-l${part}`))));
    const whole = (value) => {
      if (Array.isArray(value)) return value.map(whole);
      if (!value || typeof value !== 'object') return value;
      if (!value.l) return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, whole(item)]));
      const out = [];
      for (let at = 0; at < value.l.length; at += 2) {
        for (let line = value.l[at]; line < value.l[at] + value.l[at + 1]; line += 1) {
          const part = this.part(line);
          out.push(parts.get(part)[line - this.parts[part]]);
        }
      }
      return out.join('\n');
    };
    return whole(record);
  }

  // The block that holds a line.
  part(line) {
    let [low, high] = [0, this.parts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.parts[middle] <= line) low = middle; else high = middle - 1;
    }
    return low;
  }
}

function cut(text) {
  const place = (text || '').indexOf('=');
  return place < 0 ? ['', ''] : [text.slice(0, place), text.slice(place + 1)];
}
