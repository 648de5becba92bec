"use strict";
const { review, classes, cards, images, texts } = JSON.parse(find("data").textContent);
const KEY = `review ${review}`; // of what the browser keeps
const SMALL = 96; // pixels, below which an image is enlarged without blur
const BEGINNING = 200; // characters of a text in the strip of all cards
const MOST = 60; // classes that are shown at once; more make each key slow
let keeps = true; // whether the browser keeps decisions
let decisions = stored(); // by card: [{id, action, label, when}], the latest last
let pair = "", shown = 0;

function find(id) { return document.getElementById(id); }

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/* State: a list of decisions, of which the last one on a card counts. */

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) || "[]");
    return found.filter((d) => cards.some((card) => card.id === d.id));
  } catch {
    return [];
  }
}

function store() {
  try {
    localStorage.setItem(KEY, JSON.stringify(decisions));
    keeps = true;
    find("notice").textContent = "";
  } catch {
    keeps = false;
    find("notice").textContent =
      "This browser keeps nothing for this page: save corrections.csv before you close it.";
  }
}

function refresh() { // the page may be open in another tab, too
  if (keeps) decisions = stored();
}

function latest() {
  return new Map(decisions.map((decision) => [decision.id, decision]));
}

function decide(action, label) {
  const card = current();
  if (!card) return;
  const when = new Date().toISOString().replace(/\.\d+Z$/, "Z");
  refresh();
  decisions.push({ id: card.id, action, label, when });
  store();
  next();
}

function undo() {
  refresh();
  const last = decisions.pop();
  if (!last) return;
  store();
  if (!visible().some((card) => card.id === last.id)) pair = "";
  shown = visible().findIndex((card) => card.id === last.id);
  show();
}

/* Places: the cards of a pair of classes, and the one that is shown. */

function pairOf(card) { return `${card.label} → ${card.suggested}`; }

function visible() { return cards.filter((card) => !pair || pairOf(card) === pair); }

function current() { return visible()[shown]; }

function next() {
  const done = latest(), list = visible();
  const order = [...list.keys()].map((i) => (shown + 1 + i) % list.length);
  const open = order.find((i) => !done.has(list[i].id));
  if (open !== undefined) shown = open;
  show();
}

function move(by) {
  shown = Math.min(Math.max(shown + by, 0), visible().length - 1);
  show();
}

function choosePair(name) {
  pair = name;
  shown = Math.max(visible().findIndex((card) => !latest().has(card.id)), 0);
  show();
}

function nextPair() {
  const names = [...find("pairs").options].map((option) => option.value);
  choosePair(names[(names.indexOf(pair) + 1) % names.length]);
}

/* The page. */

function picture(id, characters) {
  const text = id in texts && texts[id].slice(0, characters);
  if (text !== false) return element("p", { className: "text", textContent: text });
  const image = element("img", { src: images[id], alt: "", loading: "lazy" });
  image.onload = () => image.classList.toggle("small", image.naturalWidth < SMALL);
  return image;
}

function show() {
  const card = current(), done = latest();
  showProgress(done);
  showStrip(done);
  if (!card) return;
  find("image").onload = (event) =>
    event.target.classList.toggle("small", event.target.naturalWidth < SMALL);
  find("image").hidden = card.id in texts;
  if (!find("image").hidden) find("image").src = images[card.id];
  find("text").textContent = texts[card.id] || "";
  find("path").textContent = card.path || `id ${card.id}`;
  find("label").textContent = card.label;
  find("suggested").textContent = card.suggested;
  find("probability").textContent = card.probability;
  find("reasons").replaceChildren(...card.reasons.map((text) => element("li", {}, text)));
  find("neighbours").replaceChildren(
    ...card.neighbours.map(({ id, label }) => element("li", {}, picture(id), label)));
  find("near").hidden = !card.neighbours.length;
  const decision = done.get(card.id);
  find("decision").className = decision ? decision.action : "";
  find("decision").textContent = decision ? described(decision) : "";
  find("find").value = "";
  showClasses("");
}

function described({ action, label }) {
  const words = { keep: "kept", drop: "dropped", unsure: "unsure", relabel: `relabelled ${label}` };
  return words[action];
}

function showProgress(done) {
  const list = visible(), number = list.filter((card) => done.has(card.id)).length;
  find("bar").max = list.length;
  find("bar").value = number;
  find("progress").textContent = `${number} of ${list.length} reviewed`;
  find("pairs").value = pair;
}

function showStrip(done) {
  const strip = find("cards"), list = visible();
  if (strip.dataset.pair !== pair) {
    strip.dataset.pair = pair;
    strip.replaceChildren(...list.map((card, i) => {
      const button = element("button", { title: card.path || `id ${card.id}` },
        picture(card.id, BEGINNING));
      button.onclick = () => { shown = i; show(); };
      return button;
    }));
  }
  [...strip.children].forEach((button, i) => {
    button.className = done.has(list[i].id) ? done.get(list[i].id).action : "";
    button.classList.toggle("current", i === shown);
  });
}

/* Classes: by their own digit where all names are digits, else the first ten by place. */

const places = new Map(classes.map((name, i) => [name, i]));
const byName = classes.every((name) => /^\d$/.test(name));

function digitOf(index) {
  if (byName) return classes[index];
  return index < 10 ? String((index + 1) % 10) : "";
}

function matching(part) {
  const wanted = part.trim().toLowerCase();
  return classes.filter((name) => name.toLowerCase().includes(wanted)).sort((a, b) =>
    (b.toLowerCase() === wanted) - (a.toLowerCase() === wanted)
    || b.toLowerCase().startsWith(wanted) - a.toLowerCase().startsWith(wanted));
}

function showClasses(part) {
  const found = matching(part), more = found.length - MOST;
  const buttons = found.slice(0, MOST).map((name, i) => {
    const digit = digitOf(places.get(name));
    const button = element("button", {}, ...(digit ? [element("kbd", {}, digit), " "] : []), name);
    button.classList.toggle("first", Boolean(part) && i === 0);
    button.onclick = () => relabel(name);
    return button;
  });
  const rest = more > 0 ? [`and ${more} more: press r, then type a part of the name`] : [];
  find("classes").replaceChildren(...buttons, ...rest);
}

function relabel(name) {
  find("find").blur();
  decide(name === current().label ? "keep" : "relabel", name);
}

/* corrections.csv, as dataset.corrections reads it. */

function cell(value) {
  const text = /^[=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function corrections() {
  refresh();
  const card = new Map(cards.map((each) => [each.id, each])), done = [...latest().values()];
  const rows = done.map((d) => [d.id, card.get(d.id).path, d.label, d.action, d.when]);
  const table = [["id", "path", "label", "action", "when"], ...rows];
  return table.map((row) => row.map(cell).join(",") + "\n").join("");
}

function save() {
  const link = element("a", { download: "corrections.csv" });
  link.href = URL.createObjectURL(new Blob([corrections()], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // a browser may read it later
}

/* Keys. */

const KEYS = {
  k: () => decide("keep", current().label),
  s: () => relabel(current().suggested),
  d: () => decide("drop", current().label),
  u: () => decide("unsure", current().label),
  r: () => find("find").focus(),
  z: undo,
  w: save,
  f: nextPair,
  ArrowLeft: () => move(-1),
  ArrowRight: () => move(1),
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target === find("find");
  if (typing && event.key === "Enter") {
    const [name] = matching(event.target.value);
    if (name && event.target.value.trim()) relabel(name);
  } else if (typing && event.key === "Escape") {
    event.target.blur();
    show();
  } else if (!typing && event.target.tagName !== "SELECT") {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // caps lock
    const digit = classes.findIndex((_, i) => digitOf(i) === key);
    const action = KEYS[key] || (digit >= 0 && (() => relabel(classes[digit])));
    if (!action || !current()) return;
    event.preventDefault();
    if (!event.repeat || key.startsWith("Arrow")) action(); // a key held down decides one card
  }
}

function begin() {
  const counts = new Map();
  for (const card of cards) counts.set(pairOf(card), (counts.get(pairOf(card)) || 0) + 1);
  const pairs = [...counts].sort((a, b) => b[1] - a[1]);
  find("pairs").append(
    element("option", { value: "" }, `all (${cards.length})`),
    ...pairs.map(([name, n]) => element("option", { value: name }, `${name} (${n})`)));
  find("pairs").onchange = (event) => { choosePair(event.target.value); event.target.blur(); };
  find("find").oninput = (event) => showClasses(event.target.value);
  find("undo").onclick = undo;
  find("save").onclick = save;
  for (const button of find("actions").children) button.onclick = KEYS[button.dataset.key];
  document.addEventListener("keydown", pressed);
  addEventListener("storage", () => { refresh(); show(); }); // another tab has decided
  find("cards").dataset.pair = "-";
  choosePair("");
}

begin();
