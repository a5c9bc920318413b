"use strict";
// HTML and SVG elements, and numbers as text.

const SVG = new Set(["svg", "g", "rect", "path", "text", "title", "image", "marker", "defs"]);

const get = id => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element[key] = value;
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...solid(children));
  return element;
}

const solid = children => children.flat(9).filter(child => child != null && child !== false);
const fill = (id, ...children) => get(id).replaceChildren(...solid(children));
const button = (text, onclick, more = {}) => make("button", { onclick, type: "button", ...more }, text);
const listed = items => make("ul", {}, items.map(item => make("li", {}, item)));
const faint = (...children) => make("span", { class: "faint" }, children);
const heading = text => make("h3", {}, text);

// Rows of cells; the first cell of a row is its heading.
function table(head, rows) {
  const line = ([first, ...others]) =>
    make("tr", {}, make("th", { scope: "row" }, first), others.map(cell => make("td", {}, cell)));
  return make("div", { class: "wide" }, make("table", {},
    head.length ? make("thead", {}, make("tr", {}, head.map(cell => make("th", { scope: "col" }, cell)))) : null,
    make("tbody", {}, rows.map(line))));
}

const number = x => x == null ? "not finite" : x && Math.abs(x) < 1e-3 ? x.toExponential() : String(x);
const numbers = xs => xs.map(number).join(", ");
const dims = shape => "(" + shape.join(", ") + ")";
const sizeOf = shape => shape.reduce((product, length) => product * length, 1);
const count = (n, one, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
