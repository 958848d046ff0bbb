"use strict";
// The page can be read without this: it draws the figures, and sorts, filters and chooses trials.
(() => {
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

  // Studies -----------------------------------------------------------------------------------

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

  // Figures -----------------------------------------------------------------------------------

  function axis(more) {
    const grid = css(printing ? "--print-grid" : "--grid");
    return { gridcolor: grid, zeroline: false, linecolor: grid, automargin: true, ...more };
  }

  function layoutOf(more) {
    const { xaxis, yaxis, ...rest } = more;
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: printing ? "#111" : css("--ink"), family: css("--font"), size: 12 },
      margin: { l: 50, r: 12, t: 12, b: 40 },
      hovermode: "closest",
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      hoverlabel: { namelength: -1 },
      xaxis: axis(xaxis || {}),
      yaxis: axis(yaxis || {}),
      ...rest,
    };
  }

  // Of a logarithmic axis: powers of ten only, where two of them or more are on it.
  function decades(values) {
    const known = values.filter((value) => value > 0).map(Math.log10);
    const many = Math.floor(Math.max(...known)) - Math.ceil(Math.min(...known)) >= 1;
    return { type: "log", exponentformat: "power", ...(many ? { dtick: 1 } : {}) };
  }

  const isLog = (values) => {
    const known = values.filter((value) => value !== null);
    const low = Math.min(...known);
    return known.length > 0 && low > 0 && Math.max(...known) / low > LOG_RATIO;
  };

  // Trials over an x each: those with a value above, the others in a strip below, by their state.
  function cloud(study, xs, xaxis, name) {
    const { objective, columns } = study.data;
    const rows = study.shown.map((_, row) => row).filter((row) => study.shown[row]);
    const known = rows.filter((row) => xs[row] !== null && xs[row] !== undefined);
    const lost = Object.keys(page.states).filter((one) =>
      known.some((row) => !has(study, row) && state(study, row) === one),
    );
    const place = (row) => (has(study, row) ? columns.value[row] : lost.indexOf(state(study, row)));
    const trace = (some, more) => ({
      type: "scatter",
      mode: "markers",
      x: some.map((row) => xs[row]),
      y: some.map(place),
      customdata: some.map((row) => row),
      text: some.map((row) => `trial ${number(study, row)}`),
      hovertemplate: `%{text}<br>${name} %{x}<br>${objective} %{y}<extra></extra>`,
      ...more,
    });
    const groups = ["complete", ...lost].map((one) => {
      const [color, symbol] = page.states[one];
      const below = one !== "complete";
      return trace(
        known.filter((row) => (below ? !has(study, row) && state(study, row) === one : has(study, row))),
        {
          name: one,
          marker: { color, symbol, size: 7, opacity: 0.8 },
          yaxis: below ? "y2" : "y",
          ...(below ? { hovertemplate: `%{text}: ${one}<br>${name} %{x}<extra></extra>` } : {}),
        },
      );
    });
    const rings = ["y", "y2"].map((yaxis) => {
      const some = known.filter((row) => study.chosen.has(row) && has(study, row) === (yaxis === "y"));
      const color = some.map((row) => look(study.chosen.get(row)).color);
      const marker = { symbol: "circle-open", size: 13, color, line: { width: 3 } };
      return trace(some, { marker, yaxis, hoverinfo: "skip", hovertemplate: null, name: "chosen" });
    });
    const foot = lost.length ? Math.min(0.5, 0.09 * lost.length) : 0;
    const values = columns.value.filter((value) => value !== null);
    const layout = {
      showlegend: false,
      // Room for the longest state: margins that plotly finds by itself go to and fro with two axes.
      margin: { l: 74, r: 12, t: 12, b: 44 },
      xaxis: { automargin: false, ...xaxis, anchor: lost.length ? "y2" : "y" },
      yaxis: {
        title: { text: objective, standoff: 8 },
        automargin: false,
        domain: [foot ? foot + 0.04 : 0, 1],
        ...(isLog(values) ? { type: "log" } : {}),
        visible: values.length > 0,
      },
    };
    if (lost.length) {
      layout.yaxis2 = axis({
        automargin: false,
        domain: [0, values.length ? foot : 1],
        range: [-0.6, lost.length - 0.4],
        tickvals: lost.map((_, at) => at),
        ticktext: lost,
        fixedrange: true,
        showgrid: false,
      });
    }
    return { data: [...groups, ...rings].filter((one) => one.x.length), layout };
  }

  function history(study) {
    const { columns, direction, objective } = study.data;
    const whole = study.count <= 12 ? { dtick: 1 } : {};
    const found = cloud(study, columns.number, { ...whole, title: { text: "trial" } }, "trial");
    const better = direction === "maximize" ? Math.max : Math.min;
    const order = columns.number.map((_, row) => row).filter((row) => has(study, row));
    order.sort((one, other) => number(study, one) - number(study, other));
    let best = null;
    const steps = order.map((row) => {
      best = best === null ? columns.value[row] : better(best, columns.value[row]);
      return best;
    });
    if (!steps.length) return found;
    const line = { color: page.lines[0], shape: "hv", width: 1.5 };
    found.data.unshift({
      type: "scatter", mode: "lines", x: order.map((row) => number(study, row)), y: steps, line,
      name: "best so far", hovertemplate: `best so far: ${objective} %{y}<extra></extra>`,
    });
    return found;
  }

  function slice(study, element) {
    const param = study.data.params[Number(element.dataset.param)];
    if (param.choices) {
      const ticks = { tickvals: param.choices.map((_, at) => at), ticktext: param.choices.map(plain) };
      const range = [-0.6, param.choices.length - 0.4];
      const xs = param.at.map((at, row) => (at === null ? null : at + shift(study, row)));
      const xaxis = { ...ticks, range, automargin: true, title: { text: param.name } };
      const found = cloud(study, xs, xaxis, param.name);
      for (const trace of found.data) {
        trace.text = trace.customdata.map(
          (row) => `trial ${number(study, row)}, ${param.name} ${plain(param.choices[param.at[row]])}`,
        );
        if (trace.hovertemplate) {
          trace.hovertemplate = trace.hovertemplate.replace(`<br>${param.name} %{x}`, "");
        }
      }
      return found;
    }
    const type = param.log ? decades(study.data.columns[param.name]) : {};
    const title = { text: param.log ? `${param.name} (log)` : param.name };
    return cloud(study, study.data.columns[param.name], { ...type, title }, param.name);
  }

  // Sideways by the trial's number, always the same, so that equal choices do not cover each other.
  const shift = (study, row) => (((number(study, row) * 0.618) % 1) - 0.5) * 0.5;

  function curves(study, element) {
    const { curves: all, objective } = study.data;
    const traces = [];
    const empty = [];
    for (const [row, place] of [...study.chosen].sort((one, other) => one[0] - other[0])) {
      const ys = all[study.measure][row];
      if (!ys.some((value) => value !== null)) {
        empty.push(`trial ${number(study, row)} (${state(study, row)})`);
        continue;
      }
      const { color, dash, symbol } = look(place);
      const value = study.data.columns.value[row];
      const told = value === null ? state(study, row) : `${objective} ${measure(value)}`;
      traces.push({
        type: "scatter",
        mode: ys.length > 40 ? "lines" : "lines+markers",
        name: `trial ${number(study, row)} (${told})`,
        x: ys.map((_, at) => at + 1),
        y: ys,
        line: { color, dash, width: 2 },
        marker: { symbol, size: 7, color },
        hovertemplate: `trial ${number(study, row)}, epoch %{x}: %{y}<extra></extra>`,
      });
      if (value === null) {
        const [lost, mark] = page.states[state(study, row)];
        traces.push({
          type: "scatter", mode: "markers", showlegend: false, x: [ys.length], y: [ys[ys.length - 1]],
          marker: { symbol: mark, size: 12, color: lost }, hoverinfo: "skip",
        });
      }
    }
    const section = element.closest(".choosing");
    section.querySelector(".left-out").textContent =
      empty.length ? `Without a finished epoch, so not drawn: ${empty.join(", ")}.` : "";
    const log = study.measure.endsWith("loss") && isLog(traces.flatMap((trace) => trace.y));
    const unit = study.measure.endsWith("accuracy") ? "0 to 1" : "cross-entropy";
    const most = Math.max(1, ...traces.map((trace) => trace.x[trace.x.length - 1]));
    return {
      data: traces,
      layout: {
        showlegend: true,
        xaxis: { title: { text: "epoch" }, ...(most <= 12 ? { dtick: 1 } : {}) },
        yaxis: {
          title: { text: `${study.measure} (${unit}${log ? ", log" : ""})` },
          ...(log ? decades(traces.flatMap((trace) => trace.y)) : {}),
        },
      },
    };
  }

  // Parallel coordinates: lines in groups, so that a thousand trials are a few traces.
  const BELOW = -0.13;

  function heightOf(param, study, row) {
    if (param.choices) {
      const at = param.at[row];
      if (at === null) return BELOW;
      return (at + 0.5 + shift(study, row) * 0.8) / param.choices.length;
    }
    const value = study.data.columns[param.name][row];
    if (value === null) return BELOW;
    if (param.high <= param.low) return 0.5;
    const scale = param.log ? Math.log : (x) => x;
    return (scale(value) - scale(param.low)) / (scale(param.high) - scale(param.low));
  }

  function parallel(study) {
    const { params, columns, objective, direction } = study.data;
    const values = columns.value.filter((value) => value !== null);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const of = (row) => {
      if (!has(study, row)) return BELOW;
      return high > low ? (columns.value[row] - low) / (high - low) : 0.5;
    };
    const way = (row) => [...params.map((param) => heightOf(param, study, row)), of(row)];
    const rows = study.shown.map((_, row) => row).filter((row) => study.shown[row]);
    const good = rows.filter((row) => has(study, row)); // best first, as the rows are
    const shades = dark() ? [...SHADES].reverse() : SHADES;
    const fifths = shades.map((color, at) => ({
      name: ["best fifth", "second", "third", "fourth", "last fifth"][at],
      rows: good.filter((_, place) => Math.floor((5 * place) / good.length) === at),
      line: { color, width: at === 0 ? 2 : 1 },
    }));
    const lost = Object.entries(page.states).map(([name, [color]]) => ({
      name,
      rows: rows.filter((row) => !has(study, row) && state(study, row) === name),
      line: { color, width: 1, dash: "dot" },
    }));
    const places = [...params.map((_, at) => at), params.length];
    const bundle = (some, more) => ({
      type: "scatter",
      mode: "lines",
      hoverinfo: "skip",
      x: some.flatMap(() => [...places, null]),
      y: some.flatMap((row) => [...way(row), null]),
      ...more,
    });
    const traces = [...lost, ...fifths.reverse()]
      .filter((group) => group.rows.length)
      .map((group) => bundle(group.rows, { name: group.name, line: group.line, opacity: 0.7 }));
    for (const [row, place] of study.chosen) {
      if (!study.shown[row]) continue;
      const { color, symbol } = look(place);
      traces.push(
        bundle([row], {
          name: `trial ${number(study, row)}`,
          mode: "lines+markers",
          line: { color, width: 3 },
          marker: { symbol, size: 8 },
        }),
      );
    }
    const label = (x, y, text, more) => ({ x, y, text: plain(text), showarrow: false, xshift: 4,
      xanchor: "left", font: { size: 11 }, bgcolor: css(printing ? "--print-paper" : "--paper"),
      opacity: 0.85, ...more });
    const texts = params.flatMap((param, at) =>
      param.choices
        ? param.choices.map((choice, i) => label(at, (i + 0.5) / param.choices.length, choice))
        : [label(at, 0, short(param.low)), label(at, 1, short(param.high))],
    );
    if (values.length) {
      texts.push(label(params.length, 0, measure(low)), label(params.length, 1, measure(high)));
    }
    if (rows.some((row) => way(row).includes(BELOW))) {
      texts.push(label(params.length, BELOW, "no value"));
      params.forEach((param, at) => {
        const absent = rows.some((row) => heightOf(param, study, row) === BELOW);
        if (absent) texts.push(label(at, BELOW, "inactive"));
      });
    }
    const ink = css(printing ? "--print-grid" : "--axis");
    const names = [...params.map((one) => (one.log ? `${one.name}<br>(log)` : one.name)), objective];
    return {
      data: traces,
      layout: {
        margin: { l: 20, r: 60, t: 12, b: 45 },
        xaxis: { tickvals: places, ticktext: names, range: [-0.1, params.length + 0.35],
          showgrid: false, fixedrange: true },
        yaxis: { visible: false, range: [BELOW - 0.08, 1.08], fixedrange: true },
        shapes: places.map((x) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, line: { color: ink } })),
        annotations: texts,
        showlegend: true,
        meta: direction,
      },
    };
  }

  function layers(study, element) {
    const { quantity } = study;
    const traces = [];
    const missing = [];
    for (const [row, place] of [...study.chosen].sort((one, other) => one[0] - other[0])) {
      const found = study.data.layers[row];
      if (!found) {
        missing.push(`trial ${number(study, row)}`);
        continue;
      }
      const { color, symbol } = look(place);
      found.probes.forEach((probe) => {
        if (!probe[quantity].some((value) => value !== null)) return;
        const when = probe.epoch ? `after epoch ${probe.epoch}` : "before training";
        traces.push({
          type: "scatter", mode: "lines+markers", x: found.names, y: probe[quantity],
          name: `trial ${number(study, row)}`, showlegend: probe.epoch > 0 || found.probes.length === 1,
          line: { color, dash: probe.epoch ? "solid" : "dot" }, marker: { symbol, size: 8, color },
          hovertemplate: `trial ${number(study, row)}, %{x}, ${when}: %{y}<extra></extra>`,
        });
      });
    }
    const log = LOG_QUANTITIES.has(quantity);
    const share = ["dead", "saturated", "similarity"].includes(quantity);
    const notes = missing.length ? [{ text: `not measured, or not in the page: ${missing.join(", ")}`,
      xref: "paper", yref: "paper", x: 0, y: 0, yanchor: "bottom", showarrow: false }] : [];
    layerTable(study, element.closest(".layers"));
    return {
      data: traces,
      layout: {
        showlegend: true,
        annotations: notes,
        xaxis: { type: "category" },
        yaxis: {
          title: { text: `${quantity}${share ? ", 0 to 1" : ""}${log ? " (log)" : ""}` },
          ...(log ? decades(traces.flatMap((trace) => trace.y)) : {}),
          ...(share ? { range: [-0.03, 1.03] } : {}),
        },
      },
    };
  }

  const spec = (found) => (found ? structuredClone(found) : { data: [], layout: {} });
  const makers = {
    history, slice, curves, parallel, layers,
    importance: (study) => spec(study.data.figures.importance),
    "progress-trials": () => spec(page.figures["progress-trials"]),
    "progress-epochs": () => spec(page.figures["progress-epochs"]),
  };
  const drawn = new Set();

  function draw(element) {
    const study = studies[Number(element.dataset.study)];
    const { data, layout } = makers[element.dataset.figure](study, element);
    Plotly.react(element, data, layoutOf(layout), CONFIG);
    if (drawn.has(element)) return;
    drawn.add(element);
    element.on("plotly_click", (event) => {
      const row = event.points[0].customdata;
      if (Number.isInteger(row)) {
        choose(study, row, !study.chosen.has(row));
        refresh(study);
      }
    });
  }

  function redraw(study) {
    for (const element of drawn) {
      const mine = study === undefined || Number(element.dataset.study) === study.index;
      const changes = study === undefined || element.dataset.figure !== "importance";
      if (mine && changes && element.offsetParent !== null) draw(element);
    }
  }

  // Figures are drawn when they come into view: a thousand trials are some thousand marks each.
  let watch = null;

  // plotly takes a second to be read, so it waits until the page can be: it stands there as text,
  // and runs as the script whose hash the page's policy names.
  function start() {
    if (watch) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.body.append(script);
    watch = new IntersectionObserver(seen, { rootMargin: "200px" });
    document.querySelectorAll(".plot").forEach((one) => watch.observe(one));
  }

  const seen = (
entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        watch.unobserve(entry.target);
        draw(entry.target);
      }
    }
    root.dataset.drawn = String(drawn.size);
  };

  // The table ---------------------------------------------------------------------------------

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

  // Tabs --------------------------------------------------------------------------------------

  function tabs() {
    const links = [...document.querySelectorAll("nav a")];
    if (!links.length) return;
    const open = () => {
      const wanted = links.find((link) => link.hash === location.hash) || links[0];
      for (const link of links) {
        link.setAttribute("aria-selected", String(link === wanted));
        document.querySelector(link.hash).classList.toggle("closed", link !== wanted);
      }
      redraw();
    };
    addEventListener("hashchange", () => { open(); scrollTo(0, 0); });
    open();
  }

  studies.forEach(listen);
  tabs();
  requestAnimationFrame(() => setTimeout(start)); // after the first picture
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  addEventListener("beforeprint", () => {
    start();
    printing = true;
    root.classList.add("printing");
    document.querySelectorAll(".plot").forEach(draw);
  });
  addEventListener("afterprint", () => {
    printing = false;
    root.classList.remove("printing");
    redraw();
  });
})();
