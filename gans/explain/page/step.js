"use strict";
// The step: what its nodes and backward passes are called, and what each backward pass did.

const { nodes, passes, groups, ops } = DATA;
const networks = Object.keys(DATA.networks);
const forwardOrder = nodes.filter(n => n.kind === "op").map(n => n.id);
const hasSecondOrder = nodes.some(n => n.order);

const isParameter = n => n.kind === "parameter" || n.kind === "buffer";
const networkOf = n => n.path.length ? groups[n.path[0]].net : isParameter(n) ? n.name.split(".")[0] : "";
const colourOf = network => networks.includes(network) ? "n" + networks.indexOf(network) % 5 : "none";
const layerOf = name => name.slice(0, name.lastIndexOf("."));
const plainLabel = group => group.label.replace("∂ ", "");

// --- names

function nameOf(n) {
  if (n.name) return n.op ? `${n.name} = ${n.op}` : n.name;
  return n.op || (n.into ? `input of ${n.into}` : n.graph ? "leaf" : "constant");
}

function groupName(key) {
  const group = groups[key], call = key.slice(key.lastIndexOf("#") + 1), layer = plainLabel(group);
  const name = layer === group.net ? layer : `${group.net}.${layer}`;
  return `${name}${group.backward ? ", its backward" : ""} (call ${call})`;
}

const placeOf = n => n.path.length ? groupName(n.path.at(-1)) : "";
const titleOf = n => nameOf(n) + (placeOf(n) ? ` in ${placeOf(n)}` : "");

function passName(p) {
  const { nets, targets } = passes[p], { into } = nodes[targets[0]] || {};
  const input = into ? `the input of ${into}` : targets.map(id => nameOf(nodes[id])).join(", ");
  return `backward ${p + 1}: to ${nets.join(", ") || input || "nothing"}`;
}

// --- the backward passes

for (const n of nodes) for (const x of n.inputs) {
  if (x.node != null && nodes[x.node].kind === "input" && n.path.length) nodes[x.node].into ??= groups[n.path[0]].net;
}
passes.forEach(readPass);

// Gives a pass `grads`, each node's gradient `g` and the contributions `parts` that it is the sum of; `used`, what went along
// each edge; and `second`, the ops that belong to its second-order graph.
function readPass(pass) {
  pass.grads = {};
  pass.used = new Map();
  pass.second = new Set();
  const gradient = id => pass.grads[id] ??= { parts: [] };
  for (const turn of pass.turns) {
    gradient(turn.op).g = turn.g;
    for (const send of turn.sends) {
      send.to = nodes[turn.op].inputs[send.input].node;
      pass.used.set(turn.op + ">" + send.to, send);
      gradient(send.to).parts.push({ op: turn.op, send });
    }
  }
  for (const [id, g] of Object.entries(pass.totals)) gradient(id).g = g;
  for (const { op } of pass.turns) {  // ops that the first backward made, and what their cotangents lead to
    if (nodes[op].order || pass.grads[op].parts.some(part => pass.second.has(part.op))) pass.second.add(op);
  }
}

// The gradient of a parameter in a pass: the number of its node, and what is known of the gradient.
function gradientOf(p, name) {
  return Object.entries(passes[p].totals).map(([id, g]) => [Number(id), g]).find(([id]) => nodes[id].name === name);
}

// The nodes between the loss of a pass and a node.
function routeTo(p, id) {
  const found = new Set([id]), todo = [id];
  while (todo.length) for (const part of passes[p].grads[todo.pop()]?.parts || []) {
    if (!found.has(part.op)) { found.add(part.op); todo.push(part.op); }
  }
  return found;
}
