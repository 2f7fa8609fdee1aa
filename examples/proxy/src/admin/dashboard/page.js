"use strict";
// What the API says becomes text nodes only: a name that looks like HTML stays a name.

const EVERY_MS = 1000;
const EVENTS = 50;
const at = id => document.getElementById(id);

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

const number = (value, digits = 1) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const percent = value => (value === null || value === undefined ? "–" : `${+(100 * value).toFixed(2)} %`);
const ms = value => (value === null || value === undefined ? "–" : `${number(value, value < 10 ? 1 : 0)} ms`);

// The same text is not written again, so that a selection stays.
function show(id, made) {
  const place = at(id);
  if (place.dataset.shown === made.textContent && place.childElementCount) return;
  place.dataset.shown = made.textContent;
  place.replaceChildren(made);
}

function table(columns, rows, empty) {
  if (!rows.length) return element("p", "faint", empty);
  const head = element("tr", "", ...columns.map(([title, kind]) => element("th", kind, title)));
  const body = rows.map(cells => element("tr", "", ...cells.map((cell, n) => {
    const [text, className] = Array.isArray(cell) ? cell : [cell, ""];
    return element("td", `${columns[n][1] || ""} ${className}`, text);
  })));
  return element("div", "scroll", element("table", "", element("thead", "", head), element("tbody", "", ...body)));
}

const successClass = rate => (rate === null || rate === undefined ? "" : rate >= 0.99 ? "good" : rate >= 0.95 ? "wait" : "bad");

function services(list, stats) {
  const by = new Map(stats.map(stat => [stat.service, stat]));
  return table(
    [["service"], ["success", "number"], ["a second", "number"], ["p50", "number"], ["p95", "number"], ["p99", "number"],
      ["endpoints", "number"], ["breaker"], ["versions"]],
    list.map(service => {
      const stat = by.get(service.name) || {};
      const lacking = service.healthy < Math.max(1, service.expected || 0);
      return [
        service.name,
        [percent(stat.success_rate), successClass(stat.success_rate)],
        number(stat.rate),
        ms(stat.p50_ms), ms(stat.p95_ms), ms(stat.p99_ms),
        [`${service.healthy} of ${service.endpoints}`, lacking ? "bad" : ""],
        [service.breaker || "none", service.breaker === "open" ? "bad" : service.breaker === "half_open" ? "wait" : ""],
        service.versions.map(version => `${version.version} ${version.weight} %`).join(", "),
      ];
    }),
    "no services",
  );
}

const stateClass = { healthy: "good", unhealthy: "bad", ejected: "bad", draining: "wait", unknown: "wait" };

function endpoints(list) {
  return table(
    [["service"], ["address"], ["version"], ["zone"], ["state"], ["under way", "number"], ["why", "long"]],
    list.map(one => [one.service, one.address, one.version || "–", one.zone || "–",
      [one.state, stateClass[one.state] || ""], String(one.in_flight), one.trouble || ""]),
    "no endpoints",
  );
}

function edges(list) {
  return table(
    [["from"], ["to"], ["success", "number"], ["a second", "number"], ["p95", "number"], ["proved by", "long"]],
    list.map(edge => [edge.source, edge.target,
      [percent(edge.success_rate), successClass(edge.success_rate)],
      number(edge.rate), ms(edge.p95_ms),
      edge.identities.length ? edge.identities.join(", ") : ["nothing", "wait"]]),
    "nobody called anybody in the last minute",
  );
}

const statusClass = { progressing: "move", pending: "move", paused: "wait", success: "good", failed: "bad", rolled_back: "bad" };
const over = rollout => ["success", "failed", "rolled_back"].includes(rollout.status);

function arms(rollout) {
  return table(
    [["version"], ["requests", "number"], ["failed", "number"], ["p95", "number"], ["endpoints", "number"]],
    [rollout.arms.stable, rollout.arms.canary].map(arm => [arm.version, String(arm.samples),
      percent(arm.error_rate), ms(arm.response_time_p95), arm.endpoints === null ? "–" : String(arm.endpoints)]),
    "",
  );
}

function canary(shown) {
  const card = element("div", "card");
  const rollout = shown.rollout;
  if (shown.trouble) card.append(element("p", "bad", shown.trouble));
  if (!rollout) {
    card.append(element("p", "", `${shown.service}: no rollout yet; stable is ${shown.stable || "not known"}, versions are ${shown.versions.join(", ")}`));
    return card;
  }
  card.append(element("div", "", element("strong", "", shown.service), ` ${rollout.stable} → ${rollout.canary}  `,
    element("strong", statusClass[rollout.status] || "", rollout.state.replaceAll("_", " ")), ` ${rollout.weight} %`,
    rollout.share === null ? "" : element("span", "faint", ` it got ${number(rollout.share * 100, 2)} %`)));
  const past = rollout.status === "success" ? rollout.stages.length : rollout.stage - 1;
  if (rollout.ab_test) card.append(element("p", "", `A/B run: ${rollout.contrast.text}`));
  else card.append(element("div", "stages", ...rollout.stages.map((stage, n) =>
    element("span", n < past ? "done" : n === rollout.stage - 1 && !over(rollout) ? "now" : "", `${stage.weight} %`))));
  card.append(arms(rollout));
  const { against, limit } = rollout.evidence;
  if (against !== null && limit !== null) {
    // As orders of magnitude: 1 is nothing, the limit is a rollback.
    const meter = element("meter");
    meter.min = 0; meter.max = Math.log(limit); meter.high = Math.log(limit) / 2; meter.optimum = 0;
    meter.value = Math.max(0, Math.log(Math.max(against, 1)));
    card.append(element("p", "", "evidence against it ", meter, ` ${number(against, 2)} of ${number(limit, 0)}`));
  }
  if (rollout.waits_for) card.append(element("p", "faint", `waits for ${rollout.waits_for.what}`));
  else if (rollout.cause) card.append(element("p", "faint", rollout.cause));
  if (!over(rollout)) {
    const act = (what, body) => {
      const button = element("button", "", what);
      button.type = "button";
      button.addEventListener("click", () => post(shown.service, what, body));
      return button;
    };
    card.append(act("promote", { stage: rollout.stage }), act(rollout.status === "paused" ? "resume" : "pause", {}), act("rollback", {}));
  }
  return card;
}

async function post(service, what, body) {
  if (!window.confirm(`${what} ${service}?`)) return;
  const answer = await fetch(`api/v1/canaries/${encodeURIComponent(service)}/${what}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, ...(what === "promote" ? {} : { reason: "from the dashboard" }) }),
  });
  if (!answer.ok) window.alert((await answer.json()).detail);
  await look();
}

async function get(path) {
  const answer = await fetch(`api/v1/${path}`, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  return answer.json();
}

async function look() {
  try {
    const [canaries, list, stats, ends, calls, certificates] = await Promise.all(
      ["canaries", "services", "stats", "endpoints", "edges", "certificates?limit=0"].map(get));
    const cards = canaries.canaries.map(canary);
    show("canaries", cards.length ? element("div", "", ...cards)
      : element("p", "faint", "no service has several versions"));
    show("services", services(list.services, stats.services));
    show("endpoints", endpoints(ends.endpoints));
    show("edges", edges(calls.edges));
    const identity = certificates.identity;
    at("who").textContent = identity
      ? `${identity.spiffe_id}, certificate good for ${number(identity.days_left)} days` : "without an identity";
    state(identity && identity.troubles.length ? identity.troubles.join("; ") : "", "wait");
  } catch (error) {
    state(`not reached: ${error.message}`, "bad");
  }
}

function state(text, className) {
  at("state").textContent = text || "running";
  at("state").className = text ? className : "good";
}

let last = "0";

// Events have names of their own, of which an EventSource would have to know every one.
async function listen() {
  try {
    const answer = await fetch("api/v1/events", { headers: { "last-event-id": last } });
    if (!answer.ok) throw new Error(answer.statusText);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      text += read.value;
      const whole = text.split("\n\n");
      text = whole.pop();
      whole.forEach(told);
    }
  } catch { /* the state above says that it is not reached */ }
  window.setTimeout(listen, 2 * EVERY_MS);
}

function told(message) {
  const line = message.split("\n").find(part => part.startsWith("data:"));
  if (!line) return;
  const event = JSON.parse(line.slice(5));
  if (event.id !== undefined) last = String(event.id);
  const sentence = event.lost ? `${event.lost} more happened than could be told` : event.sentence;
  at("events").prepend(element("li", "",
    event.time ? element("time", "", new Date(event.time).toLocaleTimeString()) : null, sentence));
  while (at("events").childElementCount > EVENTS) at("events").lastElementChild.remove();
}

async function run() {
  await look();
  window.setTimeout(run, EVERY_MS);
}

run();
listen();
