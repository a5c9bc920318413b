"use strict";
// The legend and the sections under the graph.

// --- the legend

function legend() {
  const kinds = new Set(nodes.flatMap(n => n.inputs.map(x => x.edge)));
  const signs = [
    [line("flow"), "a gradient can flow", true],
    [line("fixed"), "a constant: no gradient", kinds.has("fixed")],
    [line("flat"), "dotted: the op has no derivative here", kinds.has("flat")],
    [line("cut", "✂"), "detached", kinds.has("cut")],
    [line("no_grad"), "dashed: applied under no_grad", kinds.has("no_grad")],
    [line("back"), "a cotangent; thicker is larger", passes.length],
    [line("back route"), "the way from the loss to what is selected", passes.length],
    [box("ungraphed"), "dashed box: an op without a graph", nodes.some(n => n.kind === "op" && !n.graph)],
    [box("made"), "made by a backward pass, and part of the graph", hasSecondOrder],
    [chip(""), "a parameter", true],
    [chip("asked"), "gets a gradient in this pass", passes.length],
    [chip("skipped"), "the loss depends on it, but its gradient is not asked for", isAnyParameter("skipped")],
  ];
  const colours = networks.map(name => make("span", { class: colourOf(name) }, make("span", { class: "name" }, "■ "),
    `${name}, ${DATA.networks[name].parameters.toLocaleString("en")} parameters`));
  fill("legend", colours, signs.filter(([, , isThere]) => isThere).map(([sign, text]) => make("span", {}, sign, " ", text)));
}

const isAnyParameter = how => passes.some(pass => Object.values(pass.parameters).includes(how));
const sign = (...shapes) => make("svg", { class: "sign", viewBox: "0 0 34 16", "aria-hidden": true }, shapes);
const plate = (kind, rx) => make("rect", { class: kind, x: 4, y: 2, width: 26, height: 12, rx });
const chip = kind => sign(plate("chip " + kind, 6));
const box = kind => sign(make("g", { class: "box none " + kind }, plate("body", 3)));
const scissors = text => make("text", { x: 10, y: 13, class: "scissors" }, text);
const line = (kind, text = "") => sign(make("path", { class: "edge " + kind, d: "M1,8 H33" }), scissors(text));

// --- the sections; the content of a closed one is made when it is opened

function sections() {
  const hasFlow = passes.some(pass => pass.nets.length);
  const all = [
    ["Which parameters each loss reaches", reached, passes.length],
    ["Where gradients are cut", cuts, true],
    ["The second-order graph", secondOrder, hasSecondOrder],
    ["Gradient flow: norm of each layer's gradient, on a log scale of five decades", flow, hasFlow],
    ["What capture noted: the list of calls", calls, true],
  ];
  fill("sections", all.filter(([, , isThere]) => isThere).map(([name, content]) => section(name, content, content !== calls)));
}

function section(name, content, isOpen) {
  const details = make("details", { open: isOpen ? "" : false }, make("summary", {}, name));
  let isDone = false;
  const load = () => {
    if (!details.open || isDone) return;
    isDone = true;
    details.append(...solid([content()]));
  };
  details.ontoggle = load;
  load();
  return details;
}

// A button that shows a node in a backward pass.
function toNode(text, p, id) {
  const onclick = () => { show(p); go(id); get("graph").scrollIntoView({ block: "center" }); };
  return button(text, onclick, { class: "link" });
}

// --- which parameters each loss reaches

const MEANING = { asked: "gradient", skipped: "not asked for", zero: "no path: 0", never: "–" };

function reached() {
  const names = Object.keys(passes[0].parameters), head = ["parameter", ...passes.map((_, p) => passName(p))];
  return [
    make("p", {}, "A norm: the gradient was computed. “Not asked for”: the loss depends on the parameter, but the walk leaves ",
      "it out. “No path”: asked for, but the loss does not depend on it. A dash: never touched."),
    table(head, names.map(name => [coloured(name), ...passes.map((_, p) => reachText(p, name))])),
  ];
}

const coloured = name => make("span", { class: colourOf(name.split(".")[0]) }, make("span", { class: "name" }, name));

function reachText(p, name) {
  const how = passes[p].parameters[name], found = gradientOf(p, name);
  if (!found || how !== "asked") return faint(MEANING[how]);
  const [id, g] = found;
  return toNode(whyZero(p, id) ? `norm ${number(g.norm)}: why?` : `norm ${number(g.norm)}`, p, id);
}

// --- where gradients are cut

function cuts() {
  const lines = nodes.flatMap(n => n.inputs.filter(x => x.edge === "cut").map(x =>
    [link(n.id), " uses the value of ", link(x.node), " without its graph: no gradient flows back here."]));
  for (const [key, list] of withoutGraph()) {
    lines.push([button(key, () => go(list.at(-1).id), { class: "link" }), " ran under no_grad: ",
      `${count(list.length, "op")} on what requires gradients, and all that follow, joined no graph.`]);
  }
  return lines.length ? listed(lines) : make("p", {}, "None.");
}

// Ops that were applied under no_grad to what requires gradients, by the module call that they belong to.
function withoutGraph() {
  const found = new Map();
  for (const n of nodes) if (n.inputs.some(x => x.edge === "no_grad")) {
    const key = n.path.length ? groupName(n.path[0]) : titleOf(n);
    found.set(key, [...(found.get(key) || []), n]);
  }
  return found;
}

// --- the second-order graph

const isMade = turn => nodes[turn.op].order > 0;

function secondOrder() {
  return passes.map((pass, p) => pass.create_graph || !pass.turns.some(isMade) ? null : [
    make("p", {}, `${pass.turns.filter(isMade).length} of the ${pass.turns.length} ops of ${passName(p)} were made by an `,
      "earlier backward (orange). Below, for each parameter, the norms of the contributions that come through such an op, ",
      "and of the others."),
    table(["parameter", "through the second-order graph", "directly"], Object.keys(pass.totals).map(id => {
      const { parts } = pass.grads[id], norms = isSecond => parts.filter(part => pass.second.has(part.op) === isSecond);
      return [toNode(nodes[id].name, p, Number(id)), sumOfNorms(norms(true)), sumOfNorms(norms(false))];
    })),
  ]);
}

const sumOfNorms = parts => parts.length ? parts.map(part => number(part.send.x.norm)).join(" + ") : "no path: 0";

// --- gradient flow

function flow() {
  return passes.map((pass, p) => {
    const norms = layerNorms(pass), largest = Math.max(...Object.values(norms));
    if (!Object.keys(norms).length) return null;
    const bars = Object.entries(norms).map(([layer, x]) => bar(layer, x, largest));
    return [heading(passName(p)), make("div", { class: "bars" }, bars)];
  });
}

function layerNorms(pass) {
  const norms = {};
  for (const [id, g] of Object.entries(pass.totals)) if (isParameter(nodes[id])) {
    const layer = layerOf(nodes[id].name);
    norms[layer] = Math.hypot(norms[layer] ?? 0, g.norm ?? NaN);
  }
  return norms;
}

function bar(layer, x, largest) {
  const width = x ? Math.max(1, 100 + 20 * Math.log10(x / largest)) : 0;
  const drawn = make("span", { class: colourOf(layer.split(".")[0]) }, make("i", { style: `width:${width}%` }));
  return [make("span", {}, layer), drawn, make("span", {}, x.toPrecision(3))];
}

// --- the calls

function calls() {
  if (!DATA.calls.length) return make("p", {}, `None: ${DATA.refusal}.`);
  const owners = ownersOfCalls(), kinds = kindsOfCalls().map(([kind, n]) => `${n.toLocaleString("en")} ${kind}`);
  return [
    make("p", {}, "The same step, captured: these calls, on these pieces of memory (m1, m2, ...), are all that a replay does. ",
      "Calls without a name behind them are made between ops: noise, optimizers, the first cotangent of each backward, ",
      "changes in place. Python's work, which builds the graph and walks it, is not among them."),
    make("p", { id: "kinds" }, make("b", {}, count(DATA.calls.length, "call")), `: ${kinds.join(", ")}.`),
    make("ol", { class: "calls", tabindex: 0, "aria-label": "calls" }, DATA.calls.map((call, i) =>
      make("li", {}, call + "  ", owners[i] ? button(owners[i].text, owners[i].show, { class: "link" }) : null))),
  ];
}

// How many calls there are of each function, the most frequent first.
function kindsOfCalls() {
  const found = new Map();
  for (const call of DATA.calls) {
    const kind = call.startsWith("on the host:") ? "on the host" : call.split("  ")[0];
    found.set(kind, (found.get(kind) || 0) + 1);
  }
  return [...found].sort((a, b) => b[1] - a[1]);
}

// For each call the op, or the contribution in a backward pass, that made it.
function ownersOfCalls() {
  const owners = [];
  const put = ([start, end], owner) => { for (let i = start; i < end; i++) owners[i] = owner; };
  for (const n of nodes) {
    if (n.calls && n.made_by == null) put(n.calls, { text: `forward of ${titleOf(n)}`, show: () => { show(-1); go(n.id); } });
  }
  passes.forEach((pass, p) => pass.turns.forEach((turn, t) => turn.sends.forEach(send => {
    const text = `backward ${p + 1} of ${titleOf(nodes[turn.op])}, to ${nodes[turn.op].inputs[send.input].name}`;
    if (send.calls) put(send.calls, { text, show: () => { show(p); step(t); } });
  })));
  return owners;
}
