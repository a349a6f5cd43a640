// A list box of any length: only the rows that can be seen are in the document.
const ROW = 46;

class List {
  constructor(box, open) {
    this.box = box;
    this.sizer = box.firstElementChild;
    this.open = open;
    this.rows = [];
    this.at = -1;
    [this.top, this.high] = [0, box.clientHeight];  // kept: to read them makes the browser lay the page out
    box.addEventListener('scroll', () => { this.top = box.scrollTop; this.draw(); }, { passive: true });
    new ResizeObserver(() => { this.high = box.clientHeight; this.draw(); }).observe(box);
    box.addEventListener('click', (event) => {
      const option = event.target.closest('[role=option]');
      if (option) this.go(Number(option.dataset.at));
    });
  }

  show(cases, rows, row) {
    this.cases = cases;
    this.rows = rows;
    this.at = rows.indexOf(row);
    this.sizer.style.height = `${rows.length * ROW}px`;
    this.scroll(0);
    this.reveal();
    this.draw();
  }

  scroll(top) {
    if (top === this.top) return;
    this.box.scrollTop = top;
    this.top = this.box.scrollTop;
  }

  // Choose the row at a place, as far as there is one.
  go(at) {
    if (!this.rows.length) return;
    this.at = Math.max(0, Math.min(this.rows.length - 1, at));
    this.reveal();
    this.draw();
    this.open(this.rows[this.at]);
  }

  step(by) { this.go(this.at < 0 ? 0 : this.at + by); }

  reveal() {
    if (this.at < 0) return;
    if (!this.high) this.high = this.box.clientHeight;
    const top = this.at * ROW;
    if (top < this.top) this.scroll(top);
    else if (top + ROW > this.top + this.high) this.scroll(top + ROW - this.high);
  }

  draw() {
    if (!this.cases) return;
    const first = Math.max(0, Math.floor(this.top / ROW) - 4);
    const last = Math.min(this.rows.length, Math.ceil((this.top + this.high) / ROW) + 4);
    const drawn = [];
    for (let at = first; at < last; at += 1) drawn.push(this.option(at));
    if (this.at >= 0 && (this.at < first || this.at >= last)) drawn.push(this.option(this.at));
    this.sizer.replaceChildren(...drawn);
    if (this.at >= 0) this.box.setAttribute('aria-activedescendant', `option-${this.at}`);
    else this.box.removeAttribute('aria-activedescendant');
  }

  option(at) {
    const [cases, row] = [this.cases, this.rows[at]];
    const status = cases.statusOf(row);
    const failing = cases.failing(row);
    const node = el('div.option', {
      role: 'option', id: `option-${at}`, 'aria-selected': at === this.at, 'aria-setsize': this.rows.length,
      'aria-posinset': at + 1, 'data-at': at,
    }, el('div', null,
      el(`span.s-${status}`, null, `${SYMBOLS[status]} ${status}`), ' ', el('code', null, cases.ids[row]),
      (cases.flags[row] & 1) ? el('b.tag.bad', null, 'critical') : null),
    el('div.head', null, failing.length ? `${failing.join(', ')} · ` : '', cases.heads[row]));
    node.style.top = `${at * ROW}px`;
    return node;
  }
}
