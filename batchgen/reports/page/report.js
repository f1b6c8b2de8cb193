"use strict";
// The page of a batch. Every text in it comes from outside, so nothing is ever parsed as HTML:
// elements are made one by one and texts are set as texts.
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const jobs = data.jobs;
const $ = (id) => document.getElementById(id);
const bar = $("bar"), list = $("list"), large = $("large"), field = bar.elements;
const WORDS = ["keep", "redo", "reject"];
const RENDER_ALL = 300; // so many cards a browser holds without effort; above that, those in sight
const HEAD_PX = 40, MARGIN_PX = 900;

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// ---- marks: what the person says, until it is in reviews.jsonl

const STORE = `batchgen ${data.id}`;
const read = (key, otherwise) => { try { return JSON.parse(localStorage.getItem(key)) ?? otherwise; } catch { return otherwise; } };
const write = (key, value) => { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* marks last as long as the page */ } };
const marks = data.live ? {} : read(STORE, {});
const past = [];
const latest = (job) => job.takes.at(-1) ?? { take: 1, state: job.state, files: [], submitted: "", verdict: "", note: "", at: "" };
const shownTake = (job) => job.takes.findLast((take) => take.files.length) ?? latest(job);
// A mark is about one submission: the number of the take alone would also fit an edited row.
const keyOf = (job) => JSON.stringify([job.job, latest(job).take, latest(job).submitted]);

function markOf(job) {
  const take = latest(job), mark = marks[keyOf(job)];
  if (mark && (!take.at || mark.at > take.at)) return mark;
  return { verdict: take.verdict, note: take.note };
}

// A wrong row was never a job, so `batchgen review` would refuse a verdict on it.
const isJob = (job) => job.state !== "invalid";

function mark(job, change) {
  if (!isJob(job)) return;
  const before = marks[keyOf(job)] ?? null;
  past.push([job, before]);
  put(job, { ...markOf(job), ...change, at: new Date().toISOString() });
}

function put(job, value) {
  if (value) marks[keyOf(job)] = value; else delete marks[keyOf(job)];
  $("undo").disabled = past.length === 0;
  if (data.live) send(job, markOf(job)); else write(STORE, marks);
  refresh(job);
  count();
}

async function send(job, value) {
  if (!value.verdict) return;
  const body = JSON.stringify({ job: job.job, take: latest(job).take, submitted_at: latest(job).submitted, verdict: value.verdict, note: value.note ?? "" });
  let why = "";
  try {
    const answer = await fetch("verdicts", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (!answer.ok) why = await answer.text();
  } catch { why = "batchgen serve does not answer any more"; }
  if (!why) return;
  delete marks[keyOf(job)];
  refresh(job);
  count();
  alert(`${job.job}: the verdict was not stored: ${why}`);
}

function undo() {
  const last = past.pop();
  if (!last) return;
  put(...last);
  go(last[0]);
}

function exportCsv() {
  const lines = ["job,take,verdict,note"];
  for (const job of jobs) {
    const value = data.live ? markOf(job) : marks[keyOf(job)] && markOf(job);
    if (value && value.verdict) lines.push([job.job, latest(job).take, value.verdict, value.note ?? ""].map(cell).join(","));
  }
  const link = el("a", { href: URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" })), download: "review.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// What a spreadsheet would run as a formula gets a leading ', which `batchgen review` takes away.
function cell(value) {
  let text = String(value);
  if (/^'*[=+\-@\t\r]/.test(text) && !/^[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$/.test(text)) text = "'" + text;
  return /[,"\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

// ---- which jobs are shown, in which order

const columnNames = [...new Set(jobs.flatMap((job) => Object.keys(job.columns)))];
const EXTRA = { state: (job) => job.state, step: (job) => job.step ?? "", verdict: (job) => markOf(job).verdict || "none", model: (job) => job.model, checks: (job) => job.checks, job: (job) => job.job, error: (job) => job.error };
const valueOf = (job, name) => (Object.hasOwn(job.columns, name) ? job.columns[name] : EXTRA[name]?.(job)) ?? "";

function haystack(job) {
  job.text ??= [job.job, job.prompt, ...Object.values(job.columns), job.error, job.checks, job.model].join("\n").toLowerCase();
  return job.text;
}

function matcher() {
  const query = field.q.value.trim().toLowerCase(), at = query.indexOf(":");
  const column = at > 0 && [...columnNames, ...Object.keys(EXTRA)].find((name) => name.toLowerCase() === query.slice(0, at).trim());
  const wanted = ["state", "step", "verdict", "model"].map((name) => [name, field[name].value]).filter(([, value]) => value);
  return (job) => {
    if (field.checks.value === "any" && !job.checks) return false;
    if (field.checks.value === "none" && job.checks) return false;
    if (wanted.some(([name, value]) => EXTRA[name](job) !== value)) return false;
    if (!query || haystack(job).includes(query)) return true;
    if ((markOf(job).note ?? "").toLowerCase().includes(query)) return true;
    return Boolean(column) && String(valueOf(job, column)).toLowerCase().includes(query.slice(at + 1).trim());
  };
}

const collator = new Intl.Collator(undefined, { numeric: true });
const seconds = (job) => { const take = latest(job); return job.finished && take.submitted ? (Date.parse(job.finished) - Date.parse(take.submitted)) / 1000 : NaN; };
const ORDERS = {
  newest: (a, b) => (b.finished || "").localeCompare(a.finished || ""),
  cost: (a, b) => (b.cost || 0) - (a.cost || 0),
  time: (a, b) => (seconds(b) || 0) - (seconds(a) || 0),
  job: (a, b) => collator.compare(a.job, b.job),
};

let shown = [], current = null;

function select() {
  shown = jobs.filter(matcher());
  const sort = field.sort.value, order = ORDERS[sort] ?? ((a, b) => collator.compare(valueOf(a, sort), valueOf(b, sort)));
  if (sort) shown.sort(order);
  if (!shown.includes(current)) current = shown[0] ?? null;
  layout();
  count();
}

function count() {
  const totals = { keep: 0, redo: 0, reject: 0 };
  for (const job of jobs) { const word = markOf(job).verdict; if (word) totals[word] += 1; }
  const said = WORDS.filter((word) => totals[word]).map((word) => `${totals[word]} ${word}`);
  $("count").textContent = [`${shown.length} of ${jobs.length} shown`, ...said].join(" · ");
}

// ---- the list: rows of cards at known places, of which only those in sight are in the document

let rows = [], cards = new Map(), columns = 1, cardWidth = 240;
const cardHeight = () => Math.round(cardWidth) + 148;
const gap = () => parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--gap"));

function layout() {
  const style = getComputedStyle(document.documentElement), em = parseFloat(style.fontSize);
  const least = parseFloat(style.getPropertyValue("--card-w")) * em, space = gap();
  columns = Math.max(1, Math.floor((list.clientWidth + space) / (least + space)));
  cardWidth = Math.floor((list.clientWidth - space * (columns - 1)) / columns);
  rows = [];
  let top = 0;
  const add = (row) => { rows.push({ ...row, top }); top += row.height + (row.head === undefined ? space : 0); };
  if (field.view.value === "grid") grid(add, space);
  else for (const [name, members] of groups()) {
    if (name !== null) add({ head: `${name || "(empty)"}`, small: `${members.length}`, height: HEAD_PX });
    for (let i = 0; i < members.length; i += columns) add({ cells: members.slice(i, i + columns), height: cardHeight() });
  }
  list.style.height = `${top}px`;
  list.replaceChildren();
  cards = new Map();
  draw();
}

function groups() {
  const name = field.group.value;
  return name ? [...byValue(shown, name)] : [[null, shown]];
}

function byValue(members, name) {
  const found = new Map();
  for (const job of members) {
    const value = String(valueOf(job, name));
    if (!found.has(value)) found.set(value, []);
    found.get(value).push(job);
  }
  return found;
}

// Two columns as axes. Several jobs of one cell stand below each other. In blind mode the columns
// change their places in each row, by a hash of its value, so that no place tells which is which.
function grid(add, space) {
  const across = [...byValue(shown, field.columns.value)], names = across.map(([name]) => name), blind = field.blind.checked;
  columns = Math.max(1, names.length);
  cardWidth = Math.max(150, Math.floor((list.clientWidth - space * (columns - 1)) / columns));
  const picks = across.map(([name, members]) => `${name || "(empty)"}: ${members.filter((job) => markOf(job).verdict === "keep").length} keep`);
  add({ head: blind ? `${names.length} ${field.columns.value || "columns"}, hidden` : picks.join("   ·   "), small: "", height: HEAD_PX });
  for (const [value, members] of byValue(shown, field.rows.value)) {
    add({ head: value || "(empty)", small: "", height: HEAD_PX });
    const columnOf = byValue(members, field.columns.value);
    const order = blind ? shuffled(names, value) : names;
    const depth = Math.max(...[...columnOf.values()].map((stack) => stack.length));
    for (let i = 0; i < depth; i += 1) add({ cells: order.map((name) => columnOf.get(name)?.[i] ?? null), height: cardHeight() });
  }
}

function shuffled(names, value) {
  let seed = 2166136261;
  for (const letter of data.id + value) seed = Math.imul(seed ^ letter.codePointAt(0), 16777619);
  const next = () => { seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5; return (seed >>> 0) / 4294967296; };
  const order = [...names];
  for (let i = order.length - 1; i > 0; i -= 1) { const j = Math.floor(next() * (i + 1)); [order[i], order[j]] = [order[j], order[i]]; }
  return order;
}

function draw() {
  const from = window.scrollY - list.offsetTop - MARGIN_PX, to = from + window.innerHeight + 2 * MARGIN_PX;
  const all = shown.length <= RENDER_ALL;
  const inSight = rows.filter((row) => all || (row.top + row.height >= from && row.top <= to));
  const wanted = new Map();
  for (const row of inSight) {
    if (row.cells === undefined) wanted.set(row, () => headOf(row));
    else row.cells.forEach((job, i) => { if (job) wanted.set(job, () => placed(cardOf(job), i, row)); });
  }
  for (const [what, element] of cards) if (!wanted.has(what)) { element.remove(); cards.delete(what); }
  let before = null;
  for (const [what, make] of wanted) {
    if (!cards.has(what)) cards.set(what, make());
    const element = cards.get(what), place = before ? before.nextSibling : list.firstChild;
    if (place !== element) list.insertBefore(element, place);
    before = element;
  }
}

function headOf(row) {
  const head = el("div", { class: "head", role: "heading", "aria-level": "2" }, row.head, " ", el("small", {}, row.small));
  head.style.transform = `translateY(${row.top}px)`;
  return head;
}

function placed(card, i, row) {
  card.style.width = `${cardWidth}px`;
  card.style.height = `${cardHeight()}px`;
  card.style.transform = `translate(${i * (cardWidth + gap())}px, ${row.top}px)`;
  return card;
}

function cardOf(job) {
  const files = shownTake(job).files;
  const shots = el("div", { class: files.length > 1 ? "shots many" : "shots", onclick: () => open(job) }, ...files.map((file) => fileOf(file, job, true)));
  if (!files.length) shots.append(el("span", {}, job.waits || job.state));
  const buttons = WORDS.map((word) => el("button", { type: "button", value: word, disabled: !isJob(job), title: `${word} (${word === "reject" ? "x" : word[0]})`, onclick: () => { go(job, false); toggle(job, word); } }, word));
  const note = el("input", { name: "note", disabled: !isJob(job), "aria-label": "note", autocomplete: "off", onchange: (event) => mark(job, { note: event.target.value }) });
  const card = el("article", { "data-job": job.job, tabindex: "-1", onfocusin: () => go(job, false) },
    shots, el("div", { class: "text" },
      el("p", { class: "prompt", title: job.prompt }, job.prompt), metaOf(job),
      el("div", { class: "marks", role: "group", "aria-label": `verdict on ${job.job}` }, ...buttons),
      el("label", { class: "note" }, "note", note)));
  show(card, job);
  return card;
}

function metaOf(job) {
  const take = latest(job), facts = [job.job, job.state];
  if (take.take > 1) facts.push(`take ${take.take}`);
  if (job.cost) facts.push(dollars(job.cost));
  if (job.waits) facts.push(job.waits);
  const text = el("p", { class: "meta", title: [facts.join(" · "), job.error, job.checks].filter(Boolean).join("\n") }, facts.join(" · "));
  for (const [name, said] of [["bad", job.error], ["found", job.checks]]) if (said) text.append(" · ", el("span", { class: name }, said.replaceAll("\n", "; ")));
  return text;
}

function show(card, job) {
  const value = markOf(job);
  card.dataset.verdict = value.verdict || "";
  card.setAttribute("aria-current", String(job === current));
  card.setAttribute("aria-label", `${job.job}, ${job.state}${value.verdict ? `, ${value.verdict}` : ""}`);
  for (const button of card.querySelectorAll(".marks button")) button.setAttribute("aria-pressed", String(button.value === value.verdict));
  const note = card.querySelector(".note input");
  if (note !== document.activeElement) note.value = value.note ?? "";
}

function refresh(job) {
  const card = cards.get(job);
  if (card) show(card, job);
  if (large.open && large.job === job) fill(job);
}

function fileOf(file, job, small) {
  const name = `${job.prompt.slice(0, 200)} (${file.name})`;
  if (!file.href) return el("span", {}, file.name);
  if (file.kind === "image" || file.kind === "drawing") {
    const picture = el("img", { src: small && file.thumb ? file.thumb : file.href, alt: name, loading: "lazy", decoding: "async" });
    return picture;
  }
  if (file.kind === "video") {
    const film = el("video", { src: file.href, preload: "metadata", loop: true, "aria-label": name, controls: !small });
    film.muted = small;
    if (small) { film.addEventListener("mouseenter", () => film.play().catch(() => {})); film.addEventListener("mouseleave", () => film.pause()); }
    return film;
  }
  if (file.kind === "audio") return el("audio", { src: file.href, controls: true, preload: "none", "aria-label": name, onclick: (event) => event.stopPropagation() });
  return el("a", { href: file.href, download: file.name, onclick: (event) => event.stopPropagation() }, file.name);
}

function toggle(job, word) {
  if (markOf(job).verdict === word && !latest(job).verdict && !data.live) mark(job, { verdict: "" });
  else mark(job, { verdict: word });
}

function go(job, scroll = true) {
  if (!job) return;
  const before = current;
  current = job;
  if (before && before !== job) refresh(before);
  refresh(job);
  if (!scroll) return;
  const row = rows.find((one) => one.cells?.includes(job));
  if (!row) return;
  const top = list.offsetTop + row.top, bottom = top + row.height, head = bar.offsetHeight + 12;
  if (top < window.scrollY + head) window.scrollTo(0, top - head);
  else if (bottom > window.scrollY + window.innerHeight) window.scrollTo(0, bottom - window.innerHeight + 12);
  draw();
  cards.get(job)?.focus({ preventScroll: true });
}

function step(by) {
  const next = shown[Math.min(shown.length - 1, Math.max(0, shown.indexOf(current) + by))];
  go(next);
  if (large.open) open(next);
}

// ---- the large view

function open(job) {
  if (!job) return;
  go(job, false);
  fill(job);
  if (!large.open) large.showModal();
}

// What a job was made from, or will be: the outputs before it, each in the take that was used.
function sourcesOf(job) {
  const named = job.from?.length ? job.from : job.before ? [[job.before, 0, 0]] : [];
  return named.flatMap(([name, number, index]) => {
    const source = jobs.find((one) => one.job === name);
    const take = source && (source.takes.find((one) => one.take === number) ?? shownTake(source));
    const files = take ? (index ? take.files.slice(index - 1, index) : take.files) : [];
    if (!files.length) return [];
    return [el("figure", { class: "source" }, ...files.map((file) => fileOf(file, source, false)),
      el("figcaption", {}, `made from ${name}`, number > 1 ? ` · take ${number}` : ""))];
  });
}

function fill(job) {
  const value = markOf(job), takes = job.takes.length ? job.takes : [latest(job)];
  large.job = job;
  const figures = takes.map((take) => el("figure", {}, ...take.files.map((file) => fileOf(file, job, false)),
    el("figcaption", {}, [`take ${take.take}`, take.state, take.cost ? dollars(take.cost) : "", take.verdict, take.note].filter(Boolean).join(" · "), ...take.files.map(linkOf))));
  const facts = { ...job.columns, model: job.model, state: job.state, waits: job.waits, step: job.step, error: job.error, checks: job.checks, cost: job.cost ? dollars(job.cost) : "", attempts: job.attempts, request_id: job.request, submitted: latest(job).submitted, finished: job.finished };
  const pairs = Object.entries(facts).filter(([, text]) => text !== "" && text !== null && text !== undefined);
  large.replaceChildren(
    el("header", {}, el("h2", {}, job.job), el("span", {}, value.verdict || ""),
      ...WORDS.map((word) => el("button", { type: "button", disabled: !isJob(job), "aria-pressed": String(value.verdict === word), onclick: () => toggle(job, word) }, word)),
      el("button", { type: "button", "aria-label": "previous", onclick: () => step(-1) }, "←"), el("button", { type: "button", "aria-label": "next", onclick: () => step(1) }, "→"),
      el("button", { type: "button", "aria-label": "close", onclick: () => large.close() }, "✕")),
    el("div", { class: "takes" }, ...sourcesOf(job), ...figures), el("p", {}, job.prompt),
    el("dl", {}, ...pairs.flatMap(([name, text]) => [el("dt", { class: "column" }, name), el("dd", { class: "column" }, String(text))])));
}

function linkOf(file) {
  // An active file as a document would run without the rules of this page, so it is only saved.
  const opens = ["image", "video", "audio"].includes(file.kind) && !file.href.startsWith("data:");
  if (!file.href) return el("span", {}, ` · ${file.name}`);
  return el("span", {}, " · ", el("a", opens ? { href: file.href, target: "_blank", rel: "noopener" } : { href: file.href, download: file.name }, file.name));
}

// ---- what happened

const dollars = (usd) => `$${usd.toFixed(usd < 0.1 ? 4 : 2).replace(/(\.\d\d)0+$/, "$1")}`;

function figures() {
  const facts = [];
  const last = jobs.reduce((moment, job) => ((job.finished || "") > moment ? job.finished : moment), "");
  const seen = read(`${STORE} seen`, "");
  const fresh = seen ? jobs.filter((job) => (job.finished || "") > seen).length : 0;
  if (fresh) facts.push(`${fresh} new since you last looked`);
  if (last) { facts.push(`last job ended ${new Date(last).toLocaleString()}`); write(`${STORE} seen`, last); }
  $("seen").textContent = facts.map((fact) => ($("figures").textContent ? ` · ${fact}` : fact)).join(" · ");
}

function causes() {
  const found = new Map();
  for (const job of jobs) if (job.error) { const one = found.get(job.error) ?? { count: 0, kind: job.kind }; one.count += 1; found.set(job.error, one); }
  const most = [...found].sort((a, b) => b[1].count - a[1].count).slice(0, 8);
  $("causes").replaceChildren(...most.map(([text, one]) => el("li", {},
    el("button", { type: "button", onclick: () => { field.q.value = text.split("\n")[0]; select(); } }, `${one.count} × ${text}`),
    data.advice[one.kind] ? el("small", {}, data.advice[one.kind]) : null)));
}

// The chart of the last stretch of work, as it was read from the ledger.
function timeline() {
  const NS = "http://www.w3.org/2000/svg", W = 600, H = 84, chart = data.timeline, box = $("timeline");
  box.hidden = !chart;
  if (!chart) return;
  const last = (name) => chart[name].at(-1), points = chart.done.length - 1;
  const open = chart.queued.map((n, i) => n + chart.running[i]);
  const most = Math.max(1, ...chart.submitted, ...chart.done, ...open);
  const x = (i) => ((i / points) * W).toFixed(1), y = (n) => (H - 4 - (n / most) * (H - 10)).toFixed(1);
  const line = (values) => values.map((n, i) => `${i ? "L" : "M"}${x(i)},${y(n)}`).join("");
  const area = (values) => `${line(values)}L${W},${H}L0,${H}Z`;
  const when = (s) => new Date(s * 1000), across = (s) => ((s - chart.begin_s) / (chart.end_s - chart.begin_s)) * W;
  const svg = document.createElementNS(NS, "svg");
  const add = (tag, attributes) => { const made = document.createElementNS(NS, tag); for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value); svg.append(made); };
  const counts = [["submitted", last("submitted")], ["done", last("done")], ["failed", last("failed")], [chart.outages.length === 1 ? "outage" : "outages", chart.outages.length]].filter(([, n]) => n);
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${counts.map(([name, n]) => `${n} ${name}`).join(", ")}, from ${when(chart.begin_s).toLocaleString()} to ${when(chart.end_s).toLocaleString()}`);
  for (const [from, to] of chart.outages) add("rect", { class: "outage", x: across(from).toFixed(1), y: 0, width: Math.max(1, across(to) - across(from)).toFixed(1), height: H });
  add("path", { class: "submitted", d: area(chart.submitted) });
  add("path", { class: "queued", d: area(open) });
  add("path", { class: "running", d: area(chart.running) });
  add("path", { class: "done", d: line(chart.done) });
  if (last("failed")) add("path", { class: "failed", d: line(chart.failed) });
  const keys = [["submitted", last("submitted")], ["queued", null], ["running", null], ["done", last("done")], ["failed", last("failed")], ["outages", chart.outages.length]].filter(([, n]) => n !== 0);
  box.replaceChildren(svg, el("figcaption", {}, `${when(chart.begin_s).toLocaleTimeString()} – ${when(chart.end_s).toLocaleTimeString()}`,
    ...keys.map(([name, n]) => el("b", { class: `k-${name}` }, n === null ? name : `${n} ${n === 1 && name === "outages" ? "outage" : name}`))));
}

// ---- controls

function options(select, pairs) {
  const value = select.value;
  select.replaceChildren(...pairs.map(([name, text]) => el("option", { value: name }, text)));
  if (pairs.some(([name]) => name === value)) select.value = value;
}

function controls() {
  const named = (name, all) => { const found = byValue(jobs, name); return all.map((value) => [value, `${value} (${found.get(value)?.length ?? 0})`]); };
  const states = [...new Set([...data.states, ...jobs.map((job) => job.state)])];
  const models = [...new Set(jobs.map((job) => job.model).filter(Boolean))];
  const steps = [...new Set(jobs.map((job) => job.step).filter(Boolean))];
  const extra = ["state", ...(steps.length ? ["step"] : []), "verdict", "model", "checks"].filter((name) => !columnNames.includes(name));
  const axes = [...columnNames, ...extra];
  options(field.state, [["", "all"], ...named("state", states)]);
  options(field.step, [["", "all"], ...steps.map((name) => [name, name])]);
  options(field.verdict, [["", "all"], ["none", "none"], ...WORDS.map((word) => [word, word])]);
  options(field.model, [["", "all"], ...models.map((name) => [name, name])]);
  options(field.checks, [["", "all"], ["any", "with findings"], ["none", "without"]]);
  options(field.sort, [["", "as in the manifest"], ["newest", "newest first"], ["cost", "cost"], ["time", "time taken"], ["job", "name"], ...columnNames.map((name) => [name, name])]);
  options(field.group, [["", "none"], ...axes.map((name) => [name, name])]);
  options(field.rows, axes.map((name) => [name, name]));
  options(field.columns, axes.map((name) => [name, name]));
  field.model.parentElement.hidden = models.length < 2;
  field.step.parentElement.hidden = steps.length === 0;
  field.checks.parentElement.hidden = !jobs.some((job) => job.checks);
}

function firstAxes() {
  const few = [...columnNames, "model"].filter((name) => { const n = byValue(jobs, name).size; return n > 1 && n <= 12; });
  field.rows.value = few[1] ?? columnNames[0] ?? "state";
  field.columns.value = few[0] ?? "state";
}

bar.addEventListener("submit", (event) => event.preventDefault());
bar.addEventListener("input", (event) => { if (event.target === field.q) select(); });
bar.addEventListener("change", (event) => {
  if (event.target === field.q) return;
  const isGrid = field.view.value === "grid";
  $("axes").hidden = !isGrid;
  list.classList.toggle("blind", isGrid && field.blind.checked);
  select();
});
$("undo").addEventListener("click", undo);
$("export").addEventListener("click", exportCsv);
let waiting = false;
const later = (what) => () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; what(); }); } };
window.addEventListener("scroll", later(draw), { passive: true });
window.addEventListener("resize", later(layout));

const isField = (target) => target instanceof HTMLElement && (target.matches("input:not([type=checkbox]), textarea, select") || target.isContentEditable);
const KEYS = {
  k: () => current && mark(current, { verdict: "keep" }), r: () => current && mark(current, { verdict: "redo" }), x: () => current && mark(current, { verdict: "reject" }),
  u: undo, n: () => cards.get(current)?.querySelector(".note input").focus(),
  ArrowRight: () => step(1), ArrowLeft: () => step(-1), "/": () => { if (large.open) large.close(); field.q.focus(); field.q.select(); },
  Enter: () => { if (!large.open) open(current); },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (isField(event.target)) {
    if (event.target === field.q && (event.key === "Enter" || event.key === "Escape")) { event.preventDefault(); if (event.key === "Escape") { field.q.value = ""; select(); } field.q.blur(); go(current); }
    else if (event.target.name === "note" && (event.key === "Enter" || event.key === "Escape")) { event.target.blur(); go(current); }
    return;
  }
  if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.matches("button, a, audio, video")) return;
  const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  if (act) { event.preventDefault(); act(); }
});

// ---- following a run (batchgen serve)

function follow() {
  const source = new EventSource(`events?since=${data.version}`);
  source.addEventListener("message", (event) => {
    const news = JSON.parse(event.data);
    for (const gone of jobs.splice(news.total)) { cards.get(gone)?.remove(); cards.delete(gone); }
    for (const [place, card] of news.jobs) {
      if (place < jobs.length) { cards.get(jobs[place])?.remove(); cards.delete(jobs[place]); for (const key of Object.keys(jobs[place])) delete jobs[place][key]; Object.assign(jobs[place], card); } else jobs[place] = card;
    }
    for (const job of jobs) { const own = marks[keyOf(job)]; if (own && latest(job).at) delete marks[keyOf(job)]; }
    data.timeline = news.timeline;
    for (const [name, text] of Object.entries(news.texts)) $(name).textContent = text;
    about();
    controls();
    const note = document.activeElement?.name === "note";
    if (!note) select();
  });
}

function about() { figures(); causes(); timeline(); }

controls();
firstAxes();
about();
select();
if (data.live) follow();
})();
