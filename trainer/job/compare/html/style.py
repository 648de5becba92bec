"""The style of the HTML page; colours are Okabe and Ito's, told apart by the colour-blind."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5a6675; --paper: #fbfbfa; --card: #fff;
  --rule: #dfe3e8; --good: #00734d; --bad: #b03a00; --mark: #fff6d9;
  --c0: #4a5568; --c1: #0072b2; --c2: #d55e00; --c3: #009e73; --c4: #cc79a7; --c5: #e69f00;
  --c6: #56b4e9; --c7: #8c6d31; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa6b5; --paper: #14181d;
  --card: #1b2026; --rule: #323a44; --good: #4fd0a0; --bad: #ff9d6b; --mark: #3a3318;
  --c0: #aab4c2; --c1: #4aa8e0; --c2: #ff8a3d; --c3: #2fc79a; --c4: #e39cc4; --c5: #f2b632;
  --c6: #8fd0f5; --c7: #c9a866; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 24px 64px; }
h1 { font-size: 28px; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 19px; margin: 40px 0 12px; padding-top: 14px; border-top: 1px solid var(--rule); }
h3 { font-size: 15px; margin: 22px 0 8px; overflow-wrap: anywhere; }
p { margin: 6px 0; color: var(--soft); max-width: 75ch; overflow-wrap: anywhere; }
ul { padding: 0; margin: 10px 0; list-style: none; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; }
.legend li { display: flex; align-items: center; gap: 8px; overflow-wrap: anywhere; }
.words li { padding: 7px 12px; margin: 6px 0; background: var(--card); overflow-wrap: anywhere;
  border-left: 3px solid var(--c1); border-radius: 3px; }
.note { background: var(--mark); color: var(--ink); padding: 7px 12px; border-radius: 3px; }
.figures { display: flex; flex-wrap: wrap; gap: 20px; }
figure { margin: 0; flex: 1 1 450px; background: var(--card); border: 1px solid var(--rule);
  border-radius: 6px; padding: 12px; min-width: 0; }
.rows figure { flex-basis: 100%; }
figcaption { font-weight: 600; margin-bottom: 6px; overflow-wrap: anywhere; }
figure svg { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; margin: 16px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: 14px; }
caption { text-align: left; font-weight: 600; padding: 6px 0; }
th, td { padding: 6px 10px; border-bottom: 1px solid var(--rule); text-align: right;
  white-space: nowrap; }
th:first-child, .text { text-align: left; }
.text { min-width: 14em; white-space: normal; }
th[scope=row] { font-weight: 500; white-space: normal; overflow-wrap: break-word;
  min-width: 11em; max-width: 26em; }
thead th { color: var(--soft); font-weight: 500; }
.better { color: var(--good); font-weight: 600; }
.worse { color: var(--bad); font-weight: 600; }
.cards { display: flex; flex-wrap: wrap; gap: 10px; }
.cards li { width: 158px; padding: 8px; background: var(--card); border: 1px solid var(--rule);
  border-radius: 6px; font-size: 12px; line-height: 1.4; overflow-wrap: anywhere; }
.cards img { width: 64px; height: 64px; object-fit: contain; image-rendering: pixelated;
  display: block; margin-bottom: 4px; background: #000; }
.cards span { display: block; }
svg text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--soft); }
.tick, .axis { text-anchor: middle; }
.end, .name { text-anchor: end; }
svg .name { fill: var(--ink); }
.grid { stroke: var(--rule); }
.zero { stroke: var(--soft); stroke-width: 1.5; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.dashed { stroke-dasharray: 6 4; }
.whisker { stroke-width: 2.5; stroke-linecap: round; }
.band { opacity: .16; stroke: none; }
.dot { stroke: var(--card); stroke-width: 1.5; }
.seed { opacity: .45; }
.spot { fill: transparent; }
.bar { opacity: .35; }
.c0 { fill: var(--c0); stroke: var(--c0); } .c1 { fill: var(--c1); stroke: var(--c1); }
.c2 { fill: var(--c2); stroke: var(--c2); } .c3 { fill: var(--c3); stroke: var(--c3); }
.c4 { fill: var(--c4); stroke: var(--c4); } .c5 { fill: var(--c5); stroke: var(--c5); }
.c6 { fill: var(--c6); stroke: var(--c6); } .c7 { fill: var(--c7); stroke: var(--c7); }
.line.line { fill: none; } .dot.dot { stroke: var(--card); } .band.band { stroke: none; }
@media print { :root { color-scheme: light; } main { max-width: none; padding: 0; }
  body { background: #fff; font-size: 11px; } table { font-size: 10px; }
  .wide { overflow: visible; } p { break-after: avoid; }
  th, td { padding: 3px 5px; } th[scope=row], .text { min-width: 0; } figure { flex-basis: 280px; }
  h2 { margin-top: 20px; break-after: avoid; } h3, caption { break-after: avoid; }
  figure, table, .cards li, .words li { break-inside: avoid; } }
"""
