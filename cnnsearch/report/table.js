// The table of trials: sorted, filtered, and chosen from.

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function compare(one, other, sign) {
  if (one === null || other === null) return (one === null) - (other === null); // none: last
  if (typeof one === "number" && typeof other === "number") return sign * (one - other);
  return sign * String(one).localeCompare(String(other), "en", { numeric: true });
}

function sort(study, table, header) {
  const values = study.data.columns[header.dataset.column].map((v) => (v === "" ? null : v));
  const up = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) =>
    compare(values[one.dataset.row], values[other.dataset.row], up ? 1 : -1));
  body.append(...rows);
}

const OPERATORS = {
  "<": (order) => order < 0, "<=": (order) => order <= 0, ">": (order) => order > 0,
  ">=": (order) => order >= 0, "=": (order) => order === 0, "!=": (order) => order !== 0,
};

const textOf = (row) => (row.text ??= row.textContent.toLowerCase());

// `lr<0.01` asks a column, any other word must stand somewhere in the row.
function condition(study, word) {
  const [, name, operator, wanted] = /^([\w.]+)(<=|>=|!=|=|<|>)(.+)$/.exec(word) || [];
  const values = name && Object.hasOwn(study.data.columns, name) && study.data.columns[name];
  if (!values) return (at, row) => textOf(row).includes(word.toLowerCase());
  const asNumber = Number(wanted);
  const holds = OPERATORS[operator];
  return (at) => {
    const value = values[at];
    if (value === null) return operator === "!=";
    if (typeof value === "number") return !Number.isNaN(asNumber) && holds(value - asNumber);
    return holds(String(value).toLowerCase().localeCompare(wanted.toLowerCase()));
  };
}

function filter(study, section) {
  const words = section.querySelector(".filter").value.split(/\s+/).filter(Boolean);
  const conditions = words.map((word) => condition(study, word));
  const boxes = section.querySelectorAll(".state input");
  const states = new Set([...boxes].filter((box) => box.checked).map((box) => box.value));
  study.rows.forEach((row, at) => {
    const shown = states.has(state(study, at)) && conditions.every((one) => one(at, row));
    study.shown[at] = shown;
    row.hidden = !shown;
  });
  const count = study.shown.filter(Boolean).length;
  section.querySelector(".count").textContent =
    count === study.count ? `all ${count} trials` : `${count} of ${study.count} trials`;
  redraw(study);
}

function refresh(study) {
  const panel = document.getElementById(`study-${study.index}`);
  for (const at of new Set([...study.marked, ...study.chosen.keys()])) {
    const row = study.rows[at];
    const place = study.chosen.get(at);
    row.querySelector("input").checked = place !== undefined;
    row.classList.toggle("chosen", place !== undefined);
    row.querySelector(".swatch").style.background = place === undefined ? "" : look(place).color;
  }
  study.marked = [...study.chosen.keys()];
  const full = study.chosen.size === MOST_CHOSEN ? ", no more fit" : "";
  panel.querySelector(".chosen-count").textContent = `${study.chosen.size} chosen${full}`;
  listLayered(study, panel);
  redraw(study);
}

function listLayered(study, panel) {
  const select = panel.querySelector("select.layered");
  if (!select) return;
  const before = select.value;
  const rows = [...study.chosen.keys()].filter((row) => study.data.layers[row]);
  rows.sort((one, other) => one - other);
  select.replaceChildren(
    ...rows.map((row) => {
      const option = element("option", `trial ${number(study, row)}`);
      option.value = String(row);
      return option;
    }),
  );
  if (before !== "" && rows.includes(Number(before))) select.value = before;
}

function layerTable(study, section) {
  const place = section.querySelector(".layer-table");
  const found = study.data.layers[section.querySelector("select.layered").value];
  place.replaceChildren();
  if (!found) return;
  for (const probe of found.probes) {
    const names = Object.keys(probe).filter(
      (name) => name !== "epoch" && probe[name].some((value) => value !== null));
    const table = document.createElement("table");
    const caption = probe.epoch ? `after epoch ${probe.epoch}` : "before training";
    table.append(element("caption", caption));
    const head = table.createTHead().insertRow();
    head.append(...["layer", "units", ...names].map((name) => element("th", name)));
    const body = table.createTBody();
    found.names.forEach((name, at) => {
      const row = body.insertRow();
      row.append(element("th", name), element("td", found.units[at], "right"));
      row.append(...names.map((one) => element("td", short(probe[one][at]), "right")));
    });
    place.append(table);
  }
}

function later(action) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, 120);
  };
}

function listen(study) {
  const panel = document.getElementById(`study-${study.index}`);
  const section = panel.querySelector(".choosing");
  if (!section) return;
  const table = section.querySelector("table");
  table.tHead.addEventListener("click", (event) => {
    const header = event.target.closest("th[data-column]");
    if (header) sort(study, table, header);
  });
  table.tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row || (event.target.localName !== "input" && String(getSelection()))) return;
    const at = Number(row.dataset.row);
    choose(study, at, !study.chosen.has(at));
    refresh(study);
  });
  study.rows = [...table.tBodies[0].rows]; // as they were written, best first
  const changed = later(() => filter(study, section));
  section.querySelector(".filter").addEventListener("input", changed);
  for (const box of section.querySelectorAll(".state input")) box.addEventListener("change", changed);
  section.querySelector(".measure").addEventListener("change", (event) => {
    study.measure = event.target.value;
    redraw(study);
  });
  const restart = (rows) => {
    study.chosen.clear();
    rows.forEach((row) => choose(study, row, true));
    refresh(study);
  };
  section.querySelector("button.best").addEventListener("click", () => restart(study.data.chosen));
  section.querySelector("button.none").addEventListener("click", () => restart([]));
  const quantities = panel.querySelector("select.quantity");
  if (quantities) {
    const [first] = Object.values(study.data.layers);
    const names = Object.keys(first.probes[0]).filter((name) => name !== "epoch");
    quantities.append(...names.map((name) => element("option", name)));
    quantities.addEventListener("change", () => {
      study.quantity = quantities.value;
      redraw(study);
    });
    panel.querySelector("select.layered").addEventListener("change", () => redraw(study));
  }
  study.data.chosen.forEach((row) => choose(study, row, true));
  refresh(study);
  filter(study, section);
}
