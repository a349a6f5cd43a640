const PARTS = ['w', 'case', 'status', 'g', 'slice', 'route', 'rule', 'crit', 'sort', 'q'];

async function main() {
  const root = byId('explorer');
  const names = [...root.querySelectorAll('#x-workflow option')].map((option) => option.value);
  const control = (name) => byId(`x-${name}`);
  const live = control('live');
  const tell = (text) => { live.textContent = ''; live.append(...shown(text)); };
  let state = {};
  let cases = null;
  const pane = new Pane(control('pane'), tell, link);
  const list = new List(control('list'), (row) => { write({ case: cases.ids[row] }); pane.open(cases, row); });

  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    return Object.fromEntries(PARTS.filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
  }

  // The address follows a moment later: to change it takes longer than to filter.
  let late = 0;
  function write(change) {
    state = { ...state, ...change };
    clearTimeout(late);
    late = setTimeout(() => {
      try { history.replaceState(null, '', link()); } catch { /* a sandbox may not let us; the list works without */ }
    }, 100);
  }

  function link() {
    const kept = new URLSearchParams(PARTS.filter((name) => state[name]).map((name) => [name, state[name]]));
    return `${location.href.split('#')[0]}#${kept}`;
  }

  const options = (select, first, values) => {
    select.replaceChildren(el('option', { value: '' }, first), ...values.map((item) => (
      item.values ? el('optgroup', { label: item.key }, item.values.map((value) => el('option', { value: `${item.key}=${value}` }, value)))
        : el('option', { value: item }, item))));
    select.closest('label').hidden = !values.length;
  };

  async function load(name) {
    const place = Math.max(0, names.indexOf(name));
    const prefix = `w${place}`;
    cases = new Cases(await keep(`${prefix}-index`), prefix);
    control('workflow').value = names[place];
    statusButtons();
    options(control('g'), 'any grader', cases.graders.filter((grader) => grader.quality).map((grader) => grader.name));
    options(control('slice'), 'any slice', cases.keys.filter((key) => key.key !== 'route'));
    const route = cases.keys.find((key) => key.key === 'route');
    options(control('route'), 'any route', route ? route.values.filter(Boolean) : []);
    options(control('rule'), 'any rule', cases.rules.map((rule) => rule.name));
    options(control('sort'), 'worst first', ['id', ...cases.graders.filter((grader) => !grader.quality).map((grader) => grader.name)]);
    control('left').textContent = '';
    control('left').append(...shown(cases.left.join(' ')));
  }

  // A button for each status that a case has; the count on it is of what the other filters leave.
  function statusButtons() {
    const present = Object.keys(SYMBOLS).filter((name) => cases.counts[cases.statuses.indexOf(name)]);
    control('status').replaceChildren(...present.map((name) => el(`button.s-${name}`, { type: 'button', 'data-status': name, onclick: () => {
      const wanted = new Set((state.status || '').split(',').filter(Boolean));
      if (!wanted.delete(name)) wanted.add(name);
      write({ status: [...wanted].join(',') });
      apply();
    } })));
  }

  // Draw what the state says.
  function apply() {
    const [rows, totals] = cases.chosen(state);
    const wanted = (state.status || '').split(',');
    for (const button of control('status').children) {
      const name = button.dataset.status;
      button.setAttribute('aria-pressed', wanted.includes(name));
      button.textContent = `${SYMBOLS[name]} ${name} ${count(totals[cases.statuses.indexOf(name)])}`;
    }
    for (const name of ['g', 'slice', 'route', 'rule', 'sort', 'q']) {
      const box = control(name);
      if (box.value !== (state[name] || '') && (document.activeElement !== box || name !== 'q')) box.value = state[name] || '';
    }
    control('crit').checked = Boolean(state.crit);
    const row = cases.row.has(state.case) ? cases.row.get(state.case) : -1;
    list.show(cases, rows, row);
    control('count').textContent = `${count(rows.length)} of ${count(cases.ids.length)} cases`;
    return row;
  }

  async function follow(jump) {
    const given = read();
    if (!Object.keys(given).length && !jump) return;
    state = given;
    if (!cases || (state.w || names[0]) !== cases.workflow) await load(state.w);
    const row = apply();
    if (row >= 0) await pane.open(cases, row);
    if (state.case && row < 0) tell(`${state.case} is not among the cases of this file.`);
    if (jump !== 'first' || Object.keys(state).length) root.scrollIntoView();
  }

  const clear = () => { state = { w: state.w, case: state.case }; write({}); control('q').value = ''; apply(); };
  for (const name of ['g', 'slice', 'route', 'rule', 'sort']) {
    control(name).onchange = () => { write({ [name]: control(name).value }); apply(); };
  }
  control('crit').onchange = () => { write({ crit: control('crit').checked ? '1' : '' }); apply(); };
  control('q').oninput = () => { write({ q: control('q').value }); apply(); };
  control('workflow').onchange = async () => { state = {}; write({ w: control('workflow').value }); await load(state.w); apply(); };
  control('clear').onclick = clear;
  const help = control('help');
  const showHelp = () => { if (help.open) help.close(); else help.showModal(); };
  control('ask').onclick = showHelp;
  control('close').onclick = () => help.close();

  const within = { ArrowDown: () => list.step(1), ArrowUp: () => list.step(-1), Home: () => list.go(0), End: () => list.go(Infinity),
    PageDown: () => list.step(10), PageUp: () => list.step(-10) };
  const anywhere = { j: () => list.step(1), k: () => list.step(-1), '/': () => control('q').focus(), '?': showHelp,
    d: () => pane.nextMode(), y: () => pane.copy('run'), a: () => pane.copy('accept') };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target instanceof Element && event.target.closest('input:not([type=checkbox]), select, textarea');
    let act = null;
    if (event.key === 'Escape' && !help.open) act = () => { if (typing) { clear(); list.box.focus(); } else clear(); };
    else if (event.target === list.box && within[event.key]) act = within[event.key];
    else if (typing && event.key === 'Enter') act = () => { list.box.focus(); list.go(0); };
    else if (!typing && !help.open && control('keys').checked && anywhere[event.key]) {
      act = () => {
        if ('jk'.includes(event.key) && list.box.getBoundingClientRect().bottom > innerHeight + ROW) root.scrollIntoView();
        anywhere[event.key]();
      };
    }
    if (!act) return;
    event.preventDefault();
    act();
  });
  addEventListener('hashchange', () => follow());

  root.hidden = false;
  byId('x-static').hidden = true;
  await follow('first');
  root.dataset.ready = 'yes';
  requestIdleCallback(() => cases.haystack);  // the first search need not wait for it
}

const started = () => main().catch((error) => {
  byId('explorer').hidden = true;
  const notice = byId('x-static');
  notice.hidden = false;
  notice.textContent = `The cases cannot be opened in this browser (${error.message}).`;
});
if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', started); else started();
