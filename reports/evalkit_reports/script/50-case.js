// One case: what the graders say before and now, the answers, the documents, the prompts, the trace.
const MODES = ['side by side', 'inline', 'raw'];

const fold = (title, open, ...children) => el('details.fold', { open }, el('summary', null, title), ...children);
const table = (label, heads, rows) => el('div.wide', { role: 'region', 'aria-label': label, tabindex: 0 },
  el('table', null, el('thead', null, el('tr', null, heads.map((head) => el('th', { scope: 'col' }, head)))),
    el('tbody', null, rows.map(([name, ...cells]) => el('tr', null, el('th', { scope: 'row' }, name),
      cells.map((cell) => (cell instanceof Node && cell.tagName === 'TD' ? cell : el('td', null, cell))))))));
const seconds = (microseconds) => amount(microseconds / 1e6, 'seconds');
const money = (microusd) => amount(microusd / 1e6, 'dollars');
const quote = (...children) => el('blockquote', { dir: 'auto' }, ...children);
const said = (trial) => (trial.e ? `(did not finish: ${trial.e.join(': ')})` : trial.a);
const passes = (trial) => trial.s.every((score) => score[2] !== false && score[5] !== 'error');

function graderTable(cases, row, record, trial) {
  return table('Graders', ['grader', 'before', 'now', 'why'], cases.graders.map((grader, place) => {
    const [before, now] = [grader.before[row], grader.now[row]];
    const score = trial && trial.s.find((item) => item[0] === place);
    const bad = grader.quality && now < 1;
    const kind = `td.nowrap${bad ? '.bad' : grader.quality && before < now ? '.good' : ''}`;
    const why = score && (bad || !grader.quality) ? [score[3].replaceAll('_', ' '), ...score[6].map(([key, text]) => `${key}: ${text}`)] : [];
    return [grader.name, el('td.nowrap', null, amount(before, grader.unit)), el(kind, null,
      bad && now < before ? '▼ ' : '', grader.quality && now > before ? '▲ ' : '', amount(now, grader.unit)),
    why.filter(Boolean).join(' · ')];
  }));
}

function answers(before, now, mode) {
  const [left, right] = [before ? said(before) : '', said(now)];
  if (!before) return [el('h4', null, 'Answer'), quote(right)];
  if (left === right) return [el('h4', null, 'Answer, the same before and now'), quote(right)];
  if (mode === 'raw') return [el('h4', null, 'Before'), el('pre', null, left), el('h4', null, 'Now'), el('pre', null, right)];
  const found = pieces(left, right);
  if (mode === 'inline') return [el('h4', null, 'Answer, from before to now'), quote(marked(found))];
  return [el('div.pair', null, el('div', null, el('h4', null, 'Before'), quote(marked(found, -1))),
    el('div', null, el('h4', null, 'Now'), quote(marked(found, 1))))];
}

function documents(before, now) {
  const old = new Map((before ? before.d : []).map((item) => [item[0], item]));
  const fresh = new Set(now.d.map((item) => item[0]));
  const all = [...now.d, ...[...old.values()].filter((item) => !fresh.has(item[0]))];
  if (!all.length) return null;
  const drawn = all.map((item) => {
    const [id, title, kind, rank, score, text] = item;
    const known = old.get(id);
    const [sign, word] = !before ? ['', ''] : !fresh.has(id) ? ['−', 'not any more'] : !known ? ['+', 'new']
      : known[5] !== text ? ['~', 'other text'] : known[3] !== rank ? ['=', `was ${known[3]}`] : ['=', ''];
    const differs = known && fresh.has(id) && known[5] !== text;
    return fold([el(sign === '+' ? 'span.good' : sign === '−' ? 'span.bad' : 'span', null, sign, ' ', word), ' ',
      el('code', null, id), ` ${title}`, el('span.why', null, ` ${kind}, rank ${rank}${score === null ? '' : `, score ${score}`}`)],
    false, quote(differs ? marked(pieces(known[5], text, lines)) : text));
  });
  const changed = before && (all.length !== now.d.length || now.d.some((item) => !old.has(item[0])));
  return fold(`Documents (${all.length})${changed ? ', not the same as before' : ''}`, Boolean(changed), drawn);
}

function prompt(before, now) {
  const text = (trial) => trial.g.map(([role, content]) => `${role}:\n${content}\n`).join('\n');
  if (!now.g.length) return null;
  const [old, fresh] = [before ? text(before) : '', text(now)];
  if (!before || old === fresh) return fold(before ? 'Prompt as the model saw it, the same before and now' : 'Prompt as the model saw it', false, el('pre', null, fresh));
  const found = pieces(old, fresh, lines);
  const signed = found.map(([kind, part]) => {
    const all = lines(part).map((line) => `${kind === 0 ? ' ' : kind === 1 ? '+' : '-'} ${line.replace(/\n?$/, '\n')}`).join('');
    return kind === 0 ? shown(all) : el(kind === 1 ? 'ins' : 'del', null, all);
  });
  return fold('Prompt as the model saw it, before and now', false, el('pre.diff', null, signed));
}

function trace(trial, when) {
  const route = trial.r.map(([name, rule, model, from]) => `${name} by ${rule} on ${model}${from ? `, escalated from ${from}` : ''}`);
  const calls = trial.m.map((call, place) => [`${place + 1}. ${call[0]}`, call[1], `${count(call[2])} in, ${count(call[3])} out`
    + (call[4] ? `, ${count(call[4])} cached` : ''), money(call[5]), seconds(call[6]), call[7] === null ? '–' : seconds(call[7]),
  call[8] ? seconds(call[8]) : '–', call[9], call[10]].map((cell, at) => (at ? el('td.nowrap', null, cell) : cell)));
  const tools = trial.t.map(([name, given, verdict, status, result]) => [el('code', null, name), el('code', null, given),
    status === 'ok' ? verdict : el('span.bad', null, `${verdict}, ${status}`), el('code', null, result)]);
  const checks = trial.p.map(([point, subject, verdict, rule, message]) => [`${point} ${subject}`,
    verdict === 'allow' ? verdict : el('span.bad', null, verdict), rule, message]);
  return [el('p.why', null, [`route: ${route.join(' → ') || 'none'}`, `intent ${trial.i || '–'}`, `risk ${trial.k || '–'}`,
    `${money(trial.c)}`, `${seconds(trial.t0)} on the wire`, trial.sim ? 'simulated model' : ''].filter(Boolean).join(' · ')),
  calls.length ? table(`Model calls ${when}`, ['model call', 'model', 'tokens', 'cost', 'latency', 'first token', 'waited', 'attempts', 'finished'], calls) : null,
  tools.length ? table(`Tool calls ${when}`, ['tool', 'arguments', 'outcome', 'result'], tools) : null,
  checks.length ? table(`Policy checks ${when}`, ['policy check', 'verdict', 'rule', 'message'], checks) : null];
}

// How earlier runs came out on a case: a bar a run, its height the share of trials that passed the strictest grader.
function sparkline(cases, row) {
  const found = cases.past.map((run) => '0123456789A'.indexOf(run.worst[row]));
  const known = found.filter((level) => level >= 0);
  if (!known.length) return null;
  const label = `${known.filter((level) => level === 10).length} of ${known.length} earlier runs pass`;
  const bars = found.map((level, place) => svg('rect', { x: place * 9, y: level < 0 ? 21 : 22 - 2 * level - 2, width: 7,
    height: level < 0 ? 1 : 2 * level + 2, fill: level === 10 ? '#2f855a' : level < 0 ? '#718096' : '#c0392b' },
  svg('title', {}, `${cases.past[place].commit || cases.past[place].run}: ${level < 0 ? 'not run' : `${level * 10}%`}`)));
  return el('p.why', null, 'Earlier runs ', svg('svg', { width: found.length * 9, height: 22, role: 'img', 'aria-label': label }, ...bars), ` ${label}`);
}

class Pane {
  constructor(box, tell, link) {
    Object.assign(this, { box, tell, link });
    this.mode = 0;
    this.row = -1;
  }

  async open(cases, row) {
    const same = this.cases === cases && this.row === row;
    Object.assign(this, { cases, row });
    if (!same) this.picked = null;
    const record = await cases.record(row);
    if (this.cases !== cases || this.row !== row) return;
    this.record = record;
    this.draw();
  }

  nextMode() {
    this.mode = (this.mode + 1) % MODES.length;
    if (this.record) this.draw();
    this.tell(`diff: ${MODES[this.mode]}`);
  }

  copy(kind) {
    if (this.row < 0) return;
    const { cases, row } = this;
    const id = cases.ids[row];
    if (kind === 'accept' && (cases.flags[row] & 1)) { this.tell('Nobody can accept a failure of a critical case.'); return; }
    const text = kind === 'link' ? this.link() : kind === 'accept'
      ? `${command('accept', cases.run, '--case', id)} --reason "…" --owner "…"`
      : command('run', cases.workflow, '--cases', id, '--trials', '5');
    const write = navigator.clipboard ? navigator.clipboard.writeText(text) : Promise.reject();
    write.then(() => this.tell(`Copied: ${text}`), () => this.tell(`To copy: ${text}`));
  }

  draw() {
    const { cases, row, record } = this;
    const [id, status] = [cases.ids[row], cases.statusOf(row)];
    const column = (key) => (key.codes[row] < 0 ? null : el('span', null, `${key.key} `, el('b', null, key.values[key.codes[row]]), ' '));
    const rules = cases.rules.filter((rule) => rule.rows.has(row)).map((rule) => rule.name);
    const button = (text, kind, key) => el('button', { type: 'button', onclick: () => this.copy(kind), 'aria-keyshortcuts': key }, text);
    this.box.replaceChildren(...[
      el('h3', null, el(`span.s-${status}`, null, `${SYMBOLS[status]} ${status}`), ' ', el('code', null, id),
        (cases.flags[row] & 1) ? el('b.tag.bad', null, 'critical') : null),
      el('p.keys', null, cases.keys.map(column), el('span', null, `${cases.tries[row]} `, cases.tries[row] === 1 ? 'trial' : 'trials')),
      rules.length ? el('p.why', null, `Behind: ${rules.join(', ')}`) : null,
      cases.accepted[row] ? el('p.note', null, cases.accepted[row]) : null,
      el('p.acts', null, button('Copy link', 'link'), button('Copy command to run it again', 'run', 'y'),
        button('Copy command to accept it', 'accept', 'a')),
      ...(record ? this.texts() : [graderTable(cases, row, null, null), el('p.note', null,
        'Its texts are not in this file: ', el('code', null, command('show', cases.run, id)))]),
      sparkline(cases, row),
    ].filter(Boolean));
  }

  texts() {
    const { cases, row, record } = this;
    const now = record.n;
    const before = record.same ? now : record.b;
    if (!this.picked) {
      const failing = now.findIndex((trial) => !passes(trial));
      this.picked = { now: Math.max(0, failing), before: 0 };
    }
    const strip = (side, trials, name) => (trials.length < 2 ? null : el('p.strip', { role: 'group', 'aria-label': `${name}: trials` }, `${name} `,
      trials.map((trial, place) => el('button', { type: 'button', 'aria-pressed': place === this.picked[side],
        onclick: () => { this.picked[side] = place; this.draw(); } }, `${passes(trial) ? '✔' : '✖'} ${place + 1}`))));
    const [mine, old] = [now[this.picked.now], before[this.picked.before]];
    if (!mine) return [graderTable(cases, row, record, null), el('p.note', null, 'The candidate has no trial of this case.')];
    return [
      graderTable(cases, row, record, mine),
      el('h4', null, 'Asked'), record.q.map(([role, text]) => quote(record.q.length > 1 ? `${role}: ` : '', text)),
      record.same ? el('p.why', null, 'The trials are the very ones of the baseline.') : strip('before', before, 'Before'), strip('now', now, 'Now'),
      ...answers(record.same ? mine : old, mine, MODES[this.mode]),
      record.x.length ? fold('Expected', true, el('dl', null, record.x.map(([key, text]) => [el('dt', null, key), el('dd', null, text)]))) : null,
      documents(old, mine), prompt(old, mine),
      fold('Trace', true, trace(mine, 'now'), old && !record.same ? [el('h4', null, 'Before'), trace(old, 'before')] : null),
    ].flat().filter(Boolean);
  }
}
