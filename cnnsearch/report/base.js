// What the other scripts share: the data of the page, its studies, and how numbers are written.

const page = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const MOST_CHOSEN = 18;
const DASHES = ["solid", "dash", "dot"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "star", "hexagon"];
// From the best to the worst fifth, as dark as it is good; in a dark page the other way round.
const SHADES = ["#08306b", "#2171b5", "#6baed6", "#b3cde3", "#d0d7de"];
const LOG_RATIO = 50;
const LOG_QUANTITIES = new Set(["std", "gradient", "update"]);
const CONFIG = {
  displaylogo: false,
  responsive: true,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
};
let printing = false;

const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const dark = () => !printing && matchMedia("(prefers-color-scheme: dark)").matches;

// What plotly shows is its own small HTML.
const plain = (text) =>
  String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

// As the listings write it: 4 decimals, or 4 significant digits where those say nothing.
const measure = (value) =>
  value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? short(value) : value.toFixed(4);

function short(value) {
  if (value === null || value === undefined) return "-";
  const number = Number(Number(value).toPrecision(4));
  return number !== 0 && Math.abs(number) < 1e-4 ? number.toExponential() : String(number);
}

const studies = page.studies.map((data, index) => ({
  data,
  index,
  count: data.columns.number.length,
  chosen: new Map(), // row of a trial -> its place among the colours
  rows: [], // of the table, by the places of their trials
  marked: [], // those that are marked as chosen
  shown: data.columns.number.map(() => true),
  measure: data.objective,
  quantity: "std",
}));

const has = (study, row) => study.data.columns.value[row] !== null;
const number = (study, row) => study.data.columns.number[row];
const state = (study, row) => study.data.columns.state[row];

function choose(study, row, on) {
  if (!on) {
    study.chosen.delete(row);
  } else if (!study.chosen.has(row) && study.chosen.size < MOST_CHOSEN) {
    const taken = new Set(study.chosen.values());
    let place = 0;
    while (taken.has(place)) place += 1;
    study.chosen.set(row, place);
  }
}

function look(place) {
  return {
    color: page.lines[place % page.lines.length],
    dash: DASHES[Math.floor(place / page.lines.length) % DASHES.length],
    symbol: SYMBOLS[place % SYMBOLS.length],
  };
}
