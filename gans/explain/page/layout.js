"use strict";
// Which boxes there are, and where.

let boxes = new Map(), edges = new Map(), size = [0, 0];

const GAP = 14, LAYER_GAP = 44, MARGIN = 16, SWEEPS = 10;

// A box is a module that is folded, an op, or an input. Parameters are chips in the boxes that use them.
function boxOf(n) {
  const folded = n.path.find(key => !state.open.has(key));
  return folded ? "g:" + folded : "n:" + n.id;
}

function build() {
  boxes = new Map();
  edges = new Map();
  for (const n of nodes) if (!isParameter(n)) putIntoBox(n);
  for (const box of boxes.values()) describe(box);
  layout();
}

function putIntoBox(n) {
  const key = boxOf(n), group = key.startsWith("g:") ? key.slice(2) : null;
  const box = boxes.get(key) || { key, group, nodes: [], ids: new Set(), parameters: new Map() };
  boxes.set(key, box);
  box.nodes.push(n);
  box.ids.add(n.id);
  for (const x of n.inputs) if (x.node != null) {
    if (isParameter(nodes[x.node])) box.parameters.set(nodes[x.node].name, x.node);
    else if (boxOf(nodes[x.node]) !== key) connect(boxOf(nodes[x.node]), key, x, n);
  }
}

function connect(from, to, x, n) {
  const name = from + ">" + to, edge = edges.get(name) || { from, to, kinds: new Set(), pairs: [] };
  edges.set(name, edge);
  edge.kinds.add(x.edge);
  edge.pairs.push([x.node, n.id]);
}

// The text, the chips, the picture and the size of a box.
function describe(box) {
  const last = box.nodes.at(-1), group = groups[box.group], s = last.value.shape, isBackward = state.view >= 0;
  const name = !group ? nameOf(last) : plainLabel(group) === group.net ? group.label : `${group.label} ${group.kind}`;
  box.lines = [name, dims(s) + (group && box.nodes.length > 1 ? `, ${box.nodes.length} ops` : "")];
  box.chips = [...box.parameters].map(([full, id]) => ({ name: full.slice(full.lastIndexOf(".") + 1), ids: [id] }));
  if (box.chips.length > 4) box.chips = [{ name: `${box.parameters.size} parameters`, ids: [...box.parameters.values()] }];
  for (const chip of box.chips) chip.width = chip.name.length * 6.2 + 10;
  box.image = (s[1] === 1 || s[1] === 3) && !last.order ? last.value.image : null;
  const chips = box.chips.reduce((width, chip) => width + chip.width + 4, 12);
  box.w = Math.max(isBackward ? 98 : 70, chips, ...box.lines.map(line => line.length * 6.7 + 20));
  box.h = 42 + (box.chips.length ? 20 : 0) + (box.image ? 34 : 0) + (isBackward ? 13 : 0);
}

// Layers from left to right by the longest path; an edge across layers gets a narrow place in each; then each item is moved
// towards the mean of its neighbours, without overlaps (Sugiyama et al., 1981; isotonic regression for the places).
function layout() {
  assignLayers([...boxes.values()]);
  const layers = fillLayers();
  for (const items of layers) {
    items.forEach((item, i) => { item.want = i * 60; });
    place(items);
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const sides = sweep > 6 ? [0, 1] : [sweep % 2];
    for (const items of sweep % 2 ? [...layers].reverse() : layers) {
      items.forEach(item => { item.want = meanOfNeighbours(item, sides); });
      place(items);
    }
  }
  setCoordinates(layers);
}

function assignLayers(list) {
  const into = new Map(list.map(box => [box.key, []])), from = new Map(list.map(box => [box.key, []]));
  for (const edge of edges.values()) { into.get(edge.to).push(edge); from.get(edge.from).push(edge); }
  const waiting = new Map(list.map(box => [box.key, into.get(box.key).length]));
  const ready = list.filter(box => !waiting.get(box.key));
  list.forEach(box => { box.layer = 0; });
  for (let i = 0; i < ready.length; i++) for (const edge of from.get(ready[i].key)) {
    const next = boxes.get(edge.to);
    next.layer = Math.max(next.layer, ready[i].layer + 1);
    waiting.set(edge.to, waiting.get(edge.to) - 1);
    if (!waiting.get(edge.to)) ready.push(next);
  }
  for (const box of ready.reverse()) {  // what feeds more than it is fed moves towards what it feeds
    const out = from.get(box.key), next = out.map(edge => boxes.get(edge.to).layer);
    if (out.length && into.get(box.key).length <= out.length) box.layer = Math.min(...next) - 1;
  }
}

// The items of each layer: boxes, and the places of edges that cross the layer.
function fillLayers() {
  const layers = [];
  const put = item => { (layers[item.layer] ??= []).push(item); item.near = [[], []]; return item; };
  for (const box of boxes.values()) put(box);
  for (const edge of edges.values()) {
    const a = boxes.get(edge.from), b = boxes.get(edge.to);
    edge.chain = [a];
    for (let l = a.layer + 1; l < b.layer; l++) edge.chain.push(put({ layer: l, w: 0, h: 6 }));
    edge.chain.push(b);
    for (let i = 1; i < edge.chain.length; i++) {
      edge.chain[i].near[0].push(edge.chain[i - 1]);
      edge.chain[i - 1].near[1].push(edge.chain[i]);
    }
  }
  return Array.from(layers, items => items || []);
}

function meanOfNeighbours(item, sides) {
  const near = sides.flatMap(side => item.near[side]);
  return near.length ? near.reduce((sum, other) => sum + other.y, 0) / near.length : item.y;
}

// Heights nearest to those wanted, without overlaps: blocks of items that touch move together.
function place(items) {
  items.sort((a, b) => a.want - b.want);
  const blocks = [], mean = block => block.sum / block.count;
  let offset = 0;
  for (const item of items) {
    item.offset = offset + item.h / 2;
    offset += item.h + GAP;
    blocks.push({ sum: item.want - item.offset, count: 1 });
    while (blocks.length > 1 && mean(blocks.at(-2)) > mean(blocks.at(-1))) {
      const { sum, count } = blocks.pop();
      blocks.at(-1).sum += sum;
      blocks.at(-1).count += count;
    }
  }
  let i = 0;
  for (const block of blocks) for (let k = 0; k < block.count; k++, i++) items[i].y = mean(block) + items[i].offset;
}

function setCoordinates(layers) {
  let x = MARGIN;
  for (const items of layers) {
    const width = Math.max(0, ...items.map(item => item.w));
    for (const item of items) {
      item.x = x + width / 2;
      item.left = item.w ? item.x - item.w / 2 : x;
      item.right = item.w ? item.x + item.w / 2 : x + width;
    }
    x += width + LAYER_GAP;
  }
  const all = layers.flat(), top = Math.min(...all.map(item => item.y - item.h / 2));
  all.forEach(item => { item.y += MARGIN - top; });
  size = [x - LAYER_GAP + MARGIN, Math.max(...all.map(item => item.y + item.h / 2)) + MARGIN];
}
