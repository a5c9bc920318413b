"use strict";
// What the reader does: views, folding, steps, zoom, search and keys.

const state = {
  view: -1,  // -1: the forward; else the number of a backward pass
  turn: -1,  // of the steps in order; -1: none
  selected: null,  // a node's number, or "g:" and the key of a folded module
  open: new Set(), level: "", zoom: 1, query: "",
};

const LEVELS = ["networks", "layers", "ops"];
const READABLE = .8;  // the least zoom at which text is easy to read

const order = () => state.view < 0 ? forwardOrder : passes[state.view].turns.map(turn => turn.op);

function refresh(isRebuilt = false) {
  if (isRebuilt) { build(); draw(); } else mark();
  panel();
  for (const view of get("views").children) view.setAttribute("aria-pressed", Number(view.dataset.view) === state.view);
  for (const level of get("levels").children) level.setAttribute("aria-pressed", level.textContent === state.level);
  get("turn").textContent = state.turn < 0 ? count(order().length, "op") : `${state.turn + 1} of ${order().length}`;
}

// For screen readers.
function say(text) {
  get("status").textContent = text;
}

// --- views and folding

function show(view) {
  if (view >= passes.length) return;
  Object.assign(state, { view, turn: -1 });
  refresh(true);
  if (view >= 0 && order().length) reveal(order()[0]);
  say(view < 0 ? "forward" : passName(view));
}

function fold(level) {
  setLevel(level);
  refresh(true);
}

function setLevel(level) {
  state.level = level;
  state.open.clear();
  if (level !== "networks") for (const n of nodes) n.path.forEach((key, i) => {
    if (level === "ops" || i < n.path.length - 1) state.open.add(key);
  });
}

function setOpen(key, isOpen) {
  state.open[isOpen ? "add" : "delete"](key);
  Object.assign(state, { level: "", turn: -1 });
  refresh(true);
}

// Unfold or fold a box; the focus of the keyboard stays with what it held.
function toggle(box) {
  const n = box.nodes[0], key = box.group || n.path.at(-1);
  if (!key) return;
  setOpen(key, !!box.group);
  get("graph").querySelector(`[data-key="${CSS.escape(boxOf(n))}"]`)?.focus();
}

function foldInto(key) {
  setOpen(key, false);
  select("g:" + key);
}

function unfoldTo(n) {
  n.path.forEach(key => state.open.add(key));
  state.level = "";
  refresh(true);
  go(n.id);
}

// --- selection and steps

function select(what) {
  state.selected = what;
  mark();
  panel();
  if (what != null) say(typeof what === "number" ? titleOf(nodes[what]) : groupName(what.slice(2)));
}

function go(id) {
  state.turn = -1;
  select(id);
  reveal(id);
}

function step(turn) {
  state.turn = Math.max(-1, Math.min(order().length - 1, turn));
  state.selected = state.turn < 0 ? null : order()[state.turn];
  refresh();
  if (state.turn >= 0) reveal(state.selected);
  say(state.turn < 0 ? "before the first" : `${get("turn").textContent}: ${titleOf(nodes[state.selected])}`);
}

// Scroll the graph to the box of a node; a parameter is in the box of the op that uses it.
function reveal(id) {
  const n = isParameter(nodes[id]) ? nodes.find(m => m.inputs.some(x => x.node === id)) || nodes[id] : nodes[id];
  const box = boxes.get(boxOf(n)), graph = get("graph");
  if (!box) return;
  const [x, y] = [box.x * state.zoom, box.y * state.zoom];
  if (x < graph.scrollLeft + 60 || x > graph.scrollLeft + graph.clientWidth - 60) graph.scrollLeft = x - graph.clientWidth / 2;
  if (y < graph.scrollTop + 40 || y > graph.scrollTop + graph.clientHeight - 40) graph.scrollTop = y - graph.clientHeight / 2;
}

// --- zoom

function zoom(to) {
  state.zoom = Math.max(.15, Math.min(2.5, to));
  scale();
}

// The zoom at which the whole graph is in sight.
function fitted() {
  return Math.min((get("graph").clientWidth - 20) / size[0], (get("graph").clientHeight - 20) / size[1]);
}

// All of the graph, or from its first box on as much as is readable.
function fit() {
  zoom(Math.max(READABLE, Math.min(1.25, fitted())));
  const [first] = boxes.values(), graph = get("graph");
  if (first) graph.scrollTo(0, first.y * state.zoom - graph.clientHeight / 2);
}

// --- search

const textOf = n => n.text ??= `${titleOf(n)} ${n.op ?? ""} ${n.path.join(" ")} ${dims(n.value.shape)} ${n.kind}`.toLowerCase();
const matches = n => textOf(n).includes(state.query);
const FOUND = 12;

function search() {
  state.query = get("search").value.trim().toLowerCase();
  const found = state.query ? nodes.filter(matches) : [], more = found.length - FOUND;
  fill("found", found.slice(0, FOUND).map(n => button(titleOf(n), () => go(n.id))),
    more > 0 ? faint(`and ${more} more`) : null, state.query && !found.length ? faint("Nothing found.") : null);
  mark();
  say(state.query ? `${found.length} found` : "");
}

// --- keys and buttons

function toggleTheme() {
  document.documentElement.classList.toggle("dark");
}

const ACTIONS = {
  first: () => step(-1), back: () => step(state.turn - 1), next: () => step(state.turn + 1), last: () => step(Infinity),
  in: () => zoom(state.zoom * 1.25), out: () => zoom(state.zoom / 1.25), fit, theme: toggleTheme,
};
const KEYS = {
  ArrowRight: "next", ArrowLeft: "back", Home: "first", End: "last", "+": "in", "=": "in", "-": "out", 0: "fit", t: "theme",
};

function onKey(event) {
  if (event.key === "Escape") clear();
  if (event.key === "Escape" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === get("search")) {
    if (event.key === "Enter") get("found").querySelector("button")?.click();
    return;
  }
  if (KEYS[event.key]) ACTIONS[KEYS[event.key]]();
  else if (event.key === "f") fold(LEVELS[(LEVELS.indexOf(state.level) + 1) % LEVELS.length]);
  else if (event.key === "/") get("search").focus();
  else if (/^[1-9]$/.test(event.key)) show(Number(event.key) - 2);
  else return;
  event.preventDefault();
}

function clear() {
  get("search").value = "";
  search();
  Object.assign(state, { selected: null, turn: -1 });
  document.activeElement?.blur();
  refresh();
}

// --- the start

function start() {
  document.documentElement.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);
  get("title").textContent = `One step of ${DATA.name}`;
  get("about").textContent = `${DATA.title} Here: ${DATA.about}.`;
  fill("views", [-1, ...passes.keys()].map(view =>
    button(view < 0 ? "forward" : passName(view), () => show(view), { title: `key ${view + 2}`, "data-view": view })));
  fill("levels", LEVELS.map(level => button(level, () => fold(level), { title: "key f" })));
  for (const [id, action] of Object.entries(ACTIONS)) get(id).onclick = action;
  get("search").oninput = search;
  document.onkeydown = onKey;
  legend();
  firstView();
  sections();
}

// Layers if they fit and are readable, else networks.
function firstView() {
  setLevel("layers");
  build();
  if (fitted() < READABLE) setLevel("networks");
  refresh(true);
  fit();
}

start();
