"use strict";
// The panel beside the graph: what is known of what is selected.

const ELEMENTS = 4;  // of a tensor, shown in sums
const MOST = 60;  // items of a list

const link = id => button(titleOf(nodes[id]), () => go(id), { class: "link" });

function panel() {
  const what = state.selected, isFocused = get("panel").contains(document.activeElement);
  fill("panel", what == null ? overview() : typeof what === "string" ? moduleDetails(what.slice(2)) : nodeDetails(nodes[what]));
  get("panel").scrollTop = 0;
  if (isFocused) get("panel").focus({ preventScroll: true });
}

// --- nothing is selected

const KEY_HELP = [
  ["1 ... 9", "forward, backward passes"], ["← →", "step through in order"], ["f", "networks, layers, ops"],
  ["+ − 0", "zoom; 0 fits"], ["/", "search"], ["t", "light or dark"], ["Esc", "nothing selected"],
  ["Tab", "to the boxes, then to this panel"], ["↑ ↓", "from box to box"], ["Enter", "select a box; again: unfold or fold it"],
];

function overview() {
  return [
    make("h2", {}, state.view < 0 ? "The forward" : passName(state.view)),
    state.view < 0 ? forwardOverview() : passOverview(passes[state.view]), firstNotFinite(),
    heading("Keys"), table([], KEY_HELP.map(([key, text]) => [make("kbd", {}, key), text])),
  ];
}

// Where the first NaN or infinity of the view comes from.
function firstNotFinite() {
  const isForward = state.view < 0;
  const arrays = isForward ? nodes.map(n => [n.id, n.value])
    : passes[state.view].turns.flatMap(turn => [[turn.op, turn.g], ...turn.sends.map(send => [send.to, send.x])]);
  const first = arrays.find(([, x]) => x.norm == null), what = isForward ? "value" : "cotangent";
  return first ? make("p", { class: "note" }, `The first ${what} with NaN or infinity is that of `, link(first[0]), ".") : null;
}

function forwardOverview() {
  const metrics = Object.entries(DATA.metrics).map(([name, value]) => [
    make("dt", {}, make("b", {}, name), " ", value), make("dd", {}, DATA.captions[name] || "")]);
  return [
    make("p", {}, "Data flows from left to right. Select a box for its values and its source, unfold modules, or step through ",
      "the ops in order."),
    heading("Metrics of this step"), make("dl", { class: "metrics" }, metrics),
  ];
}

function passOverview(pass) {
  const graph = pass.create_graph ? "With create_graph: the ops of this pass join the graph (orange)."
    : "The graph is freed on the way.";
  return [
    make("p", {}, "From ", link(pass.output), `: ${count(pass.turns.length, "op")}, from the newest to the oldest. ${graph}`),
    make("p", {}, "Arrows are cotangents; thicker is larger. Select a parameter to see the way from the loss to it."),
  ];
}

// --- a folded module

function moduleDetails(key) {
  const group = groups[key], inside = nodes.filter(n => n.path.includes(key)), isOpen = state.open.has(key);
  const lines = inside.map(n => [button(nameOf(n), () => unfoldTo(n), { class: "link" }), " " + dims(n.value.shape)]);
  return [
    title(groupName(key), group.net), make("p", {}, `${group.kind}(${group.about})`),
    button(isOpen ? "fold" : "unfold", () => setOpen(key, !isOpen)),
    heading("Ops inside"), listed(lines.slice(0, MOST)),
    lines.length > MOST ? faint(`and ${lines.length - MOST} more`) : null,
    heading("Output"), statistics(inside.at(-1).value, "the output"),
  ];
}

const title = (text, network) => make("h2", { class: colourOf(network) }, make("span", { class: "name" }, text));

// --- a node

function nodeDetails(n) {
  const op = ops[n.op];
  return [
    title(nameOf(n), networkOf(n)), aboutNode(n, op),
    state.turn >= 0 && state.view >= 0 ? turnDetails(state.view, passes[state.view].turns[state.turn]) : null,
    n.inputs.length ? [heading("Inputs"), listed(n.inputs.map(inputText))] : null,
    heading(`Value, ${n.dtype}`), statistics(n.value, "the value"), usersOf(n),
    passes.map((_, p) => gradientDetails(p, n)), n.calls ? callsOf(n) : null,
    op ? [heading("Source"), faint(op.file), [op.forward, ...Object.values(op.backward)].map(source)] : null,
  ];
}

const source = text => make("pre", { tabindex: 0 }, text);

const NOT_IN_GRAPH = "Not part of a graph: applied under no_grad, or no input requires gradients.";
const LIKE_ANY_OP = "It is an op like any other, so the next backward can go through it.";

function aboutNode(n, op) {
  const key = n.path.at(-1);
  return [
    key ? make("p", { class: "faint" }, placeOf(n), " ", button("fold", () => foldInto(key))) : null,
    op ? make("p", {}, op.formula.split("\n\n")[0]) : null,
    n.settings ? make("p", { class: "faint" }, n.settings) : null,
    DATA.captions[n.name] ? make("p", {}, DATA.captions[n.name]) : null,
    n.about ? make("p", {}, n.about) : null,
    n.kind === "op" && !n.graph ? make("p", {}, NOT_IN_GRAPH) : null,
    n.made_by == null ? null
      : make("p", {}, "Made by the backward of ", link(n.made_by), `, in ${passName(n.pass)}. ${LIKE_ANY_OP}`),
  ];
}

const WITHOUT_GRADIENT = { cut: ": detached", no_grad: ": under no_grad", flat: ": no derivative" };

function inputText(x) {
  if (x.node == null) return `${x.name} = ${x.number}`;
  return [`${x.name} = `, link(x.node), " " + dims(nodes[x.node].value.shape), make("b", {}, WITHOUT_GRADIENT[x.edge] ?? "")];
}

function usersOf(n) {
  const users = nodes.filter(m => m.inputs.some(x => x.node === n.id));
  return users.length ? [heading("Used by"), listed(users.slice(0, 20).map(m => link(m.id)))] : null;
}

function callsOf(n) {
  const calls = DATA.calls.slice(...n.calls), text = calls.length ? source(calls.join("\n")) : faint("none: a view of memory");
  return [heading("Calls of its forward, as captured"), text];
}

// --- a turn of a backward pass

const SEED = "The cotangent that comes in is the seed of the backward: dL/dL, the gradient of the loss with respect to itself.";

function turnDetails(p, turn) {
  const rest = sizeOf(turn.g.shape) > turn.g.first.length ? ", ..." : "";
  const isSeed = state.turn === 0 && turn.op === passes[p].output;
  return [
    heading(`Turn ${state.turn + 1} of ${passName(p)}`), isSeed ? make("p", {}, SEED) : null,
    make("p", {}, `Its output's cotangent has norm ${number(turn.g.norm)}: ${numbers(turn.g.first)}${rest}`),
    listed(turn.sends.map(send => sendText(p, turn, send))),
  ];
}

function sendText(p, turn, send) {
  const { parts } = passes[p].grads[send.to], i = parts.findIndex(part => part.send === send);
  const by = send.ran.length ? `, by ${send.ran.join(", ")}` : ", by a fused kernel or unchanged";
  const before = send.total ? parts[i - 1].send.total || parts[i - 1].send.x : null;
  return [
    `to ${nodes[turn.op].inputs[send.input].name}, `, link(send.to), `: norm ${number(send.x.norm)}`, faint(by),
    before ? [". Another consumer has sent before, so the two are added:",
      addition([["so far", before], ["from this op", send.x], ["sum", send.total]])] : ` (${elements(send.x)})`,
  ];
}

const elements = x => numbers(x.first.slice(0, ELEMENTS)) + (sizeOf(x.shape) > ELEMENTS ? ", ..." : "");

// The first elements of tensors that are added, one under the other. The last row is the sum.
function addition(rows) {
  const more = rows.some(([, x]) => sizeOf(x.shape) > ELEMENTS);
  const lines = rows.map(([label, x], i) => {
    const isSum = i === rows.length - 1, cells = x.first.slice(0, ELEMENTS).map(number).concat(more ? "..." : [], "");
    return [
      make("tr", { class: isSum ? "sum" : "" },
        make("th", { colspan: ELEMENTS + 3 }, label, faint(`: norm ${number(x.norm)}`))),
      make("tr", {}, [isSum ? "=" : i ? "+" : "", ...cells].map(cell => make("td", {}, cell))),
    ];
  });
  return make("div", { class: "wide" }, make("table", { class: "addition" }, lines));
}

// --- a gradient

function gradientDetails(p, n) {
  const grad = passes[p].grads[n.id];
  if (!grad?.g) return null;
  const { g, parts } = grad;
  return [
    heading(`Gradient, ${passName(p)}`), whyZero(p, n.id),
    parts.length > 1 ? [make("p", {}, `The sum of ${parts.length} contributions. Their first elements, to four digits:`),
      addition([...parts.map(part => [["from ", link(part.op)], part.send.x]), ["sum", g]])] : null,
    parts.length === 1 ? listed([["from ", link(parts[0].op), `: norm ${number(g.norm)}`]]) : null,
    statistics(g, "the gradient"),
  ];
}

// Where a gradient becomes zero: nodes whose contributions cancel, and ops that pass nothing on.
function zeroOrigins(p, id, seen = new Set()) {
  const { grads } = passes[p], { parts } = grads[id];
  if (seen.has(id)) return [];
  seen.add(id);
  if (parts.some(part => part.send.x.norm !== 0)) return [{ node: id, parts }];
  return parts.flatMap(({ op, send }) => grads[op].g.norm === 0 ? zeroOrigins(p, op, seen) : [{ node: id, op, send }]);
}

// Of terms that should cancel, rounding leaves some 1e-7 in float32.
const ROUNDING = 1e-6;

function whyZero(p, id) {
  const { g, parts } = passes[p].grads[id], largest = Math.max(0, ...parts.map(part => part.send.x.norm));
  const note = (...text) => make("p", { class: "note" }, text);
  if (parts.length > 1 && g.norm > 0 && g.norm <= ROUNDING * largest) {
    return note(`Zero up to rounding: the ${parts.length} shares that arrive from its consumers cancel.`);
  }
  if (g.norm !== 0 || !parts.length) return null;
  return zeroOrigins(p, id).map(origin => note("Exactly zero: ", originText(p, id, origin)));
}

function originText(p, id, { node, op, send, parts }) {
  if (parts) {
    const where = node === id ? "its consumers" : ["the consumers of ", link(node)];
    return [`the ${parts.length} shares that arrive from `, where, " sum to zero."];
  }
  const x = nodes[op].inputs[send.input].name, { g } = passes[p].grads[op];
  const sums = g.mean === 0 ? `its ${sizeOf(g.shape)} elements sum to zero, and` : "but";
  return ["the cotangent that arrives at ", link(op), ` has norm ${number(g.norm)}, ${sums} what this op sends to its input `,
    `${x} is zero.`];
}

// --- numbers of a tensor

function statistics(s, name) {
  const rows = [["shape", dims(s.shape)], ["norm", number(s.norm)]];
  if (s.mean !== undefined) {
    rows.push(["mean ± std", `${number(s.mean)} ± ${number(s.std)}`], ["range", `${number(s.min)} to ${number(s.max)}`]);
    rows.push(["zeros", `${(100 * s.zeros).toFixed(s.zeros && s.zeros < .1 ? 1 : 0)} %`]);
  }
  rows.push(["first", numbers(s.first)]);
  const largest = number(Math.max(Math.abs(s.min), Math.abs(s.max)));
  return [
    make("dl", { class: "stat" }, rows.map(([key, value]) => [make("dt", {}, key), make("dd", {}, value)])),
    s.bins ? histogram(s, name) : null,
    s.image ? make("img", { src: s.image, alt: `${name} as images; grey is 0, white ${largest}` }) : null,
  ];
}

function histogram(s, name) {
  const most = Math.max(...s.bins), width = 240 / s.bins.length;
  const bar = (n, i) => make("rect", { x: i * width, width: width - 1, y: 52 - 52 * n / most, height: 52 * n / most });
  const label = { role: "img", "aria-label": `histogram of ${name} from ${s.min} to ${s.max}` };
  return make("svg", { class: "hist", viewBox: "0 0 240 52", preserveAspectRatio: "none", ...label }, s.bins.map(bar));
}
