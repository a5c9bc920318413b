"use strict";
// The graph as SVG. `draw` makes it, `mark` shows what is selected, current or found.

const EDGE_KINDS = ["flow", "cut", "no_grad", "fixed", "flat"];

function draw() {
  const svg = make("svg", { viewBox: `0 0 ${size}`, role: "group", "aria-label": "ops and modules" });
  const head = make("path", { d: "M0,0 L8,4 L0,8 z", fill: "context-stroke" });
  const marker = { viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto-start-reverse" };
  svg.append(make("defs", {}, make("marker", { id: "arrow", markerUnits: "userSpaceOnUse", ...marker }, head)));
  for (const edge of edges.values()) svg.append(...drawnEdge(edge));
  for (const box of boxes.values()) svg.append(box.element = drawnBox(box));
  const isFocused = get("graph").contains(document.activeElement);
  fill("graph", svg);
  if (isFocused) get("graph").focus({ preventScroll: true });
  scale();
  mark();
}

function scale() {
  const svg = get("graph").firstChild;
  svg.setAttribute("width", size[0] * state.zoom);
  svg.setAttribute("height", size[1] * state.zoom);
}

// --- edges

function drawnEdge(edge) {
  const pass = passes[state.view];
  edge.sends = pass ? edge.pairs.map(([a, b]) => [pass.used.get(b + ">" + a), a, b]).filter(([send]) => send) : [];
  const kind = EDGE_KINDS.find(k => edge.kinds.has(k)), isBack = edge.sends.length > 0;
  edge.element = make("path", {
    d: curve(edge.chain), class: `edge ${kind} ${isBack ? "back" : ""}`,
    style: isBack ? `stroke-width:${thickness(edge)}px` : null,
    "marker-end": isBack ? null : "url(#arrow)", "marker-start": isBack ? "url(#arrow)" : null,
  });
  const next = edge.chain[1], scissors = { x: next.left - 22, y: next.y - 4, class: "scissors", "aria-hidden": true };
  return [edge.element, ...(!pass && kind === "cut" ? [make("text", scissors, "✂")] : [])];
}

function curve(chain) {
  let d = `M${chain[0].right},${chain[0].y}`;
  for (let i = 1; i < chain.length; i++) {
    const [a, b] = [chain[i - 1], chain[i]], middle = (a.right + b.left) / 2;
    d += ` C${middle},${a.y} ${middle},${b.y} ${b.left},${b.y}` + (b.w ? "" : ` L${b.right},${b.y}`);
  }
  return d;
}

// Grows with the logarithm of the largest cotangent's norm.
function thickness(edge) {
  const strength = Math.max(0, ...edge.sends.map(([send]) => send.x.norm || 0));
  return 1.2 + Math.max(0, Math.min(4, 3 + Math.log10(strength + 1e-9))) * .7;
}

// --- boxes

function drawnBox(box) {
  const n = box.nodes.at(-1), pass = passes[state.view];
  const g = pass && box.nodes.map(m => pass.grads[m.id]?.g).filter(Boolean).at(-1);
  const name = box.group ? `module ${groupName(box.group)}, ${groups[box.group].kind}, folded` : titleOf(n);
  const label = `${name}, ${dims(n.value.shape)}` + (g ? `, gradient of norm ${number(g.norm)}` : "");
  const element = make("g", {
    class: classesOf(box).join(" "), tabindex: -1, role: "button", "aria-label": label, "data-key": box.key,
    transform: `translate(${box.left},${box.y - box.h / 2})`,
    onclick: () => choose(box), ondblclick: () => toggle(box), onkeydown: event => onBoxKey(event, box),
  });
  element.append(
    make("title", {}, label),
    make("rect", { class: "body", width: box.w, height: box.h, rx: 6 }),
    make("rect", { class: "stripe", width: 5, height: box.h - 10, x: 2, y: 5, rx: 2 }),
    make("text", { x: 13, y: 17, "font-weight": 700 }, box.lines[0]),
    make("text", { x: 13, y: 31, class: "sub" }, box.lines[1]));
  if (pass) element.append(make("text", { x: 13, y: 45, class: "sub" }, g ? `|∂| ${number(g.norm)}` : "no gradient"));
  let x = 12;
  for (const chip of box.chips) {
    element.append(...drawnChip(chip, x, pass ? 51 : 38));
    x += chip.width + 4;
  }
  const place = { x: 12, y: box.h - 36, width: box.w - 20, height: 30, preserveAspectRatio: "xMinYMid meet" };
  if (box.image) element.append(make("image", { href: box.image, ...place }));
  return element;
}

function classesOf(box) {
  const n = box.nodes.at(-1), isUngraphed = box.nodes.every(m => m.kind === "op" && !m.graph);
  return ["box", colourOf(networkOf(n)), n.order ? "made" : "", isUngraphed ? "ungraphed" : "", box.group ? "folded" : ""];
}

function drawnChip(chip, x, y) {
  const states = chip.ids.map(id => passes[state.view]?.parameters[nodes[id].name]);
  const how = ["asked", "skipped"].find(each => states.includes(each)) || "";
  const onclick = event => { if (chip.ids.length === 1) { event.stopPropagation(); state.turn = -1; select(chip.ids[0]); } };
  return [make("rect", { class: "chip " + how, x, y, width: chip.width, height: 16, rx: 8, onclick }),
    make("text", { x: x + 5, y: y + 12, class: "sub", "pointer-events": "none" }, chip.name)];
}

function choose(box) {
  state.turn = -1;
  select(box.group ? box.key : box.nodes.at(-1).id);
}

// Enter selects a box; on a selected one it unfolds or folds. The arrows up and down lead to other boxes.
function onBoxKey(event, box) {
  const { key } = event, { element } = box;
  if (!["Enter", " ", "ArrowUp", "ArrowDown"].includes(key)) return;
  event.preventDefault();
  event.stopPropagation();
  if (key.startsWith("Arrow")) nextBox(element, key === "ArrowUp" ? "previousElementSibling" : "nextElementSibling")?.focus();
  else if (isSelected(box)) toggle(box);
  else choose(box);
}

function nextBox(element, way) {
  const next = element[way];
  return next?.matches(".box") ? next : null;
}

const isSelected = box => state.selected === box.key || state.selected === box.nodes.at(-1).id;

// --- what is selected, current or found

function mark() {
  const pass = passes[state.view], chosen = typeof state.selected === "number" ? state.selected : null;
  const current = state.turn >= 0 ? order()[state.turn] : null;
  const route = pass && chosen != null && state.turn < 0 && pass.grads[chosen] ? routeTo(state.view, chosen) : null;
  for (const edge of edges.values()) markEdge(edge, route);
  for (const box of boxes.values()) markBox(box, route, chosen, current);
  markEntry();
}

// Tab leads to one box, the one that is selected or else the first.
function markEntry() {
  const all = [...boxes.values()], entry = all.find(box => box.element.matches(".selected, .current")) || all[0];
  for (const box of all) box.element.setAttribute("tabindex", box === entry ? 0 : -1);
}

function markEdge(edge, route) {
  const isOn = !!route && edge.sends.some(([, a, b]) => route.has(a) && route.has(b));
  edge.element.classList.toggle("route", isOn);
  edge.element.classList.toggle("dim", route ? !isOn : state.view >= 0 && !edge.sends.length);
}

function markBox(box, route, chosen, current) {
  const pass = passes[state.view], ids = [...box.ids], parameters = [...box.parameters.values()], { classList } = box.element;
  const isActive = route ? ids.some(id => route.has(id)) : !pass || ids.some(id => pass.grads[id]);
  classList.toggle("dim", !isActive);
  const isChosen = box.key === state.selected || box.ids.has(chosen) || parameters.includes(chosen);
  classList.toggle("selected", isChosen);
  box.element.setAttribute("aria-pressed", isChosen);
  classList.toggle("current", box.ids.has(current));
  classList.toggle("match", !!state.query && [...ids, ...parameters].some(id => matches(nodes[id])));
}
