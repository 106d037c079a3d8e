"""Style and script of the page of ``synth compare``."""

STYLE = """
:root { color-scheme: light dark; --PAPER: #fff; --INK: #1b1b1b; --SOFT: #555; --LINE: #ccc; --BOX: #f4f4f2;
  --LINK: #0b57a4; --DIFFERS: #a33b00; --SAME: #1d6b35; --SHADE: 190, 60, 20; }
@media screen and (prefers-color-scheme: dark) { :root { --PAPER: #16181b; --INK: #e6e6e3; --SOFT: #b0b0ab;
  --LINE: #44484d; --BOX: #22252a; --LINK: #8ec1ff; --DIFFERS: #ffb08a; --SAME: #8fdba6; --SHADE: 255, 140, 90; }
  figure svg { filter: invert(.91) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--INK); background: var(--PAPER); margin: 0; }
header, main, footer { max-width: 60rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--LINE); }
h3 { font-size: 1.02rem; margin: 1.5rem 0 .3rem; }
a { color: var(--LINK); } p, li { overflow-wrap: anywhere; max-width: 46rem; }
.answer { font-size: 1.08rem; } .small, figcaption, details { font-size: .875rem; color: var(--SOFT); }
.mark { font-weight: 700; } .differs .mark { color: var(--DIFFERS); } .same .mark { color: var(--SAME); }
.warnings { background: var(--BOX); border-left: 4px solid var(--DIFFERS); padding: .5rem 1rem; }
.warnings ul { margin: 0; padding-left: 1.1rem; } .findings { list-style: none; padding: 0; }
.findings li { margin: .5rem 0; padding-left: 1.6rem; text-indent: -1.6rem; }
.findings .mark { display: inline-block; width: 1.6rem; text-indent: 0; }
.wide { overflow-x: auto; margin: .5rem 0 1rem; } table { border-collapse: collapse; font-size: .875rem;
  font-variant-numeric: tabular-nums; } caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--LINE); }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
  text-align: left; } th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
td.context { min-width: 15rem; } td.context span { display: block; } code, pre { font: .85rem/1.5 ui-monospace, monospace; }
pre { background: var(--BOX); padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
.filters { display: flex; flex-wrap: wrap; gap: .5rem 1rem; margin: 1rem 0; align-items: end; }
.filters label { font-size: .875rem; } .filters input, .filters select { display: block; font: inherit;
  padding: .25rem .4rem; max-width: 100%; color: var(--INK); background: var(--PAPER); border: 1px solid var(--SOFT); }
article { border: 1px solid var(--LINE); padding: .6rem .9rem; margin: .8rem 0; }
article h3 { font-size: .95rem; margin: 0 0 .2rem; } .text { white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0 0; }
.text b { font-weight: 400; } .a { background: rgba(var(--SHADE), .42); } .b { background: rgba(var(--SHADE), .26); }
.c { background: rgba(var(--SHADE), .13); } .key { padding: 0 .35rem; }
@media print { .filters { display: none; } details { display: none; } figure, article { break-inside: avoid; }
  html { font-size: 11px; } body { font-size: 1rem; } header, main, footer { max-width: none; } .wide { overflow: visible; }
  table { font-size: .8rem; } th, td { padding-right: .5rem; overflow-wrap: break-word; } tr { break-inside: avoid; }
  td.context { min-width: 14rem; } .a, .b, .c { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
SCRIPT = """
for (const table of document.querySelectorAll('table.sorts')) {
  table.querySelectorAll('th').forEach((head, column) => head.firstChild.addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
    table.querySelectorAll('th').forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', down > 0 ? 'ascending' : 'descending');
    const value = row => row.cells[column].textContent;
    const amount = text => parseFloat(text.replace(/,/g, '').replace('−', '-'));
    const body = table.tBodies[0], rows = [...body.rows];
    rows.sort((a, b) => { const [x, y] = [value(a), value(b)], [m, n] = [amount(x), amount(y)];
      return down * (isNaN(m) || isNaN(n) ? x.localeCompare(y) : m - n); });
    body.append(...rows);
  }));
}
const words = document.getElementById('words'), chosen = document.getElementById('chosen');
function filter() {
  let shown = 0;
  for (const one of document.querySelectorAll('article')) {
    const fits = (!chosen.value || one.dataset.of === chosen.value)
      && one.textContent.toLowerCase().includes(words.value.toLowerCase());
    one.hidden = !fits; shown += fits;
  }
  document.getElementById('shown').textContent = shown + ' documents shown';
}
if (words) { words.addEventListener('input', filter); chosen.addEventListener('change', filter); }
"""
