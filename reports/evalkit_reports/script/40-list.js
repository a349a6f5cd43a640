// A list box of any length: only the rows that can be seen are in the document.
const ROW = 46;

class List {
  constructor(box, open) {
    this.box = box;
    this.sizer = box.firstElementChild;
    this.open = open;
    [this.rows, this.options] = [[], []];
    this.at = -1;
    [this.top, this.high] = [0, box.clientHeight];  // kept: to read them makes the browser lay the page out
    box.addEventListener('scroll', () => {
      if (box.scrollTop === this.top) return;
      this.top = box.scrollTop;
      this.draw();
    }, { passive: true });
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
  }

  // Choose the row at a place, as far as there is one.
  go(at) {
    if (!this.rows.length) return;
    this.at = Math.max(0, Math.min(this.rows.length - 1, at));
    this.scroll(this.top);
    this.open(this.rows[this.at]);
  }

  step(by) { this.go(this.at < 0 ? 0 : this.at + by); }

  // Draw from there, or from where the chosen row is in sight; the box is scrolled last, when all is laid out at once.
  scroll(top) {
    if (!this.high) this.high = this.box.clientHeight;
    const place = this.at * ROW;
    const least = this.at < 0 ? top : Math.max(top, place + ROW - this.high);
    this.top = Math.round(this.at < 0 ? least : Math.min(least, place));
    this.draw();
    if (this.box.scrollTop !== this.top) this.box.scrollTop = this.top;
  }

  draw() {
    if (!this.cases) return;
    const first = Math.max(0, Math.floor(this.top / ROW) - 4);
    const last = Math.min(this.rows.length, Math.ceil((this.top + this.high) / ROW) + 4);
    const places = [];
    for (let at = first; at < last; at += 1) places.push(at);
    if (this.at >= 0 && (this.at < first || this.at >= last)) places.push(this.at);
    while (this.options.length > places.length) this.options.pop().node.remove();
    while (this.options.length < places.length) this.options.push(new Option(this.sizer));
    places.forEach((at, place) => this.options[place].show(this, at));
    if (this.at >= 0) this.box.setAttribute('aria-activedescendant', `option-${this.at}`);
    else this.box.removeAttribute('aria-activedescendant');
  }
}

// A row of the list. Its elements stay when it shows another case: new ones would have to be styled.
class Option {
  constructor(sizer) {
    [this.status, this.id, this.head] = [el('span'), el('code'), el('div.head')];
    this.critical = el('b.tag.bad', null, 'critical');
    this.node = el('div.option', { role: 'option' }, el('div', null, this.status, ' ', this.id, this.critical), this.head);
    sizer.append(this.node);
  }

  show(list, at) {
    const [cases, row] = [list.cases, list.rows[at]];
    const status = cases.statusOf(row);
    const failing = cases.failing(row);
    const given = { id: `option-${at}`, 'aria-selected': at === list.at, 'aria-setsize': list.rows.length,
      'aria-posinset': at + 1, 'data-at': at };
    for (const [name, value] of Object.entries(given)) this.node.setAttribute(name, value);
    this.node.style.top = `${at * ROW}px`;
    this.status.className = `s-${status}`;
    this.status.textContent = `${SYMBOLS[status]} ${status}`;
    this.id.replaceChildren(...shown(cases.ids[row]));
    this.critical.hidden = (cases.flags[row] & 1) === 0;
    this.head.replaceChildren(...shown(`${failing.length ? `${failing.join(', ')} · ` : ''}${cases.heads[row]}`));
  }
}
